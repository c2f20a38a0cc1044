"""Findings: numbered, never overwritten, stale when what they rest on changed."""

import gzip
import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command

from postmortem.accounts.models import AuditEntry, Person, Role
from postmortem.attribution import selectors, services
from postmortem.incidents.models import Incident
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.traces.services import import_file
from tests.attribution.builders import DETECTED, at, world
from tests.benchmarks.simulator import simulate
from tests.builders import make_change, make_incident, make_person


def _traces(count: int = 600) -> bytes:
    rows = [
        {
            "id": trace.external_id,
            "timestamp": format_moment(trace.timestamp),
            "facets": dict(trace.facets),
            "scores": dict(trace.scores),
        }
        for trace in world(count=count, harm=lambda hours, facets: 0.3 * (hours > 172))
    ]
    return gzip.compress("\n".join(json.dumps(row) for row in rows).encode())


@pytest.fixture
def reviewer(db: None) -> Person:
    return make_person("Priya Nair", Role.FACILITATOR)


@pytest.fixture
def incident(reviewer: Person) -> Incident:
    made = make_incident(
        signal="success", worse="lower", detected_at=DETECTED,
        baseline_start=at(0), baseline_end=at(168), incident_start=at(168), incident_end=at(228),
    )  # fmt: skip
    import_file(incident=made, by=reviewer, filename="traces.jsonl.gz", data=_traces())
    make_change("prompt-1", feature=made.feature, at=at(171))
    return made


def test_a_run_is_kept_with_its_number_inputs_and_result(incident: Incident, reviewer: Person) -> None:
    assert selectors.latest_finding(incident) is None
    first = services.run_attribution(incident=incident, by=reviewer)
    second = services.run_attribution(incident=incident, by=reviewer)
    assert [one.number for one in selectors.findings(incident)] == [2, 1]
    assert selectors.latest_finding(incident) == second
    assert first.inputs_sha256 == second.inputs_sha256
    assert first.result == second.result
    assert {one["kind"] for one in first.result["hypotheses"]} == {"change", "unlogged", "mix", "none"}
    assert first.code_version == services.code_version()
    entry = AuditEntry.objects.filter(action="attribution run").latest("pk")
    assert (entry.incident_number, entry.subject) == (incident.number, "run 2")


def test_a_finding_is_stale_once_its_inputs_changed(incident: Incident, reviewer: Person) -> None:
    finding = services.run_attribution(incident=incident, by=reviewer)
    assert not selectors.finding_is_stale(incident, finding)
    make_change("model-1", feature=incident.feature, layer="model", at=at(100))
    assert selectors.finding_is_stale(incident, finding)
    again = services.run_attribution(incident=incident, by=reviewer)
    assert not selectors.finding_is_stale(incident, again)
    incident.baseline_end = at(167)
    assert selectors.finding_is_stale(incident, again)


def test_new_evidence_makes_a_finding_stale(incident: Incident, reviewer: Person) -> None:
    finding = services.run_attribution(incident=incident, by=reviewer)
    row = {"id": "late", "timestamp": format_moment(at(200)), "facets": {}, "scores": {"success": 1.0}}
    import_file(incident=incident, by=reviewer, filename="more.jsonl", data=json.dumps(row).encode())
    assert selectors.finding_is_stale(incident, finding)


def test_staleness_costs_a_bounded_number_of_queries(
    incident: Incident, reviewer: Person, django_assert_max_num_queries: object
) -> None:
    finding = services.run_attribution(incident=incident, by=reviewer)
    with django_assert_max_num_queries(5):  # type: ignore[operator]
        selectors.finding_is_stale(incident, finding)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("signal", "", "No signal is chosen"),
        ("incident_end", None, "window is missing"),
        ("baseline_start", None, "window is missing"),
        ("signal", "no such score", "Only 0 of"),
    ],
)
def test_what_is_missing_is_said(incident: Incident, reviewer: Person, field: str, value: object, said: str) -> None:
    setattr(incident, field, value)
    with pytest.raises(UserError, match=said):
        services.run_attribution(incident=incident, by=reviewer)
    assert not selectors.findings(incident).exists()


def test_an_incident_without_traces_is_refused(reviewer: Person) -> None:
    empty = make_incident(
        "INC-2026-0002", signal="success",
        baseline_start=at(0), baseline_end=at(168), incident_start=at(168), incident_end=at(228),
    )  # fmt: skip
    with pytest.raises(UserError, match="There are no traces"):
        services.run_attribution(incident=empty, by=reviewer)


def test_a_viewer_may_not_run_it(incident: Incident) -> None:
    with pytest.raises(PermissionDenied):
        services.run_attribution(incident=incident, by=make_person("Viktor", Role.VIEWER))


def test_the_command_prints_the_result_of_a_stored_incident(incident: Incident) -> None:
    out = StringIO()
    call_command("attribute", incident.number, "--json", stdout=out)
    printed = json.loads(out.getvalue())
    assert printed["case"] == incident.number
    assert [one["layer"] for one in printed["layers"]] == ["model", "prompt", "retrieval", "infrastructure"]
    assert sorted(one["number"] for one in printed["patterns"]) == list(range(1, 12))
    assert not selectors.findings(incident).exists()


def test_the_command_stores_a_finding_for_a_person(incident: Incident, reviewer: Person) -> None:
    call_command("attribute", incident.number, "--json", "--by", reviewer.email, stdout=StringIO())
    found = selectors.latest_finding(incident)
    assert found is not None
    assert found.run_by == reviewer
    with pytest.raises(CommandError, match="no active person"):
        call_command("attribute", incident.number, "--by", "nobody@example.org", stdout=StringIO())
    with pytest.raises(CommandError, match="There is no incident"):
        call_command("attribute", "INC-1999-0001", stdout=StringIO())


def test_cases_need_no_database_and_print_one_object_a_line(tmp_path: Path) -> None:
    """No `db` fixture here: a query would fail the test."""
    for seed in (1, 2):
        simulate(seed, tmp_path / f"case-{seed}", traces=500)
    broken = tmp_path / "case-9"
    broken.mkdir()
    (broken / "incident.json").write_text("{}")
    out = StringIO()
    with pytest.raises(CommandError, match="1 case"):
        call_command("attribute", "--cases", str(tmp_path), "--json-lines", "--processes", "1", stdout=out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["case"] for line in lines] == ["case-1", "case-2", "case-9"]
    assert all("hypotheses" in line for line in lines[:2])
    assert "incident.json" in lines[2]["error"]


def test_the_command_wants_one_of_its_two_forms() -> None:
    with pytest.raises(CommandError, match="either"):
        call_command("attribute")
    with pytest.raises(CommandError, match="not a folder"):
        call_command("attribute", "--cases", "no/such/folder")
