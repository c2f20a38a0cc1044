"""The ledger of an incident: its feature's changes joined with its traces."""

import pytest

from postmortem.changes.selectors import change_records, changes_for_incident, ledger, read_join, reconciliation
from postmortem.traces.models import EvidenceImport, Trace
from tests.builders import make_change, make_feature, make_incident, make_trace
from tests.changes.builders import at

pytestmark = pytest.mark.django_db


def store_traces(incident, *traces):
    """Each of `traces` is (hour, facets)."""
    evidence_import = EvidenceImport.objects.create(incident=incident, kind="file", origin="traces.jsonl")
    for number, (hour, facets) in enumerate(traces):
        Trace.objects.create(
            incident=incident, evidence_import=evidence_import, external_id=f"t{number}", timestamp=at(hour),
            facets=facets,
        )  # fmt: skip


def test_each_change_says_how_many_traces_ran_on_it_and_how_that_is_known():
    incident = make_incident()
    make_change("seen", at=at(10), facet="prompt_version", to_version="2")
    make_change("by the clock", at=at(11), layer="infrastructure")
    make_change("canary", at=at(11.5), until=at(20), rollout="canary", canary_share=0.5, layer="model")
    make_change("never", at=at(12), facet="prompt_version", to_version="9")
    store_traces(incident, *[(hour, {"prompt_version": "1" if hour < 10 else "2"}) for hour in range(8, 16)])
    rows = {
        row.change.external_id: (row.exposed_count, row.exposed_share, row.basis, row.state) for row in ledger(incident)
    }
    assert rows == {
        "seen": (6, 0.75, "observed", "observed"),
        "by the clock": (5, 0.625, "inferred", "inferred"),
        "canary": (2, 0.25, "expected", "inferred"),
        "never": (0, 0.0, "observed", "never observed"),
    }
    assert [missing.change_id for missing in reconciliation(incident).never_observed] == ["never"]


def test_without_traces_nothing_is_said_yet():
    incident = make_incident()
    make_change("p1")
    assert [(row.exposed_count, row.state) for row in ledger(incident)] == [(0, "no traces yet")]


def test_only_changes_that_can_matter():
    incident = make_incident(
        baseline_start=at(0), baseline_end=at(24), incident_start=at(24), incident_end=at(48)
    )  # fmt: skip
    make_change("long before", at=at(-15 * 24))
    make_change("before", at=at(-13 * 24))
    make_change("rolled out slowly", at=at(-15 * 24), until=at(0), rollout="ramp")
    make_change("the fix", at=at(60))
    make_change("long after", at=at(48 + 49))
    make_change("of another feature", at=at(24), feature=make_feature("Search"))
    assert [c.external_id for c in changes_for_incident(incident)] == ["rolled out slowly", "before", "the fix"]


def test_records_have_the_types_of_the_pure_rooms():
    incident = make_incident()
    make_change("p1", scope={"region": "eu"}, stages={"facet": "region", "order": ["us", "eu"]}, rollout="staged")
    (record,) = change_records(incident)
    assert record.scope == {"region": ("eu",)}
    assert (record.stage_order, record.facet, record.layer.label) == (("us", "eu"), None, "Prompt")


def test_a_few_queries_whatever_the_number(django_assert_num_queries):
    incident = make_incident()
    for number in range(12):
        make_change(f"p{number}", at=at(number))
    store_traces(incident, *[(hour, {"release": "1"}) for hour in range(30)])
    with django_assert_num_queries(6):
        assert len(read_join(incident).ledger) == 12


def test_a_join_is_computed_once_until_a_trace_or_a_change_is_added(django_assert_max_num_queries):
    incident = make_incident()
    make_change("prompt-1", facet="prompt_version", to_version="v2")
    make_trace(incident, "t1", facets={"prompt_version": "v2"})
    first = read_join(incident)
    with django_assert_max_num_queries(3):
        assert read_join(incident) is first
    make_trace(incident, "t2", facets={"prompt_version": "v2"})
    assert read_join(incident).ledger[0].exposed_count == 2
    make_change("prompt-2", facet="prompt_version", to_version="v3")
    assert [row.change.external_id for row in read_join(incident).ledger] == ["prompt-1", "prompt-2"]
