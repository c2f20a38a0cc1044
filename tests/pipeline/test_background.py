"""The queue: who gets a run, what happens when it ends, breaks off, is cancelled or loses its worker."""

import threading
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied

from postmortem.accounts.models import AuditEntry, Role
from postmortem.incidents.models import Status
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.pipeline import background
from postmortem.pipeline.background import cancel, claim_next, enqueue, execute, reap, retry
from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import LeaseLost, Progress
from postmortem.traces.langfuse_source import RateLimited
from tests.builders import make_incident, make_person
from tests.pipeline.builders import make_run, use_stage, work_once

pytestmark = pytest.mark.django_db
KIND = Run.Kind.ATTRIBUTE
LONG_AGO = timedelta(hours=1)


def done(run, progress):
    return "All done."


class TestQueue:
    def test_a_run_is_queued_once_however_often_the_button_is_pressed(self):
        incident = make_incident()
        first = enqueue(incident=incident, by=incident.created_by, kind=KIND, payload={"a": 1})
        assert enqueue(incident=incident, by=incident.created_by, kind=KIND, payload={"a": 1}) == first
        assert enqueue(incident=incident, by=incident.created_by, kind=KIND, payload={"a": 2}) != first
        assert AuditEntry.objects.filter(action="run.start").count() == 2

    def test_who_may_not_and_what_is_published(self):
        incident = make_incident()
        with pytest.raises(PermissionDenied):
            enqueue(incident=incident, by=make_person("Vera", Role.VIEWER), kind=KIND, payload={})
        incident.status = Status.PUBLISHED
        incident.save()
        with pytest.raises(UserError, match="is published"):
            enqueue(incident=incident, by=incident.created_by, kind=KIND, payload={})

    def test_a_run_belongs_to_the_worker_that_claims_it(self):
        run = make_run()
        claimed = claim_next("one")
        assert (claimed, claimed.state, claimed.worker, claimed.attempts) == (run, Run.State.RUNNING, "one", 1)
        assert claimed.lease_until > utc_now()
        assert claim_next("two") is None

    def test_the_longest_due_comes_first_and_the_future_waits(self):
        incident = make_incident()
        now = utc_now()
        make_run(incident=incident, not_before=now + LONG_AGO)
        second, first = (make_run(incident=incident, not_before=now - hours * LONG_AGO) for hours in (1, 2))
        assert [claim_next("one"), claim_next("one"), claim_next("one")] == [first, second, None]


class TestEnds:
    def test_done_with_a_sentence(self, monkeypatch):
        use_stage(monkeypatch, done)
        run = make_run()
        assert work_once() == 1
        run.refresh_from_db()
        assert (run.state, run.message, run.worker, run.lease_until) == (Run.State.DONE, "All done.", "", None)
        assert run.finished_at is not None

    def test_what_a_person_can_mend_fails_at_once(self, monkeypatch):
        def stage(run, progress):
            raise UserError("Choose a signal first.")

        use_stage(monkeypatch, stage)
        run = make_run()
        work_once()
        run.refresh_from_db()
        assert (run.state, run.message, run.attempts) == (Run.State.FAILED, "Choose a signal first.", 1)

    def test_a_fault_of_ours_tells_nothing_of_the_inside(self, monkeypatch):
        def stage(run, progress):
            raise RuntimeError("password=secret")

        use_stage(monkeypatch, stage)
        run = make_run()
        work_once()
        run.refresh_from_db()
        assert run.state == Run.State.FAILED
        assert run.message == "This broke off for a reason that the server's log names; tell an administrator."

    def test_a_fault_after_something_was_stored_is_tried_again_and_then_given_up(self, monkeypatch):
        def stage(run, progress):
            progress.save(cursor={"page": 1})
            raise RuntimeError

        use_stage(monkeypatch, stage)
        run = make_run()
        for attempt in (1, 2, 3):
            Run.objects.update(not_before=utc_now())
            work_once()
            run.refresh_from_db()
            assert run.attempts == attempt
            assert run.state == (Run.State.QUEUED if attempt < 3 else Run.State.FAILED)

    def test_the_starter_is_asked_for_permission_again(self, monkeypatch):
        use_stage(monkeypatch, done)
        run = make_run()
        type(run.started_by).objects.filter(pk=run.started_by_id).update(is_active=False)
        work_once()
        run.refresh_from_db()
        assert run.state == Run.State.FAILED
        assert run.message.startswith("You may not")

    def test_a_rate_limit_puts_the_run_off_and_says_until_when(self, monkeypatch):
        def stage(run, progress):
            raise RateLimited("Slow down.", retry_after_seconds=300)

        use_stage(monkeypatch, stage)
        run = make_run()
        work_once()
        run.refresh_from_db()
        assert (run.state, run.attempts, run.cursor) == (Run.State.QUEUED, 0, {"waits": 1})
        assert timedelta(seconds=290) < run.not_before - utc_now() <= timedelta(seconds=300)
        assert run.progress_text.startswith("The server limits how often it is read; going on at ")

    def test_a_rate_limit_without_end_is_a_failure(self, monkeypatch):
        def stage(run, progress):
            raise RateLimited("Slow down.", retry_after_seconds=300)

        use_stage(monkeypatch, stage)
        run = make_run(cursor={"waits": background.MAX_WAITS})
        work_once()
        run.refresh_from_db()
        assert (run.state, run.message) == (Run.State.FAILED, "Slow down.")


