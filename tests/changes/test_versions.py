"""Version tuples: observed values first, then what the logs say of the time."""

from datetime import timedelta

from postmortem.changes.records import ChangeRecord
from postmortem.changes.versions import version_tuple
from postmortem.lib.clock import parse_moment
from postmortem.lib.layers import Layer
from postmortem.traces.records import TraceRecord

AT = parse_moment("2026-03-02T00:00:00Z")


def change(name, hours, source, target, **more):
    at = AT + timedelta(hours=hours)
    defaults = {"rollout": "instant", "scope": {}}
    return ChangeRecord(
        id=name, layer=Layer.PROMPT, at=at, until=more.pop("until", at), facet="prompt_version",
        from_version=source, to_version=target, **(defaults | more),
    )  # fmt: skip


LOG = [change("one", 0, "v1", "v2"), change("two", 24, "v2", "v3")]


def prompt_of(hours, log=LOG, **facets):
    trace = TraceRecord("t", AT + timedelta(hours=hours), facets)
    found = next(version for version in version_tuple(trace, log) if version.facet == "prompt_version")
    return found.value, found.known, found.change


def test_observed_goes_before_inferred():
    assert prompt_of(30, prompt_version="v9") == ("v9", "observed", "")
    assert prompt_of(30) == ("v3", "inferred", "two")
    assert prompt_of(5) == ("v2", "inferred", "one")
    assert prompt_of(-5) == ("v1", "inferred", "one")
    assert prompt_of(5, log=[]) == ("", "not known", "")


def test_scope_and_canary_leave_the_rest_on_the_old_version():
    scoped = [change("eu", 0, "v1", "v2", scope={"region": ("eu",)})]
    assert prompt_of(5, scoped, region="eu") == ("v2", "inferred", "eu")
    canary = [change("c", 0, "v1", "v2", rollout="canary", canary_share=0.2, until=AT + timedelta(hours=48))]
    trace = TraceRecord("t", AT + timedelta(hours=1), {})
    found = next(version for version in version_tuple(trace, canary) if version.facet == "prompt_version")
    assert (found.value, found.change, round(found.share, 2)) == ("v1", "c", 0.8)


def test_facets_that_only_a_log_knows_are_in_the_tuple():
    guard = [ChangeRecord("g", Layer.PROMPT, AT, AT, facet="guardrail", from_version="1", to_version="2")]
    found = {v.facet: v.value for v in version_tuple(TraceRecord("t", AT + timedelta(hours=1), {}), guard)}
    assert found["guardrail"] == "2"
