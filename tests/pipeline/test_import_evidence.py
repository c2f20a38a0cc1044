"""A pasted link: the trace first, then its window, whatever breaks on the way."""

from datetime import timedelta

import pytest

from postmortem.incidents.services import update_incident
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.pipeline.background import cancel, retry
from postmortem.pipeline.models import Run
from postmortem.pipeline.services import start_link_import, start_window_import
from postmortem.traces.langfuse_source import RateLimited, SourceError, UnknownTrace
from postmortem.traces.models import EvidenceImport, Trace
from tests.builders import make_incident
from tests.pipeline.builders import LINK, NOON, FakeSource, make_connection, serve, work_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def incident():
    return make_incident()


@pytest.fixture
def source(monkeypatch):
    make_connection()
    source = FakeSource()
    serve(monkeypatch, source)
    return source


def start(incident, **fields):
    return start_link_import(incident=incident, by=incident.created_by, link=LINK, **fields)


def work_and_read(run):
    Run.objects.filter(state=Run.State.QUEUED).update(not_before=utc_now())
    work_once()
    run.refresh_from_db()
    return run


def test_the_trace_and_its_window(incident, source):
    run = work_and_read(start(incident))
    assert (run.state, run.progress_done, run.progress_total) == (Run.State.DONE, 40, 40)
    assert run.message == (
        "The trace is stored. 40 more traces “answer” in production came with its window."
    )  # fmt: skip
    assert incident.traces.count() == 41
    assert [trace.external_id for trace in incident.traces.filter(is_anchor=True)] == ["anchor"]
    imports = EvidenceImport.objects.order_by("id")
    assert [(one.kind, one.origin, one.trace_count, one.finished) for one in imports] == [
        ("link", LINK, 1, True), ("window", LINK, 40, True),
    ]  # fmt: skip


def test_the_trace_fills_what_the_incident_does_not_say(incident, source):
    work_and_read(start(incident))
    incident.refresh_from_db()
    assert (incident.trace_name, incident.environment) == ("answer", "production")
    assert incident.incident_start == incident.baseline_end == NOON - timedelta(days=2)
    assert incident.incident_end == NOON + timedelta(days=1)
    assert source.window[:2] == ("answer", "production")
    assert source.window[2:4] == (incident.baseline_start, incident.incident_end)


def test_what_people_wrote_stays(source):
    written = {
        "trace_name": "refunds", "environment": "staging", "baseline_start": NOON - timedelta(days=3),
        "baseline_end": NOON - timedelta(days=1), "incident_start": NOON, "incident_end": NOON + timedelta(hours=6),
    }  # fmt: skip
    incident = make_incident(**written)
    work_and_read(start(incident))
    incident.refresh_from_db()
    assert {name: getattr(incident, name) for name in written} == written
    assert source.window[:4] == ("refunds", "staging", written["baseline_start"], written["incident_end"])


def test_somebody_may_save_the_incident_in_the_meantime(incident, source):
    def edit(number):
        stored = type(incident).objects.get(pk=incident.pk)
        update_incident(incident=stored, by=incident.created_by, revision=stored.revision, summary=f"page {number}")

    source.before_page = edit
    assert work_and_read(start(incident)).state == Run.State.DONE
    incident.refresh_from_db()
    assert (incident.summary, incident.trace_name) == ("page 3", "answer")


def test_the_same_link_twice_adds_nothing(incident, source):
    work_and_read(start(incident))
    run = work_and_read(start(incident))
    assert run.message.startswith("The trace is stored. 0 more traces")
    assert incident.traces.count() == 41


def test_the_cap_is_bounded_by_the_settings_and_named(incident, source, settings):
    settings.IMPORT_WINDOW_MAX_TRACES = 30
    run = work_and_read(start(incident, cap=10_000))
    assert source.window[4] == 30
    assert run.message.endswith("at most 30 are read, spread over its whole span.")
    assert EvidenceImport.objects.get(kind="window").truncated_at_cap
    with pytest.raises(UserError, match="at least 1"):
        start(incident, cap=0)


