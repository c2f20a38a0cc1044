"""Words of traces are found on both databases, and nothing that is masked is."""

import json

import pytest

from postmortem.accounts.models import Role
from postmortem.lib.clock import parse_moment
from postmortem.traces import reread, texts
from postmortem.traces import services as traces
from postmortem.traces.finding import TraceFilter, find_traces
from postmortem.traces.models import ReadBlob, Trace, TraceText
from postmortem.traces.reading import add_pattern
from tests.builders import make_incident, make_person, make_trace

pytestmark = pytest.mark.django_db


def upload(incident, *rows, by=None):
    lines = [
        json.dumps({"id": f"trace-{place:04d}", "timestamp": "2026-03-02T00:00:00Z", "facets": {}, **row})
        for place, row in enumerate(rows)
    ]
    by = by or make_person("Priya Nair", Role.REVIEWER)
    traces.import_file(incident=incident, by=by, filename="traces.jsonl", data="\n".join(lines).encode())


def found(incident, text):
    return sorted(trace.external_id for trace in find_traces(incident, TraceFilter(text=text)))


@pytest.fixture
def incident():
    incident = make_incident()
    upload(
        incident,
        {"input": "x " * 400 + "Where is my REFUND?", "output": "Größe 42, naïve_answer v4.18.2"},
        {"input": "refunded already", "user_id": "jane.doe@example.org"},
        {"name": "triage"},
    )
    return incident


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("refund", [0, 1]),
        ("refund where", [0]),
        ("GRÖSSE", []),
        ("größe", [0]),
        ("naïve answer", [0]),
        ("4.18", [0]),
        ("trace-0002", [2]),
        ("tria", [2]),
        ("zebra", []),
        ("jane", []),
        ("example.org", []),
        ("!!!", []),
    ],
)
def test_words_are_found_far_beyond_the_preview(incident, text, places):
    assert found(incident, text) == [f"trace-{place:04d}" for place in places]


def test_what_was_masked_is_counted(incident):
    assert TraceText.objects.get(trace__external_id="trace-0001").kinds == {"e-mail address": 1}


def test_a_new_pattern_takes_its_words_out_of_the_index(incident):
    add_pattern(by=make_person("Ada Min", Role.ADMINISTRATOR), kind="word", pattern="(?i)refund")
    assert texts.unread_count(incident) == 1 and found(incident, "where") == []
    assert reread.read_next_blob() and not reread.read_next_blob()
    assert found(incident, "where") == ["trace-0000"] and found(incident, "refund") == []


def test_a_large_import_is_read_later_and_reading_twice_changes_nothing(monkeypatch):
    monkeypatch.setattr(reread, "AT_ONCE_BYTES", 10)
    monkeypatch.setattr(reread, "_CHUNK", 2)
    incident = make_incident()
    upload(incident, *({"input": f"question number{place}"} for place in range(5)))
    assert found(incident, "question") == [] and texts.unread_count(incident) == 1
    assert reread.read_next_blob()
    assert len(found(incident, "question")) == 5
    before = list(TraceText.objects.order_by("pk").values_list("text", flat=True))
    ReadBlob.objects.all().delete()
    assert reread.read_next_blob() and ReadBlob.objects.count() == 1
    assert list(TraceText.objects.order_by("pk").values_list("text", flat=True)) == before


def test_deleted_traces_leave_the_index(incident):
    Trace.objects.filter(external_id="trace-0002").delete()
    assert found(incident, "triage") == []


def test_pages_meet_at_ties_and_the_count_ends(incident):
    for place in range(7):
        make_trace(incident, f"tie-{place}", timestamp=parse_moment("2026-03-05T00:00:00Z"), latency_seconds=place // 2)
    everything = find_traces(incident, TraceFilter())
    for order in ("", "newest", "slowest"):
        seen, after = [], ""
        while True:
            page = everything.page(order=order, after=after, size=3)
            if seen:
                back = everything.page(order=order, before=page.before, size=3)
                assert [row.pk for row in back.rows] == seen[-3:]
            seen += [row.pk for row in page.rows]
            after = page.after
            if not after:
                break
        assert len(seen) == len(set(seen)) == (7 if order == "slowest" else 10)
    assert everything.estimate() == (10, True)


def test_the_same_bytes_are_found_in_another_incident_too(incident):
    other = make_incident("INC-2026-0002")
    upload(
        other,
        {"input": "x " * 400 + "Where is my REFUND?", "output": "Größe 42, naïve_answer v4.18.2"},
        {"input": "refunded already", "user_id": "jane.doe@example.org"},
        {"name": "triage"},
        by=incident.created_by,
    )
    assert found(other, "refund") == found(incident, "refund") == ["trace-0000", "trace-0001"]


def test_what_was_masked_in_one_part_of_a_trace_stays_told_after_another(incident):
    row = {"traceId": "t1", "startTime": "2026-03-02T00:00:00Z", "projectId": "p", "name": "step", "type": "SPAN"}
    for part, text in (("a", "mail jane@example.org and joe@example.org"), ("b", "call +49 30 901820")):
        data = json.dumps({**row, "id": part, "input": text}).encode()
        traces.import_file(incident=incident, by=incident.created_by, filename=f"{part}.jsonl", data=data)
    kinds = {"e-mail address": 2, "telephone number": 1}
    assert TraceText.objects.get(trace__external_id="t1").kinds == kinds
    ReadBlob.objects.all().delete()
    while reread.read_next_blob():
        pass
    assert TraceText.objects.get(trace__external_id="t1").kinds == kinds
