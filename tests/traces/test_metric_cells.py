"""Cells that Langfuse's metrics endpoint groups are those of the imported traces, as far as it can tell."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.standin import StandIn, faults
from postmortem.lib.errors import UserError
from postmortem.traces.cells import Cells, cells_of_records
from postmortem.traces.langfuse_source import LangfuseSource
from postmortem.traces.metric_cells import ROW_LIMIT, MetricCell, cells_of_metrics, iter_metric_cells
from postmortem.traces.source_http import WrongApi
from postmortem.traces.sources import ScoreFilter, WindowQuery
from tests.traces.stories import BEGIN, END, ENVIRONMENT, NAME, write_story

HOUR = 3600
QUERY = WindowQuery(BEGIN, END, 1000, NAME, ENVIRONMENT)
TOLD = ("environment", "release", "region", "segment")  # what the endpoint can group traces by


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_story(tmp_path_factory.mktemp("story"), traces=600)


@pytest.fixture
def server(story: Path) -> Iterator[StandIn]:
    with StandIn(mode="v4", stories=[story]) as stand_in:
        yield stand_in


@pytest.fixture
def source(server: StandIn) -> Iterator[LangfuseSource]:
    keys = {"public_key": server.public_key, "secret_key": server.secret_key}
    with LangfuseSource(base_url=server.base_url, timeout_seconds=5.0, backoff_seconds=0.001, **keys) as opened:
        yield opened


def told(cells: Cells, names: tuple[str, ...] = TOLD) -> dict[tuple[Any, ...], tuple[float, float, float]]:
    """n, Σy and Σy² by bin and by the facets of `names`."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for position, number in enumerate(cells.profile):
        profile: Mapping[str, str] = cells.profiles[number]
        sums = found.setdefault((cells.start[position], *(profile.get(name) for name in names)), [0.0, 0.0, 0.0])
        for place, amount in enumerate((cells.count, cells.total, cells.total_squares)):
            sums[place] += float(amount[position])
    return {key: (sums[0], sums[1], sums[2]) for key, sums in found.items()}


def imported(source: LangfuseSource, signal: str, query: WindowQuery = QUERY, later: int = 0) -> Cells:
    """The same from imported traces, each `later` seconds after it began."""
    records = [record for page in source.iter_window(query) for record in page.records]
    shifted = [replace(record, timestamp=record.timestamp + timedelta(seconds=later)) for record in records]
    return cells_of_records(shifted, signal, bin_seconds=HOUR)


@pytest.mark.parametrize(("signal", "later"), [("grounded", 30), ("helpful", 30), ("error", 0), ("latency", 0)])
def test_the_server_groups_as_an_import_would(source: LangfuseSource, signal: str, later: int) -> None:
    grouped = told(cells_of_metrics(source.iter_metric_cells(QUERY, signal)))
    expected = told(imported(source, signal, later=later))
    assert grouped.keys() == expected.keys()
    assert len(grouped) > 200
    for key, sums in expected.items():
        assert grouped[key] == pytest.approx(sums)
    assert sum(count for count, _, _ in grouped.values()) == 600


def test_time_to_first_token_knows_prompt_and_model(source: LangfuseSource) -> None:
    names = ("prompt", "prompt_version", "model", "release", "region")
    grouped = told(cells_of_metrics(source.iter_metric_cells(QUERY, "time_to_first_token")), names)
    expected = told(imported(source, "time_to_first_token"), names)
    assert {key[2] for key in grouped} == {"6", "7"}
    assert sum(sums[0] for sums in grouped.values()) == sum(sums[0] for sums in expected.values())
    assert sum(sums[1] for sums in grouped.values()) == pytest.approx(600 * 0.4)


def test_filters_and_the_bounds_of_the_window(source: LangfuseSource) -> None:
    half = replace(QUERY, start=BEGIN + timedelta(hours=7, minutes=30), end=BEGIN + timedelta(days=3), user="u-1")
    cells = cells_of_metrics(source.iter_metric_cells(half, "error"))
    records = [record for page in source.iter_window(half) for record in page.records]
    assert cells.trace_count == len(records) > 10
    assert cells.start.min() >= half.start.timestamp()
    assert cells.end.max() <= half.end.timestamp()
    assert not source_cells(source, replace(QUERY, release="another"))
    assert len(source_cells(source, replace(QUERY, tags=("region:eu",)))) == 300


def source_cells(source: LangfuseSource, query: WindowQuery) -> list[MetricCell]:
    return [cell for cell in source.iter_metric_cells(query, "error") for _ in range(cell.count)]


def test_more_rows_than_one_answer_holds_are_asked_for_in_halves(server: StandIn, source: LangfuseSource) -> None:
    cells = cells_of_metrics(source.iter_metric_cells(QUERY, "error", granularity="minute"))
    assert cells.trace_count == 600
    server.faults.append(faults.too_large(wider_than_hours=30, path="v2/metrics"))
    server.requests.clear()
    again = cells_of_metrics(source.iter_metric_cells(QUERY, "error"))
    assert again.trace_count == 600
    assert np.all(np.diff(again.start) >= 0)
    assert sum("v2/metrics" in request for request in server.requests) > 10


def test_a_bin_with_more_rows_than_the_endpoint_gives_is_refused() -> None:
    row = {"time_dimension": "2026-03-02 00:00:00", "count_count": "1", "level": "DEFAULT"}
    asked: list[str] = []

    def ask(body: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append(body["fromTimestamp"])
        return [row] * ROW_LIMIT

    with pytest.raises(UserError, match="More than 1,000 combinations"):
        list(iter_metric_cells(ask, QUERY, "error"))
    assert len(asked) <= 10


@pytest.mark.parametrize(
    ("signal", "more", "sentence"),
    [
        ("cost", {}, "cannot tell this signal"),
        ("label", {}, "cannot tell this signal"),
        ("grounded", {"score": ScoreFilter("helpful", "<", 1)}, "cannot filter by a score"),
    ],
)
def test_what_the_endpoint_cannot_tell_is_said(signal: str, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        list(iter_metric_cells(lambda body: [], replace(QUERY, **more), signal))


def test_rows_that_make_no_sense_are_left_out() -> None:
    rows: list[dict[str, Any]] = [
        {"time_dimension": "soon", "count_count": "3", "sum_latency": 1, "histogram_latency": [[1, 1, 3]]},
        {"time_dimension": "2026-03-02 00:00:00", "count_count": "many"},
        {"time_dimension": "2026-03-02 00:00:00", "count_count": "0"},
        {"time_dimension": "2026-03-02 00:00:00", "count_count": 2, "sum_latency": None, "histogram_latency": None},
        {"time_dimension": "2026-03-02 00:00:00", "count_count": 2, "sum_latency": 4000,
         "histogram_latency": [[1000, 1000, 1], [3000, 3000, 1], ["x"], [5, 1, 1]], "tags": "none"},
    ]  # fmt: skip
    [cell] = iter_metric_cells(lambda body: rows, replace(QUERY, end=BEGIN + timedelta(hours=1)), "latency")
    assert (cell.count, cell.total, cell.total_squares) == (2, 4.0, 10.0)


def test_an_old_server_has_no_such_endpoint(story: Path) -> None:
    with StandIn(mode="v3", stories=[story]) as old:
        keys = {"public_key": old.public_key, "secret_key": old.secret_key}
        with LangfuseSource(base_url=old.base_url, **keys) as source, pytest.raises(WrongApi, match="too old"):
            source.iter_metric_cells(QUERY, "error")
