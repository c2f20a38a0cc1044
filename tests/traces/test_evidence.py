"""Evidence comes in once, whole or not at all, and is never changed."""

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, transaction

from fixtures.standin import StandIn, awkward
from postmortem.accounts.models import AuditEntry, Role
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.traces import selectors, services
from postmortem.traces.finding import TraceFilter, find_traces
from postmortem.traces.langfuse_source import LangfuseSource
from postmortem.traces.models import EvidenceBlob, EvidenceImport, Score, Trace
from postmortem.traces.normalise import scores_by_name
from postmortem.traces.records import ScoreRecord, SourcePage, TraceRecord
from postmortem.traces.sources import WindowQuery
from postmortem.traces.tree import flatten
from tests.builders import make_incident, make_person
from tests.traces.stories import BEGIN, END, ENVIRONMENT, NAME, write_story

pytestmark = pytest.mark.django_db


def rows(*traces: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(trace).encode() + b"\n" for trace in traces)


def open_trace(number: int, **more: Any) -> dict[str, Any]:
    at = (BEGIN + timedelta(minutes=number)).isoformat()
    return {"id": f"t{number}", "timestamp": at, "facets": {"region": "eu"}, "scores": {"quality": 0.5}, **more}


def record(identifier: str = "t1", **more: Any) -> TraceRecord:
    return TraceRecord(**{"external_id": identifier, "timestamp": BEGIN, "facets": {"region": "eu"}, **more})


def upload(incident: Incident, data: bytes, filename: str = "traces.jsonl") -> EvidenceImport:
    return services.import_file(incident=incident, by=incident.created_by, filename=filename, data=data)


def begin(incident: Incident) -> EvidenceImport:
    return services.begin_import(incident=incident, by=incident.created_by, kind="window", origin="test")


def test_the_same_file_twice_adds_nothing() -> None:
    incident = make_incident()
    data = rows(*(open_trace(n) for n in range(700)))
    first = upload(incident, data)
    again = upload(incident, gzip.compress(data), "traces.jsonl.gz")
    assert (first.trace_count, first.score_count, first.finished) == (700, 700, True)
    assert (again.trace_count, again.score_count) == (0, 0)
    assert Trace.objects.count() == Score.objects.count() == 700
    assert EvidenceBlob.objects.count() == 1


def test_another_incident_has_its_own_traces_and_shares_the_bytes() -> None:
    data = rows(open_trace(1))
    upload(make_incident("INC-2026-0001"), data)
    upload(make_incident("INC-2026-0002"), data)
    assert Trace.objects.count() == 2
    assert EvidenceBlob.objects.count() == 1


@pytest.mark.parametrize(
    "data", [rows(open_trace(1)) + b"{broken\n", rows(open_trace(1), open_trace(2, timestamp="noon")), b""]
)
def test_a_file_that_is_wrong_anywhere_leaves_the_database_as_it_was(data: bytes) -> None:
    incident = make_incident()
    with pytest.raises(UserError, match=r"traces\.jsonl"):
        upload(incident, data)
    assert not Trace.objects.exists()
    assert not EvidenceBlob.objects.exists()
    assert not EvidenceImport.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_viewer_imports_nothing() -> None:
    incident = make_incident()
    viewer = make_person("Vera Viewer", Role.VIEWER)
    with pytest.raises(PermissionDenied):
        services.import_file(incident=incident, by=viewer, filename="traces.jsonl", data=rows(open_trace(1)))
    with pytest.raises(PermissionDenied):
        services.begin_import(incident=incident, by=viewer, kind="window", origin="x")


def test_imports_are_in_the_audit_log() -> None:
    incident = make_incident()
    upload(incident, rows(open_trace(1)))
    entries = AuditEntry.objects.filter(incident_number=incident.number).order_by("id")
    assert [entry.action for entry in entries] == ["begin import", "finish import"]
    assert entries[1].after == {"traces": 1, "scores": 1}


def test_a_trace_keeps_its_facts_and_gains_bytes_and_newer_scores() -> None:
    evidence_import = begin(make_incident())
    old = ScoreRecord("s1", "quality", 0.9)
    first = record("t1", score_records=(old,))
    services.store_page(evidence_import=evidence_import, records=[first], pages=[b"{1}"])
    new = (ScoreRecord("s1", "quality", 0.2), ScoreRecord("s2", "helpful", 1.0))
    changed = record("t1", facets={"region": "us"}, score_records=new)
    added = services.store_page(evidence_import=evidence_import, records=[changed], pages=[b"{2}"], anchor=True)
    trace = Trace.objects.get()
    assert added == 0
    assert trace.facets == {"region": "eu"}
    assert trace.is_anchor
    assert dict(trace.scores.values_list("name", "value")) == {"quality": 0.2, "helpful": 1.0}
    assert trace.trace_blobs.count() == evidence_import.blobs.count() == 2


