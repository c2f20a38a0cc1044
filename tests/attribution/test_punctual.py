"""How punctual a log is, by what its versions show."""

import numpy as np
import pytest

from postmortem.attribution.candidates import LAG_HOURS, LAGS_SHARE
from postmortem.attribution.columns import to_columns
from postmortem.attribution.punctual import share_off
from postmortem.changes.exposure import exposure_of_cells
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer
from tests.attribution.builders import case, change, world

CAME = {"answer": 60.0, "draft": 110.0, "triage": 160.0}  # hours at which each prompt's second version came


def _versions(hours: float, facets: dict[str, str], _: float) -> dict[str, str]:
    return {"prompt_version": f"{facets['prompt']}-{2 if hours >= CAME[facets['prompt']] else 1}"}


def _off(late: dict[str, float], *others: ChangeRecord) -> float:
    """With log entries so many hours late."""
    log = [
        change(
            f"{name}-2", Layer.PROMPT, came + late.get(name, 0.0), scope={"prompt": (name,)},
            facet="prompt_version", to_version=f"{name}-2",
        )
        for name, came in CAME.items()
    ]  # fmt: skip
    found = case(world(versions=_versions), [*log, *others])
    exposures = exposure_of_cells(found.changes, found.cells)
    return share_off(found.changes, to_columns(found.cells), exposures, lag_hours=LAG_HOURS, prior=LAGS_SHARE)


def test_a_log_whose_versions_come_on_time_is_trusted() -> None:
    assert _off({}) == pytest.approx(2 * LAGS_SHARE / 5, abs=0.03)


@pytest.mark.parametrize("hours", [6.0, -2.0])
def test_a_log_whose_versions_come_hours_off_is_not(hours: float) -> None:
    assert _off(dict.fromkeys(CAME, hours)) > 0.7


def test_one_entry_that_is_off_counts_as_one() -> None:
    assert _off({"draft": 4.0}) == pytest.approx((2 * LAGS_SHARE + 1) / 5, abs=0.05)


def test_changes_that_no_trace_records_tell_nothing() -> None:
    alone = change("infra", Layer.INFRASTRUCTURE, 100)
    found = case(world(), [alone])
    exposures = exposure_of_cells(found.changes, found.cells)
    columns = to_columns(found.cells)
    assert share_off(found.changes, columns, exposures, lag_hours=LAG_HOURS, prior=LAGS_SHARE) == LAGS_SHARE
    assert _off({}, alone) == _off({})
    assert np.isfinite(share_off([], columns, exposures, lag_hours=LAG_HOURS, prior=LAGS_SHARE))
