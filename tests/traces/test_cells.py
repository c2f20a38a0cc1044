"""Cells hold what their traces hold, whatever the bins."""

from datetime import UTC, datetime, timedelta

import numpy as np

from postmortem.traces.cells import cells_of_records
from postmortem.traces.records import TraceRecord

START = datetime(2026, 3, 2, tzinfo=UTC)


def _trace(number: int, minutes: float, value: float | None, **facets: str) -> TraceRecord:
    scores = {} if value is None else {"quality": value}
    return TraceRecord(f"t{number}", START + timedelta(minutes=minutes), facets, scores=scores)


def test_cells_count_and_sum_the_traces_that_have_the_signal() -> None:
    cells = cells_of_records(
        [
            _trace(1, 1, 0.5, region="eu"),
            _trace(2, 4, 1.0, region="eu"),
            _trace(3, 4, 1.0, region="us"),
            _trace(4, 12, 0.25, region="eu"),
            _trace(5, 12, None, region="eu"),
            _trace(6, 12, float("nan"), region="eu"),
        ],
        "quality",
    )
    assert list(cells.profiles) == [{"region": "eu"}, {"region": "us"}]
    assert cells.count.tolist() == [2, 1, 1]
    assert cells.total.tolist() == [1.5, 1.0, 0.25]
    assert cells.total_squares.tolist() == [1.25, 1.0, 0.0625]
    assert cells.seconds[0] == START.timestamp() + 150
    assert cells.trace_count == 4


def test_an_edge_splits_the_bin_that_it_falls_into() -> None:
    edge = START.timestamp() + 180
    cells = cells_of_records([_trace(1, 1, 1.0), _trace(2, 3, 1.0), _trace(3, 5, 1.0)], "quality", edges=[edge])
    assert cells.count.tolist() == [1, 2]
    assert (cells.start - START.timestamp()).tolist() == [0, 180]
    assert (cells.end - START.timestamp()).tolist() == [180, 600]


def test_no_traces_give_no_cells() -> None:
    cells = cells_of_records([], "quality")
    assert cells.trace_count == 0 and cells.profile.shape == (0,) and np.isfinite(cells.seconds).all()