def test_a_page_is_tied_to_the_traces_that_it_tells_about() -> None:
    pages = [SourcePage(b"{1}", frozenset({"a"})), SourcePage(b"{2}", frozenset({"a", "b"})), b"{all}"]
    services.store_page(evidence_import=begin(make_incident()), records=[record("a"), record("b")], pages=pages)
    tied = {
        trace.external_id: {services.read_blob(one.blob) for one in trace.trace_blobs.select_related("blob")}
        for trace in Trace.objects.all()
    }
    assert tied == {"a": {b"{1}", b"{2}", b"{all}"}, "b": {b"{2}", b"{all}"}}


def test_a_page_that_cannot_be_stored_leaves_nothing() -> None:
    evidence_import = begin(make_incident())
    broken = record("t2", facets={"region": object()})
    with pytest.raises(TypeError):
        services.store_page(evidence_import=evidence_import, records=[record("t1"), broken], pages=[b"{}"])
    assert not Trace.objects.exists()
    assert not EvidenceBlob.objects.exists()


def test_bytes_are_named_by_their_hash_and_checked_when_read() -> None:
    blob = services.store_blob(b"evidence")
    assert blob.sha256 == sha256_hex(b"evidence")
    assert services.store_blob(b"evidence").pk == blob.pk
    assert services.read_blob(EvidenceBlob.objects.get()) == b"evidence"
    blob.compressed = services.store_blob(b"other").compressed
    with pytest.raises(UserError, match="do not match their SHA-256"):
        services.read_blob(blob)


def test_the_database_refuses_to_change_or_delete_evidence() -> None:
    blob = services.store_blob(b"evidence")
    for attempt in (
        lambda: EvidenceBlob.objects.filter(pk=blob.pk).update(media_type="text/plain"),
        lambda: EvidenceBlob.objects.filter(pk=blob.pk).delete(),
        lambda: connection.cursor().execute("UPDATE traces_evidenceblob SET size_bytes = 0"),
        lambda: connection.cursor().execute("DELETE FROM traces_evidenceblob"),
    ):
        with pytest.raises(DatabaseError, match="never changed or deleted"), transaction.atomic():
            attempt()
    assert services.read_blob(EvidenceBlob.objects.get()) == b"evidence"


# Reading


def test_records_come_back_as_they_went_in() -> None:
    incident = make_incident()
    data = rows(*(open_trace(n, latency=1.25, cost=0.001, input="Hello?", name="answer") for n in range(3)))
    upload(incident, data)
    found = selectors.trace_records(incident)
    assert [one.external_id for one in found] == ["t0", "t1", "t2"]
    assert found[1].timestamp == BEGIN + timedelta(minutes=1)
    assert (found[0].facets, found[0].scores) == ({"region": "eu"}, {"quality": 0.5})
    assert (found[0].latency_seconds, found[0].cost_usd, found[0].name) == (1.25, 0.001, "answer")
    within = selectors.trace_records(incident, start=BEGIN + timedelta(minutes=1), end=BEGIN + timedelta(minutes=2))
    assert [one.external_id for one in within] == ["t1"]


def test_the_database_chooses_among_scores_of_a_name_as_the_pure_rule_does() -> None:
    scores = (
        ScoreRecord("1", "quality", 0.9, timestamp=END, observation_id="gen"),
        ScoreRecord("2", "quality", 0.2, timestamp=BEGIN),
        ScoreRecord("3", "quality", 0.4, timestamp=END),
        ScoreRecord("4", "quality", 0.6),
        ScoreRecord("5", "grounded", 0.7, observation_id="gen"),
        ScoreRecord("6", "remark", None, text_value="poor"),
    )
    incident = make_incident()
    services.store_page(evidence_import=begin(incident), records=[record(score_records=scores)], pages=[b"{}"])
    (one,) = selectors.trace_records(incident)
    assert one.scores == scores_by_name(scores) == {"quality": 0.4, "grounded": 0.7}


def test_thousands_of_traces_are_read_in_two_queries(django_assert_num_queries: Any) -> None:
    incident = make_incident()
    upload(incident, rows(*(open_trace(n) for n in range(2500))))
    with django_assert_num_queries(2):
        assert len(selectors.trace_records(incident)) == 2500
    with django_assert_num_queries(4):
        counts = selectors.evidence_counts(incident)
    assert (counts.traces, counts.scores, counts.imports, counts.anchors) == (2500, 2500, 1, 0)
    with django_assert_num_queries(4):
        selectors.facet_coverage(incident)
    with django_assert_num_queries(1):  # counted once for a state of the evidence
        coverage = {facet.name: facet for facet in selectors.facet_coverage(incident)}
    assert (coverage["region"].share, coverage["region"].values) == (1.0, [("eu", 2500)])
    assert (coverage["model_version"].count, coverage["model_version"].values) == (0, [])


