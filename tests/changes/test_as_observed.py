"""Versions that a log tells in the wrong order, or without their scope, are put right by the traces."""

from postmortem.changes.as_observed import as_observed, with_observed_scopes
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
    found = as_observed(changes, cells_of_traces(traces))
    assert [one.id for one in found] == [one.id for one in changes], "the columns of the join keep their places"
    return [one.id for one in sorted(found, key=lambda one: (one.at, one.until))]


def test_a_later_version_logged_too_early_moves_behind_the_one_it_replaced() -> None:
    log = [version(2, 9), version(1, 11, until=15)]
    traces = runs(("0", 0, 8), ("1", 8, 13), ("2", 10, 20))
    assert order_of(log, traces) == ["v1", "v2"]
    moved = as_observed(log, cells_of_traces(traces))[0]
    assert moved.at > at(11)
    assert moved.until - moved.at == log[0].until - log[0].at, "its rollout takes as long as before"


def test_three_versions_told_backwards_are_turned_round() -> None:
    log = [version(3, 9), version(2, 10), version(1, 11)]
    assert order_of(log, runs(("1", 6, 9), ("2", 8, 12), ("3", 11, 20))) == ["v1", "v2", "v3"]


def test_a_log_that_agrees_is_left_alone() -> None:
    log = [version(1, 8, until=12), version(2, 10)]
    assert as_observed(log, cells_of_traces(runs(("1", 8, 13), ("2", 10, 20)))) == log


def test_versions_that_were_first_seen_earlier_but_stayed_longer_prove_nothing() -> None:
    log = [version(2, 9), version(1, 11)]
    assert as_observed(log, cells_of_traces(runs(("1", 8, 20), ("2", 10, 20)))) == log


def test_too_few_sightings_prove_nothing() -> None:
    log = [version(2, 9), version(1, 11)]
    assert as_observed(log, cells_of_traces(runs(("1", 8, 8.5), ("2", 10, 20)))) == log


def test_days_apart_are_no_slip_of_the_clock() -> None:
    log = [version(2, 9), version(1, 40)]
    assert as_observed(log, cells_of_traces(runs(("1", 8, 9), ("2", 10, 20)))) == log


def test_a_version_that_comes_back_stays_as_logged() -> None:
    log = [version(2, 9), version(1, 11), version(2, 14)]
    assert as_observed(log, cells_of_traces(runs(("1", 8, 9), ("2", 10, 20)))) == log


def test_a_rollback_stays_as_logged() -> None:
    log = [version(2, 9), version(1, 11, is_rollback=True)]
    assert as_observed(log, cells_of_traces(runs(("1", 8, 9), ("2", 10, 20)))) == log


def test_other_targets_do_not_matter() -> None:
    other = change("other", hour=9, scope={"prompt": "draft"}, facet="prompt_version", to_version="1")
    log = [other, version(2, 10)]
    assert as_observed(log, cells_of_traces(runs(("1", 8, 9), ("2", 10, 20)))) == log


def without_scope(hour: float = 8, **fields: object) -> ChangeRecord:
    return change("bare", hour=hour, facet="prompt_version", to_version="7", **fields)


def of_prompt(name: str, first: float, last: float, version: str = "7") -> list[TraceRecord]:
    return [
        trace(first + step, f"{name}-{step}", prompt=name, prompt_version=version)
        for step in range(int(last - first) + 1)
    ]


def scope_of(log: list[ChangeRecord], traces: list[TraceRecord]) -> dict[str, tuple[str, ...]]:
    cells = cells_of_traces(sorted(traces, key=lambda one: one.timestamp))
    return dict(next(one for one in with_observed_scopes(log, cells) if one.id == "bare").scope)


def test_a_version_that_one_prompt_alone_shows_is_that_prompts() -> None:
    traces = [*of_prompt("chat", 9, 14), *of_prompt("draft", 0, 20, "1")]
    assert scope_of([without_scope()], traces) == {"prompt": ("chat",)}


def test_a_version_that_another_entry_brings_to_a_prompt_is_not_looked_for_there() -> None:
    traces = [*of_prompt("chat", 9, 14), *of_prompt("draft", 9, 14)]
    own = change("own", hour=8, scope={"prompt": "draft"}, facet="prompt_version", to_version="7")
    assert scope_of([without_scope(), own], traces) == {"prompt": ("chat",)}


def test_a_version_that_several_prompts_show_stays_everybodys() -> None:
    assert scope_of([without_scope()], [*of_prompt("chat", 9, 14), *of_prompt("draft", 9, 14)]) == {}


def test_a_version_that_was_there_days_before_the_log_gives_no_scope() -> None:
    assert scope_of([without_scope(hour=60)], of_prompt("chat", 9, 14)) == {}


def test_a_scope_that_the_log_tells_is_kept() -> None:
    told = without_scope(scope={"region": "eu"})
    assert scope_of([told], of_prompt("chat", 9, 14)) == {"region": ("eu",)}


def test_a_release_has_no_owner_to_be_scoped_to() -> None:
    release = change("bare", hour=8, facet="release", to_version="7")
    traces = [trace(9 + step, str(step), prompt="chat", release="7") for step in range(5)]
    assert scope_of([release], traces) == {}
