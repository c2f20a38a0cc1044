"""Versions that a log tells in the wrong order are put in the order in which traces ran on them."""

from postmortem.changes.observed_order import in_observed_order
from postmortem.changes.records import ChangeRecord
from postmortem.traces.cells import cells_of_traces
from postmortem.traces.records import TraceRecord
from tests.changes.builders import at, change, trace


def version(number: int, hour: float, **fields: object) -> ChangeRecord:
    return change(
        f"v{number}", hour=hour, scope={"prompt": "chat"}, facet="prompt_version", to_version=str(number), **fields
    )


def runs(*spans: tuple[str, float, float]) -> list[TraceRecord]:
    """A trace every half hour on each version from one hour to another."""
    found = [
        trace(first + step / 2, f"{name}-{step}", prompt="chat", prompt_version=name)
        for name, first, last in spans
        for step in range(int((last - first) * 2) + 1)
    ]
    return sorted(found, key=lambda one: one.timestamp)


def order_of(changes: list[ChangeRecord], traces: list[TraceRecord]) -> list[str]:
    found = in_observed_order(changes, cells_of_traces(traces))
    assert [one.id for one in found] == [one.id for one in changes], "the columns of the join keep their places"
    return [one.id for one in sorted(found, key=lambda one: (one.at, one.until))]


def test_a_later_version_logged_too_early_moves_behind_the_one_it_replaced() -> None:
    log = [version(2, 9), version(1, 11, until=15)]
    traces = runs(("0", 0, 8), ("1", 8, 13), ("2", 10, 20))
    assert order_of(log, traces) == ["v1", "v2"]
    moved = in_observed_order(log, cells_of_traces(traces))[0]
    assert moved.at > at(11)
    assert moved.until - moved.at == log[0].until - log[0].at, "its rollout takes as long as before"


def test_three_versions_told_backwards_are_turned_round() -> None:
    log = [version(3, 9), version(2, 10), version(1, 11)]
    assert order_of(log, runs(("1", 6, 9), ("2", 8, 12), ("3", 11, 20))) == ["v1", "v2", "v3"]


def test_a_log_that_agrees_is_left_alone() -> None:
    log = [version(1, 8, until=12), version(2, 10)]
    assert in_observed_order(log, cells_of_traces(runs(("1", 8, 13), ("2", 10, 20)))) == log


def test_versions_that_were_first_seen_earlier_but_stayed_longer_prove_nothing() -> None:
    log = [version(2, 9), version(1, 11)]
    assert in_observed_order(log, cells_of_traces(runs(("1", 8, 20), ("2", 10, 20)))) == log


def test_too_few_sightings_prove_nothing() -> None:
    log = [version(2, 9), version(1, 11)]
    assert in_observed_order(log, cells_of_traces(runs(("1", 8, 8.5), ("2", 10, 20)))) == log


def test_days_apart_are_no_slip_of_the_clock() -> None:
    log = [version(2, 9), version(1, 40)]
    assert in_observed_order(log, cells_of_traces(runs(("1", 8, 9), ("2", 10, 20)))) == log


def test_a_version_that_comes_back_stays_as_logged() -> None:
    log = [version(2, 9), version(1, 11), version(2, 14)]
    assert in_observed_order(log, cells_of_traces(runs(("1", 8, 9), ("2", 10, 20)))) == log


def test_a_rollback_stays_as_logged() -> None:
    log = [version(2, 9), version(1, 11, is_rollback=True)]
    assert in_observed_order(log, cells_of_traces(runs(("1", 8, 9), ("2", 10, 20)))) == log


def test_other_targets_do_not_matter() -> None:
    other = change("other", hour=9, scope={"prompt": "draft"}, facet="prompt_version", to_version="1")
    log = [other, version(2, 10)]
    assert in_observed_order(log, cells_of_traces(runs(("1", 8, 9), ("2", 10, 20)))) == log