class TestBreaks:
    def test_a_server_error_half_way_is_gone_on_from(self, incident, source):
        source.faults = {2: SourceError("langfuse.example.org answered with an error (500); try again later.")}
        run = work_and_read(start(incident))
        assert (run.state, run.progress_done) == (Run.State.QUEUED, 20)
        assert run.progress_text == "Attempt 1 broke off; trying again."
        run = work_and_read(run)
        assert run.state == Run.State.DONE
        assert source.asked == [0, 1, 2, 3]
        assert incident.traces.count() == 41
        assert EvidenceImport.objects.filter(kind="window").count() == 1

    def test_a_rate_limit_half_way_waits_as_long_as_the_server_says(self, incident, source):
        source.faults = {1: RateLimited("Slow down.", retry_after_seconds=90)}
        run = work_and_read(start(incident))
        assert run.state == Run.State.QUEUED
        assert timedelta(seconds=80) < run.not_before - utc_now() <= timedelta(seconds=90)
        assert "limits how often it is read" in run.progress_text
        assert work_and_read(run).state == Run.State.DONE
        assert source.asked == [0, 1, 2, 3]
        assert "waits" not in run.cursor

    def test_an_unknown_trace_fails_at_once_and_stores_nothing(self, incident, source):
        source.faults = {"trace": UnknownTrace("There is no trace anchor in this project.")}
        run = work_and_read(start(incident))
        assert (run.state, run.message) == (Run.State.FAILED, "There is no trace anchor in this project.")
        assert not EvidenceImport.objects.exists()
        incident.refresh_from_db()
        assert (incident.trace_name, incident.revision) == ("", 1)

    def test_a_server_that_does_not_answer_fails_at_once(self, incident, source):
        source.faults = {"trace": SourceError("langfuse.example.org does not answer.")}
        assert work_and_read(start(incident)).state == Run.State.FAILED

    def test_cancelled_between_pages_it_keeps_what_it_has_and_can_go_on(self, incident, source):
        run = start(incident)
        source.before_page = lambda number: number == 2 and cancel(run, incident.created_by)
        run = work_and_read(run)
        assert run.state == Run.State.CANCELLED
        assert incident.traces.count() == 21
        window = EvidenceImport.objects.get(kind="window")
        assert (window.finished, window.truncated_at_cap) == (True, True)
        source.before_page = lambda number: None
        retry(run, incident.created_by)
        assert work_and_read(run).state == Run.State.DONE
        assert incident.traces.count() == 41
        window.refresh_from_db()
        assert (window.finished, window.truncated_at_cap, window.trace_count) == (True, False, 40)


class TestRefusedAtOnce:
    @pytest.mark.parametrize(
        ("link", "sentence"),
        [
            ("hello", "not a web address|no Langfuse link|Langfuse link"),
            ("https://langfuse.example.org/project/p1/prompts/s1", "leads to a prompt"),
            ("https://elsewhere.example.org/project/p1/traces/t1", "No connection reads from https://elsewhere"),
            ("https://langfuse.example.org/project/other/traces/t1", "belongs to project other"),
        ],
    )
    def test_what_needs_no_server_to_see(self, incident, source, link, sentence):
        with pytest.raises(UserError, match=sentence):
            start_link_import(incident=incident, by=incident.created_by, link=link)
        assert not Run.objects.exists()

    def test_a_connection_that_was_never_asked_waits_for_the_worker(self, incident, source):
        make_connection(name="Second", project_id="")
        link = LINK.replace("p1", "p2")
        assert start_link_import(incident=incident, by=incident.created_by, link=link).state == Run.State.QUEUED


def test_the_window_alone_after_its_times_were_corrected(incident, source):
    connection = source and type(make_connection(name="Other")).objects.get(name="Production")
    with pytest.raises(UserError, match="Set the trace name"):
        start_window_import(incident=incident, by=incident.created_by, connection=connection)
    work_and_read(start(incident))
    incident.refresh_from_db()
    source.pages = 5
    run = work_and_read(start_window_import(incident=incident, by=incident.created_by, connection=connection))
    assert run.message == "10 more traces “answer” in production came with its window."
    assert Trace.objects.count() == 51