class TestProgress:
    def test_it_is_seen_while_the_stage_works(self, monkeypatch):
        seen = []

        def stage(run, progress):
            progress.save(text="Reading.", done=3, total=10, cursor={"page": 3})
            stored = Run.objects.get(pk=run.pk)
            seen.append((stored.progress_text, stored.progress_done, stored.progress_total, stored.cursor))
            return "Read."

        use_stage(monkeypatch, stage)
        make_run()
        work_once()
        assert seen == [("Reading.", 3, 10, {"page": 3})]

    def test_a_cancelled_run_stops_at_its_next_step(self, monkeypatch):
        steps = []

        def stage(run, progress):
            for number in range(5):
                progress.save(done=number)
                steps.append(number)
                if number == 1:
                    cancel(Run.objects.get(pk=run.pk), run.started_by)
            return "Never said."

        use_stage(monkeypatch, stage)
        run = make_run()
        work_once()
        run.refresh_from_db()
        assert steps == [0, 1]
        assert (run.state, run.message) == (Run.State.CANCELLED, "Cancelled by Helen Lindqvist.")

    def test_a_worker_that_lost_its_lease_writes_nothing_more(self):
        make_run()
        slow = claim_next("slow", lease=-LONG_AGO)
        reap()
        claim_next("quick")
        with pytest.raises(LeaseLost):
            Progress(slow).save(text="I am still here.")
        assert Run.objects.get(pk=slow.pk).progress_text == "The worker stopped; waiting for another one to go on."

    def test_a_worker_that_is_told_to_stop_gives_its_run_back(self, monkeypatch):
        stop = threading.Event()

        def stage(run, progress):
            progress.save(cursor={"page": 1})
            stop.set()
            progress.pause()
            return "Never said."

        use_stage(monkeypatch, stage)
        run = make_run()
        background.work(stop=stop, worker="test")
        run.refresh_from_db()
        assert (run.state, run.attempts, run.cursor, run.worker) == (Run.State.QUEUED, 0, {"page": 1}, "")


class TestCancelAndRetry:
    def test_cancel_before_it_began(self):
        run = make_run()
        cancel(run, run.started_by)
        assert claim_next("one") is None
        with pytest.raises(UserError, match="ended already"):
            cancel(run, run.started_by)

    def test_retry_goes_on_from_the_cursor_for_whoever_asks(self):
        run = make_run(state=Run.State.FAILED, attempts=3, cursor={"page": 7}, message="Broke off.")
        other = make_person("Priya Nair")
        retry(run, other)
        claimed = claim_next("one")
        assert (claimed.pk, claimed.cursor, claimed.attempts, claimed.message) == (run.pk, {"page": 7}, 1, "")
        assert claimed.started_by == other

    def test_only_what_ended_badly_is_tried_again(self):
        run = make_run()
        with pytest.raises(UserError, match="failed or was cancelled"):
            retry(run, run.started_by)

    def test_viewers_may_do_neither(self):
        run, viewer = make_run(), make_person("Vera", Role.VIEWER)
        for act in (cancel, retry):
            with pytest.raises(PermissionDenied):
                act(run, viewer)


class TestReaper:
    def test_a_dead_workers_run_is_queued_again(self):
        make_run()
        run = claim_next("dead", lease=-LONG_AGO)
        assert reap() == 1
        assert claim_next("alive").pk == run.pk
        assert reap() == 0

    def test_after_three_dead_workers_it_is_given_up(self):
        run = make_run()
        for _ in range(3):
            assert claim_next("dead", lease=-LONG_AGO)
            reap()
        run.refresh_from_db()
        assert run.state == Run.State.FAILED
        assert run.message == "The worker stopped 3 times in the middle of this; tell an administrator."

    def test_a_heartbeat_keeps_a_slow_run(self):
        make_run()
        run = claim_next("slow", lease=-LONG_AGO)
        Progress(run).beat()
        assert reap() == 0


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_at_once_one_gets_the_run():
    from django.db import connection

    incident = make_incident()
    runs = {make_run(incident=incident).pk for _ in range(6)}
    got, errors, start = [], [], threading.Barrier(4)

    def worker(name):
        try:
            start.wait()
            while run := claim_next(name):
                got.append(run.pk)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=worker, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(got) == sorted(runs)


def test_execute_raises_nothing(monkeypatch):
    def stage(run, progress):
        raise KeyError("x")

    use_stage(monkeypatch, stage)
    make_run()
    execute(claim_next("one"))
