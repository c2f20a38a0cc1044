"""A pasted link: the trace first, then its window, whatever breaks on the way."""

from datetime import timedelta
from typing import ClassVar

import pytest

from postmortem.incidents.services import update_incident
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.pipeline.background import cancel, retry
from postmortem.pipeline.models import Run
from postmortem.pipeline.services import start_link_import, start_pull_again, start_window_import
from postmortem.traces.langfuse_source import RateLimited, SourceError, UnknownTrace
from postmortem.traces.models import Connection, EvidenceImport, Trace
from postmortem.traces.sources import ScoreFilter
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


class TestWindowsWithFilters:
    """Windows that people describe, and what is new since."""

    FILTERS: ClassVar = {"name": "answer", "user": "u-1", "score": {"name": "grounded", "operator": "<", "value": 0.5}}

    def pull(self, incident, **fields):
        connection = Connection.objects.get()
        given = {"filters": self.FILTERS, "start": NOON, "end": NOON + timedelta(hours=6)}
        return work_and_read(
            start_window_import(incident=incident, by=incident.created_by, connection=connection, **given | fields)
        )

    def again(self, incident):
        last = EvidenceImport.objects.last()
        return start_pull_again(incident=incident, by=incident.created_by, evidence_import=last)

    def test_the_filters_reach_the_source(self, incident, source):
        run = self.pull(incident)
        assert run.message == "40 new traces “answer”, user u-1, score grounded < 0.5 came."
        assert (source.query.user, source.query.score) == ("u-1", ScoreFilter("grounded", "<", 0.5))
        assert source.window[2:4] == (NOON, NOON + timedelta(hours=6))
        done = EvidenceImport.objects.get()
        assert (done.kind, done.covered_from, done.covered_to) == ("query", NOON, NOON + timedelta(hours=6))
        assert done.asked["filters"] == self.FILTERS

    def test_another_pull_reads_nothing_twice(self, incident, source):
        self.pull(incident)
        source.asked.clear()
        run = work_and_read(self.again(incident))
        assert run.state == Run.State.DONE
        assert run.message.startswith("Nothing new: all traces “answer”, user u-1")
        assert source.asked == []
        assert EvidenceImport.objects.count() == 1

    def test_an_open_window_goes_on_where_the_last_one_could_be_relied_on(self, incident, source):
        self.pull(incident, end=None)
        first = EvidenceImport.objects.get()
        assert timedelta(minutes=59) < utc_now() - first.covered_to < timedelta(minutes=62)
        run = work_and_read(self.again(incident))
        assert run.message.startswith("0 new traces")
        assert source.window[2] == first.covered_to
        assert source.window[3] > first.covered_to

    def test_other_filters_are_another_window(self, incident, source):
        self.pull(incident)
        self.pull(incident, filters={"name": "answer"})
        assert source.window[2:4] == (NOON, NOON + timedelta(hours=6))
        assert EvidenceImport.objects.count() == 2

    def test_a_window_that_grew_is_read_where_it_grew(self, source):
        edges = {"baseline_start": NOON - timedelta(days=3), "baseline_end": NOON - timedelta(days=2)}
        incident = make_incident(
            trace_name="answer", incident_start=NOON - timedelta(days=2), incident_end=NOON, **edges
        )
        connection = Connection.objects.get()
        work_and_read(start_window_import(incident=incident, by=incident.created_by, connection=connection))
        update_incident(
            incident=incident, by=incident.created_by, revision=incident.revision,
            baseline_start=NOON - timedelta(days=5),
        )  # fmt: skip
        work_and_read(self.again(incident))
        assert source.window[2:4] == (NOON - timedelta(days=5), NOON - timedelta(days=3))

    def test_a_cancelled_window_covers_nothing(self, incident, source):
        run = start_window_import(
            incident=incident, by=incident.created_by, connection=Connection.objects.get(), filters=self.FILTERS,
            start=NOON, end=NOON + timedelta(hours=6),
        )  # fmt: skip
        source.before_page = lambda number: cancel(run, incident.created_by) if number == 2 else None
        work_and_read(run)
        assert EvidenceImport.objects.get().covered_to is None
        assert incident.traces.count() == 20

    def test_a_break_goes_on_with_the_next_page(self, incident, source):
        source.faults[2] = SourceError("The server failed; try again later.")
        run = self.pull(incident)
        assert run.state == Run.State.QUEUED
        run = work_and_read(run)
        assert (run.state, source.asked) == (Run.State.DONE, [0, 1, 2, 3])
        assert EvidenceImport.objects.count() == 1

    def test_what_cannot_be_pulled_is_said(self, incident, source):
        connection = Connection.objects.get()
        by = incident.created_by
        for fields, sentence in (
            ({"filters": {"name": "answer"}}, "Say from when"),
            ({"start": NOON, "end": NOON}, "ends before it begins"),
            ({"start": NOON, "filters": {"score": {"name": "grounded"}}}, "needs a score's name"),
            ({}, "Set the trace name and the windows"),
        ):
            with pytest.raises(UserError, match=sentence):
                start_window_import(incident=incident, by=by, connection=connection, **fields)
        file = EvidenceImport.objects.create(incident=incident, kind="file", origin="a.json")
        with pytest.raises(UserError, match="came from a file"):
            start_pull_again(incident=incident, by=by, evidence_import=file)


class TestSessions:
    """A pasted session link brings every trace of the session, to be read."""

    LINK = "https://langfuse.example.org/project/p1/sessions/s%2F1"

    def start(self, incident):
        return start_link_import(incident=incident, by=incident.created_by, link=self.LINK)

    def test_every_trace_of_the_session_and_its_window(self, incident, source):
        run = work_and_read(self.start(incident))
        assert run.message.startswith("The session's 3 traces are stored. 40 more traces “answer”")
        assert source.session == "s/1"
        anchors = incident.traces.filter(is_anchor=True)
        assert [trace.external_id for trace in anchors] == ["s/1-0", "s/1-1", "s/1-2"]
        assert [one.kind for one in EvidenceImport.objects.order_by("id")] == ["session", "window"]

    def test_another_pull_of_a_link_reads_the_trace_and_of_its_window_what_is_new(self, source):
        edges = {"baseline_start": NOON - timedelta(days=3), "baseline_end": NOON - timedelta(days=2)}
        incident = make_incident(
            trace_name="answer", incident_start=NOON - timedelta(days=2), incident_end=NOON, **edges
        )
        work_and_read(start(incident))
        source.asked.clear()
        link = EvidenceImport.objects.get(kind="link")
        run = work_and_read(start_pull_again(incident=incident, by=incident.created_by, evidence_import=link))
        assert run.message.startswith("The trace is stored. Nothing new: all traces “answer” in production")
        assert source.asked == []

    def test_a_break_goes_on_with_the_next_trace(self, incident, source):
        source.faults["session 1"] = SourceError("The server failed; try again later.")
        run = work_and_read(self.start(incident))
        assert (run.state, incident.traces.count()) == (Run.State.QUEUED, 1)
        run = work_and_read(run)
        assert run.state == Run.State.DONE
        assert incident.traces.filter(is_anchor=True).count() == 3
        assert EvidenceImport.objects.filter(kind="session").count() == 1
