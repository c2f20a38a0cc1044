"""What people may read of a trace, and who looked."""

import json

import pytest
from django.core.exceptions import PermissionDenied

from postmortem.accounts.models import AuditEntry, Role
from postmortem.lib.errors import UserError
from postmortem.traces import services as traces
from postmortem.traces.labels import label_trace, withdraw_label
from postmortem.traces.models import RedactionPattern, Trace, TraceLabel
from postmortem.traces.reading import add_pattern, clear_reading, masked_reading, retire_pattern
from postmortem.traces.selectors import signals, trace_records
from postmortem.traces.stored_cells import signal_cells
from postmortem.traces.texts import house_patterns
from postmortem.traces.tree import flatten
from tests.builders import make_incident, make_person, make_trace

pytestmark = pytest.mark.django_db

MAIL = "jane.doe@example.org"


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.REVIEWER)


@pytest.fixture
def trace(reviewer):
    row = {
        "id": "o1", "traceId": "t1", "type": "GENERATION", "name": "answer", "startTime": "2026-03-02T00:00:00Z",
        "input": f"I am {MAIL}, customer CUST-123456", "output": "Thanks", "userId": MAIL,
        "metadata": {"mail": MAIL}, "level": "ERROR", "statusMessage": f"no mail to {MAIL}",
    }  # fmt: skip
    data = json.dumps({"observations": [row], "scores": []}).encode()
    traces.import_file(incident=make_incident(), by=reviewer, filename="trace-t1.json", data=data)
    return Trace.objects.get()


def everything(reading) -> str:
    return repr([reading.trace.__dict__, [node.observation for node in flatten(reading.roots)], reading.metadata])


def test_masked_everywhere_and_the_bytes_keep_their_hash(trace):
    before = trace.trace_blobs.get().blob_id
    reading = masked_reading(trace)
    assert MAIL not in everything(reading)
    assert "[masked: e-mail address]" in reading.roots[0].observation.input
    assert Trace.objects.get().user_id == MAIL
    assert MAIL.encode() in traces.read_blob(trace.trace_blobs.get().blob)
    assert trace.trace_blobs.get().blob_id == before


def test_observations_that_are_not_shown_keep_no_text(trace):
    node = masked_reading(trace, range(5, 9)).roots[0]
    assert node.observation.input == "" and node.observation.metadata == {}


def test_in_clear_for_those_who_may_and_each_look_is_recorded(trace, reviewer):
    with pytest.raises(PermissionDenied):
        clear_reading(trace=trace, by=reviewer)
    assert not AuditEntry.objects.filter(action="see in clear").exists()
    facilitator = make_person("Helen Lindqvist", Role.FACILITATOR)
    for place in ("", "observation 1"):
        assert MAIL in everything(clear_reading(trace=trace, by=facilitator, place=place))
    looks = AuditEntry.objects.filter(action="see in clear").order_by("id")
    assert [look.after["place"] for look in looks] == ["trace", "observation 1"]
    assert looks[0].after["kinds"] == {"e-mail address": 1}
    assert MAIL not in repr([look.__dict__ for look in looks])


def test_patterns_of_the_house_mask_what_is_stored(trace, reviewer):
    administrator = make_person("Ada Min", Role.ADMINISTRATOR)
    with pytest.raises(PermissionDenied):
        add_pattern(by=reviewer, kind="customer number", pattern="CUST-[0-9]{6}")
    with pytest.raises(UserError):
        add_pattern(by=administrator, kind="customer number", pattern="(")
    assert not RedactionPattern.objects.exists()
    row = add_pattern(by=administrator, kind="customer number", pattern="CUST-[0-9]{6}")
    assert "[masked: customer number]" in masked_reading(trace).roots[0].observation.input
    retire_pattern(row=row, by=administrator)
    assert house_patterns() == ()
    assert "CUST-123456" in masked_reading(trace).roots[0].observation.input


def test_the_newest_label_counts_and_taking_it_back_brings_the_one_before(reviewer):
    trace, other = make_trace(make_incident()), make_person("Jun Sato", Role.REVIEWER)
    label_trace(trace=trace, by=reviewer, value="fine")
    assert trace_records(trace.incident)[0].scores == {"label": 0.0}
    second = label_trace(trace=trace, by=other, value="fail")
    assert trace_records(trace.incident)[0].scores == {"label": 1.0}
    assert [(choice.name, choice.count) for choice in signals(trace.incident) if choice.name == "label"] == [
        ("label", 1)
    ]
    with pytest.raises(PermissionDenied):
        withdraw_label(label=second, by=reviewer)
    withdraw_label(label=second, by=other)
    withdraw_label(label=second, by=other)
    assert trace_records(trace.incident)[0].scores == {"label": 0.0}
    withdraw_label(label=TraceLabel.objects.get(by=reviewer), by=reviewer)
    assert trace_records(trace.incident)[0].scores == {}
    assert TraceLabel.objects.count() == 2
    assert AuditEntry.objects.filter(action__contains="label").count() == 4


def test_labels_are_two_and_not_for_viewers(reviewer):
    trace = make_trace(make_incident())
    with pytest.raises(UserError):
        label_trace(trace=trace, by=reviewer, value="odd")
    with pytest.raises(PermissionDenied):
        label_trace(trace=trace, by=make_person("Vera Look", Role.VIEWER), value="fail")
    assert not TraceLabel.objects.exists()


def test_labels_come_as_cells_like_any_signal(reviewer):
    incident = make_incident()
    for number, value in enumerate(["fail", "fine", "fail"]):
        label_trace(trace=make_trace(incident, f"t{number}"), by=reviewer, value=value)
    make_trace(incident, "unlabelled")
    cells = signal_cells(incident, "label")
    assert (cells.trace_count, cells.total.sum()) == (3, 2.0)
