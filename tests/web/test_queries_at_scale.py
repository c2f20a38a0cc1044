"""Ledger, trace list and one trace ask as many questions of the database for many traces and changes as for few."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from postmortem.accounts.models import Role
from postmortem.traces import stored_columns
from postmortem.traces.services import import_file
from tests.builders import make_change, make_incident, make_person

pytestmark = pytest.mark.django_db
PAGES = ("changes/", "traces/", "traces/?q=parcel&f.region=eu&score=quality&lowest=0.5", "traces/{trace}/", "label/")


def grow(incident, by, first, last):
    rows = (
        {
            "id": f"t{n}", "timestamp": f"2026-03-05T{n // 60:02d}:{n % 60:02d}:00Z", "scores": {"quality": n % 2},
            "facets": {"region": "eu", "tenant": f"c{n}"}, "input": f"Where is parcel {n}?",
        }
        for n in range(first, last)
    )  # fmt: skip
    data = "\n".join(map(json.dumps, rows)).encode()
    import_file(incident=incident, by=by, filename=f"{first}.jsonl", data=data)
    for n in range(first, last, 4):
        make_change(f"change-{n}", feature=incident.feature, scope={"tenant": [f"c{n}"]})


def test_as_many_queries_for_many_traces_and_changes(client, monkeypatch):
    monkeypatch.setattr(stored_columns, "SEGMENT_ROWS", 20)
    by = make_person("Helen Lindqvist", Role.FACILITATOR)
    incident = make_incident(by=by, signal="quality")
    client.force_login(by)

    def asked() -> dict[str, int]:
        found = {}
        trace = incident.traces.order_by("pk").values_list("pk", flat=True)[0]
        for page in PAGES:
            address = f"/incidents/{incident.number}/{page.format(trace=trace)}"
            assert client.get(address).status_code == 200  # what is remembered for a state of the evidence
            with CaptureQueriesContext(connection) as queries:
                client.get(address)
            found[page] = len(queries)
        return found

    grow(incident, by, 0, 45)
    few = asked()
    grow(incident, by, 45, 300)
    many = asked()
    assert many == few
    assert max(many.values()) <= 50
