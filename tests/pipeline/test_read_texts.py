"""A window comes without texts; some of its traces are read whole, on the page, over REST, and after a break."""

import json
from contextlib import contextmanager

import pytest
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.lib.errors import UserError
from postmortem.pipeline import background, read_texts, services
from postmortem.pipeline.models import Run
from postmortem.traces.langfuse_source import FetchedTrace, UnknownTrace
from postmortem.traces.services import begin_import, finish_import, store_page
from tests.api.client import Api
from tests.builders import make_incident, make_person, make_trace
from tests.pipeline.builders import NOON, make_connection, make_record

pytestmark = pytest.mark.django_db


class Server:
    """Knows every trace but `gone`; breaks before the one called `breaks`, once."""

    def __init__(self):
        self.asked, self.gone, self.breaks = [], "", ""

    def fetch_trace(self, trace_id, timestamp=None):
        if trace_id == self.breaks:
            self.breaks = ""
            raise ConnectionError("away")
        if trace_id == self.gone:
            raise UnknownTrace("There is no such trace.")
        self.asked.append(trace_id)
        row = {
            "id": trace_id,
            "timestamp": NOON.isoformat(),
            "input": f"Where is {trace_id}?",
            "output": "In the depot.",
        }
        return FetchedTrace(make_record(trace_id, facets={"release": "another"}), [json.dumps(row).encode()])


@pytest.fixture
def server(monkeypatch):
    made = Server()

    @contextmanager
    def opened(connection):
        yield made

    monkeypatch.setattr(read_texts, "open_source", opened)
    return made


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.FACILITATOR)


@pytest.fixture
def incident(reviewer):
    """Six traces of a window, as facts alone."""
    made = make_incident()
    imported = begin_import(
        incident=made, by=reviewer, kind="window", origin="Production", connection=make_connection()
    )
    records = [make_record(f"t{number}", minutes=number) for number in range(6)]
    store_page(evidence_import=imported, records=records, pages=[b'{"page": 1}'])
    finish_import(evidence_import=imported)
    return made


def start(incident, reviewer):
    return services.start_reading_texts(
        incident=incident, by=reviewer, traces=list(incident.traces.select_related("evidence_import"))
    )


def test_texts_come_and_facts_stay(client, incident, reviewer, server):
    server.gone = "t3"
    run = start(incident, reviewer)
    background.work(once=True)
    run.refresh_from_db()
    assert (run.state, run.message) == (
        "done", "The texts of 5 traces are here. 1 trace the server no longer has.",
    )  # fmt: skip
    trace = incident.traces.get(external_id="t1")
    assert (trace.facets, trace.evidence_import.trace_count) == ({"release": "1"}, 6)
    client.force_login(reviewer)
    page = client.get(reverse("trace-detail", args=[incident.number, trace.pk])).content.decode()
    assert "Where is t1?" in page and "read without texts" not in page
    gone = client.get(reverse("trace-detail", args=[incident.number, incident.traces.get(external_id="t3").pk]))
    assert "read without texts" in gone.content.decode()


def test_the_labelling_page_asks_for_the_texts_of_its_sample(client, incident, reviewer, server):
    client.force_login(reviewer)
    address = reverse("label", args=[incident.number])
    page = client.get(address).content.decode()
    assert "Its window was read without texts" in page and "Read the texts of the next traces" in page
    started = client.post(reverse("read-texts", args=[incident.number]), {"place": "0"}, follow=True)
    assert "Read texts of traces" in started.content.decode()
    background.work(once=True)
    assert sorted(server.asked) == [f"t{number}" for number in range(6)]
    page = client.get(address).content.decode()
    assert "In the depot." in page and "read without texts" not in page


def test_after_a_break_it_goes_on_with_the_next_one(incident, reviewer, server):
    server.breaks = "t3"
    run = start(incident, reviewer)
    background.execute(background.claim_next("w"))
    run.refresh_from_db()
    assert (run.state, run.cursor["done"]) == ("queued", 3)
    Run.objects.update(not_before=NOON)
    background.work(once=True)
    assert server.asked == [f"t{number}" for number in range(6)]


def test_one_trace_by_page_and_some_over_rest(client, incident, reviewer, server):
    trace = incident.traces.get(external_id="t2")
    client.force_login(reviewer)
    done = client.post(reverse("read-texts", args=[incident.number]), {"trace": trace.pk})
    assert done.url == reverse("trace-detail", args=[incident.number, trace.pk])
    other = incident.traces.get(external_id="t4")
    told = Api(reviewer, incident.number).ask("post", "./evidence/texts/", {"traces": [other.pk]}, expect=202)
    assert told["kind"] == "read_texts"
    background.work(once=True)
    background.work(once=True)
    assert sorted(server.asked) == ["t2", "t4"]


def test_traces_of_a_file_have_no_server_to_ask(incident, reviewer):
    trace = make_trace(incident, "from a file")
    with pytest.raises(UserError, match="no server"):
        services.start_reading_texts(incident=incident, by=reviewer, traces=[trace])


def test_two_traces_without_texts_are_not_called_alike(client, incident, reviewer):
    client.force_login(reviewer)
    last = incident.traces.order_by("timestamp").last()
    page = client.get(reverse("trace-compare", args=[incident.number, last.pk])).content.decode()
    assert "no text is here of either" in page