def test_the_list_is_searched_and_filtered() -> None:
    incident = make_incident()
    upload(
        incident,
        rows(
            open_trace(1, facets={"region": "eu", "a__contains": 'odd "name"'}, input="Where is my 100% refund?"),
            open_trace(2, facets={"region": "us", "segment": "pro"}, scores={"helpful": 1}, name="triage"),
        ),
    )

    def found(**asked: Any) -> list[str]:
        return [trace.external_id for trace in find_traces(incident, TraceFilter(**asked))]

    assert found() == ["t1", "t2"]
    assert found(text="REFUND") == ["t1"]
    assert found(text="100%") == ["t1"]
    assert found(text="tria") == ["t2"]
    assert found(facets={"region": "us", "segment": "pro"}) == ["t2"]
    assert found(facets={"region": "us", "segment": "free"}) == []
    assert found(facets={"a__contains": 'odd "name"'}) == ["t1"]
    assert found(facets={"unknown": "x"}) == []
    assert found(score="helpful") == ["t2"]


def test_signals_that_can_be_chosen() -> None:
    incident = make_incident()
    upload(incident, rows(open_trace(1, latency=1.0), open_trace(2, error=True, scores={"quality": 1, "helpful": 1})))
    assert [(signal.name, signal.count) for signal in selectors.signals(incident)] == [
        ("quality", 2), ("helpful", 1), ("latency", 1), ("error", 2),
    ]  # fmt: skip


def test_a_trace_is_read_back_from_its_bytes(tmp_path: Path, django_assert_max_num_queries: Any) -> None:
    incident = make_incident()
    with (
        StandIn(mode="v4", stories=[write_story(tmp_path / "story")]) as stand_in,
        LangfuseSource(
            base_url=stand_in.base_url, public_key=stand_in.public_key, secret_key=stand_in.secret_key
        ) as source,
    ):
        window = begin(incident)
        for page in source.iter_window(WindowQuery(BEGIN, END, 1000, NAME, ENVIRONMENT)):
            services.store_page(evidence_import=window, records=page.records, pages=page.pages)
        assert services.finish_import(evidence_import=window).trace_count == 60
        anchor = begin(incident)
        for identifier in (f"{59:032x}", awkward.ORPHANS):
            fetched = source.fetch_trace(identifier)
            services.store_page(evidence_import=anchor, records=[fetched.record], pages=fetched.pages, anchor=True)

    # one that only the window brought: its tree without inputs
    with django_assert_max_num_queries(3):
        reading = selectors.trace_reading(Trace.objects.get(external_id=f"{20:032x}"))
    assert [node.observation.name for node in flatten(reading.roots)] == [NAME, "search", "write"]
    assert {score.name for score in reading.scores} == {"grounded", "helpful"}
    assert "encoder" in reading.missing_facets
    # one that was read whole as well: what says more is shown
    reading = selectors.trace_reading(Trace.objects.get(external_id=f"{59:032x}"))
    assert reading.roots[0].observation.input
    assert len(list(flatten(reading.roots))) == 3
    orphans = selectors.trace_reading(Trace.objects.get(external_id=awkward.ORPHANS))
    assert [node.observation.name for node in orphans.roots] == ["handle", "lost"]
    assert orphans.trace.is_anchor


def test_a_trace_of_the_open_format_and_of_the_old_endpoint_is_read_back() -> None:
    incident = make_incident()
    upload(incident, rows(*(open_trace(n, input=f"Question {n}", output="Answer") for n in range(5))))
    reading = selectors.trace_reading(Trace.objects.get(external_id="t3"))
    assert (reading.input, reading.output, reading.roots) == ("Question 3", "Answer", [])

    body = {
        "id": "old", "timestamp": "2026-03-09T09:00:00Z", "name": "answer", "metadata": {"plan": "pro"},
        "input": {"q": "Hi"},
        "observations": [{"id": "o", "type": "SPAN", "name": "handle", "startTime": "2026-03-09T09:00:00Z"}],
        "scores": [],
    }  # fmt: skip
    upload(incident, json.dumps(body).encode(), "trace.json")
    old = Trace.objects.get(external_id="old")
    reading = selectors.trace_reading(old)
    assert old.is_anchor  # a file of one trace was uploaded to be read
    assert reading.roots[0].observation.name == "handle"
    assert reading.metadata == {"plan": "pro"}
    assert '"q": "Hi"' in reading.input
