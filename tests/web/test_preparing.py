"""Pages of an incident whose many new traces have no columns yet: a worker builds them, nobody waits in a request."""

import pytest
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.pipeline import background
from postmortem.pipeline.models import Run
from postmortem.traces import stored_columns
from postmortem.traces.models import ColumnSegment
from postmortem.web import preparing
from tests.api.client import Api
from tests.builders import make_incident, make_person
from tests.traces.test_stored_columns import upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.FACILITATOR)


@pytest.fixture
def incident(reviewer, monkeypatch):
    """Forty traces, and none of their columns, where ten may be waited for."""
    monkeypatch.setattr(stored_columns, "SEGMENT_ROWS", 10)
    monkeypatch.setattr(preparing, "MOST_AT_ONCE", 10)
    made = make_incident()
    upload(made, reviewer, range(40))
    ColumnSegment.objects.all().delete()
    return made


def test_the_page_tells_the_progress_and_comes_when_it_can(client, incident, reviewer):
    client.force_login(reviewer)
    address = reverse("changes", args=[incident.number]) + "?layer=prompt"
    page = client.get(address).content.decode()
    assert "are being prepared" in page
    assert f'hx-get="{address}"' in page
    assert not ColumnSegment.objects.exists()
    client.get(reverse("evidence", args=[incident.number]))
    run = Run.objects.get()  # one for all who wait
    assert run.kind == Run.Kind.PREPARE
    background.work(once=True)
    run.refresh_from_db()
    assert (run.state, run.message) == ("done", "40 traces are ready.")
    assert "are being prepared" not in client.get(address).content.decode()
    assert ColumnSegment.objects.filter(built=True).count() == 4


def test_a_part_of_a_page_asks_for_the_whole(client, incident, reviewer):
    client.force_login(reviewer)
    address = reverse("changes", args=[incident.number])
    answer = client.get(address, headers={"HX-Request": "true", "HX-Target": "ledger"})
    assert (answer.status_code, answer.headers["HX-Refresh"]) == (204, "true")


def test_rest_says_when_to_ask_again(incident, reviewer):
    told = Api(reviewer, incident.number).ask("get", "./changes/", expect=503)
    assert "being prepared" in told["detail"]
    assert Run.objects.get().kind == Run.Kind.PREPARE


def test_few_traces_are_read_at_once_and_a_worker_never_waits(client, incident, reviewer, monkeypatch):
    monkeypatch.setattr(preparing, "MOST_AT_ONCE", 40)
    client.force_login(reviewer)
    assert "are being prepared" not in client.get(reverse("changes", args=[incident.number])).content.decode()
    assert not Run.objects.exists()
    ColumnSegment.objects.all().delete()
    assert sum(part.size for part in stored_columns.read_parts(incident.pk, ("traces",))) == 40


def test_wrong_counts_of_imports_keep_no_page_waiting(client, incident, reviewer):
    stored_columns.build_columns(incident.pk)
    incident.evidence_imports.update(trace_count=5_000)
    client.force_login(reviewer)
    assert "are being prepared" not in client.get(reverse("changes", args=[incident.number])).content.decode()
