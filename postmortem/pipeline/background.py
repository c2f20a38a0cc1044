"""Background runs on either database: rows that workers claim by a conditional UPDATE.

A run is queued → running → done | failed | cancelled. Whoever sets `state=running` on a queued row owns it for
the time of a lease, which a heartbeat renews. When a worker dies the lease runs out, `reap` puts the run back
and another worker goes on from its cursor, MAX_ATTEMPTS times at most.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.db.models import F

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.services import refuse_published
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.pipeline import (
    attribute,
    draft,
    import_changes,
    import_evidence,
    import_upload,
    prepare,
    read_texts,
    render,
)
from postmortem.pipeline.deliver import deliver_due
from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import LEASE, Cancelled, Interrupted, LeaseLost, Progress, heartbeat
from postmortem.pipeline.pull_feeds import pull_next_due
from postmortem.pipeline.remind import remind_now_and_then
from postmortem.traces.langfuse_source import AccessRefused, RateLimited, SourceError, UnknownTrace
from postmortem.traces.reread import read_next_blob
from postmortem.traces.stored_columns import build_next_columns

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
MAX_WAITS = 40  # times that a server's rate limit may put one run off
POLL = timedelta(seconds=1)
ACTIVE = (Run.State.QUEUED, Run.State.RUNNING)
ENDED_BADLY = (Run.State.FAILED, Run.State.CANCELLED)

# What a kind of run does, and what its starter must be allowed to do. A stage returns its closing sentence.
STAGES: Mapping[str, tuple[Callable[[Run, Progress], str], Capability]] = {
    Run.Kind.IMPORT_LINK: (import_evidence.import_link, Capability.IMPORT),
    Run.Kind.IMPORT_WINDOW: (import_evidence.import_window, Capability.IMPORT),
    Run.Kind.IMPORT_FILE: (import_upload.import_upload, Capability.IMPORT),
    Run.Kind.READ_TEXTS: (read_texts.read_texts, Capability.IMPORT),
    Run.Kind.IMPORT_PROMPTS: (import_changes.pull_prompts, Capability.IMPORT),
    Run.Kind.ATTRIBUTE: (attribute.attribute_incident, Capability.REVIEW),
    Run.Kind.DRAFT: (draft.draft_text, Capability.REVIEW),
    Run.Kind.RENDER: (render.render_document, Capability.VIEW),
    Run.Kind.PREPARE: (prepare.prepare_traces, Capability.VIEW),
}
_ONLY_READ = (Run.Kind.RENDER, Run.Kind.PREPARE)  # and may do so of a published incident


def enqueue(*, incident: Incident, by: Person, kind: str, payload: dict[str, Any]) -> Run:
    """Queue a run. The same work that is already waiting or running is not queued again.

    Raises PermissionDenied, and UserError when the incident is published.
    """
    require(by, STAGES[kind][1], incident)
    if kind not in _ONLY_READ:
        refuse_published(incident)
    with transaction.atomic():
        for active in incident.runs.filter(kind=kind, state__in=ACTIVE):
            if active.payload == payload:
                return active
        run = Run.objects.create(incident=incident, kind=kind, payload=payload, started_by=by)
        _note(run, by, "run.start")
    return run


def cancel(run: Run, by: Person) -> None:
    """Stop a run; one that is at work stops at its next step. Raises UserError when it has ended."""
    require(by, STAGES[run.kind][1], run.incident)
    with transaction.atomic():
        ended = {"state": Run.State.CANCELLED, "finished_at": utc_now(), "message": f"Cancelled by {by.name}."}
        if not Run.objects.filter(pk=run.pk, state__in=ACTIVE).update(**ended):
            raise UserError("This run has ended already.")
        _note(run, by, "run.cancel")


def retry(run: Run, by: Person) -> None:
    """Queue a failed or cancelled run again; it goes on where it broke off, now on behalf of `by`."""
    require(by, STAGES[run.kind][1], run.incident)
    if run.kind not in _ONLY_READ:
        refuse_published(run.incident)
    with transaction.atomic():
        again = Run.objects.filter(pk=run.pk, state__in=ENDED_BADLY).update(
            state=Run.State.QUEUED, attempts=0, message="", worker="", lease_until=None, finished_at=None,
            not_before=utc_now(), started_by=by, progress_text="Waiting for a worker.",
        )  # fmt: skip
        if not again:
            raise UserError("Only a run that failed or was cancelled can be tried again.")
        _note(run, by, "run.retry")


def claim_next(worker: str, *, lease: timedelta = LEASE) -> Run | None:
    """Take the run that has been due the longest, or None. Two workers never get the same one."""
    while True:
        due = Run.objects.filter(state=Run.State.QUEUED, not_before__lte=utc_now())
        pk = due.order_by("not_before", "pk").values_list("pk", flat=True).first()
        if pk is None:
            return None
        if run := _claim(pk, worker, lease):
            return run


def _claim(pk: int, worker: str, lease: timedelta) -> Run | None:
    now = utc_now()
    claimed = Run.objects.filter(pk=pk, state=Run.State.QUEUED, not_before__lte=now).update(
        state=Run.State.RUNNING, worker=worker, lease_until=now + lease, attempts=F("attempts") + 1
    )
    return Run.objects.select_related("incident__feature", "started_by").get(pk=pk) if claimed else None


def reap() -> int:
    """Put runs whose worker has died back into the queue, or give them up. Returns how many there were."""
    count = 0
    for run in Run.objects.filter(state=Run.State.RUNNING, lease_until__lt=utc_now()):
        dead = Run.objects.filter(
            pk=run.pk, state=Run.State.RUNNING, worker=run.worker, lease_until=run.lease_until
        )  # fmt: skip
        if run.attempts >= MAX_ATTEMPTS:
            message = f"The worker stopped {run.attempts} times in the middle of this; tell an administrator."
            count += dead.update(state=Run.State.FAILED, message=message, finished_at=utc_now(), worker="")
        else:
            text = "The worker stopped; waiting for another one to go on."
            count += dead.update(state=Run.State.QUEUED, worker="", lease_until=None, progress_text=text)
    return count


def finish(run: Run, *, tell: Callable[[str], None] = lambda text: None) -> Run:
    """Bring one run to its end from a command: do the work here, or wait for the worker that has it.

    `tell` is given each new progress text.
    """
    told = ""
    while True:
        run.refresh_from_db()
        if run.state not in ACTIVE:
            return run
        if run.progress_text and run.progress_text != told:
            told = run.progress_text
            tell(told)
        reap()
        claimed = _claim(run.pk, f"command:{os.getpid()}:{secrets.token_hex(4)}", LEASE)
        if claimed:
            execute(claimed)
        else:
            time.sleep(0.5)


def execute(run: Run, *, stop: threading.Event | None = None, lease: timedelta = LEASE) -> None:
    """Do the work of a claimed run and write down how it ended. Raises nothing that the work raises."""
    progress = Progress(run, stop=stop, lease=lease)
    stage, capability = STAGES[run.kind]
    try:
        with heartbeat(progress.beat, lease):
            require(run.started_by, capability, run.incident)
            message = stage(run, progress)
    except (Cancelled, LeaseLost) as stopped:
        log.info("run %s is no longer ours: %s", run.pk, type(stopped).__name__)
    except Interrupted:
        _put_back(run, text="The worker was restarted; waiting to go on.", not_before=utc_now())
    except RateLimited as limited:
        _wait_for_source(run, limited)
    except (AccessRefused, UnknownTrace) as error:
        _end(run, Run.State.FAILED, str(error))
    except SourceError as error:
        _after_break(run, str(error))
    except (UserError, PermissionDenied) as error:
        _end(run, Run.State.FAILED, str(error))
    except Exception:
        log.exception("run %s broke off", run.pk)
        _after_break(run, "This broke off for a reason that the server's log names; tell an administrator.")
    else:
        _end(run, Run.State.DONE, message)


def work(
    *, once: bool = False, stop: threading.Event | None = None, lease: timedelta = LEASE, worker: str | None = None
) -> int:
    """Claim and execute runs and pull feeds until `stop` is set; with `once`, until none is due.

    Returns how many runs were executed.
    """
    stop = stop or threading.Event()
    name = worker or f"{socket.gethostname()[:40]}:{os.getpid()}"
    count = 0
    while not stop.is_set():
        try:
            if not connection.in_atomic_block:  # never under a caller's transaction
                close_old_connections()
            reap()
            deliver_due()
            remind_now_and_then()
            run = claim_next(f"{name}:{secrets.token_hex(4)}", lease=lease)
            if run:
                execute(run, stop=stop, lease=lease)
                count += 1
            # One feed after each run: people's imports go first, and a full queue does not stop the feeds.
            if not stop.is_set() and pull_next_due(f"{name}:{secrets.token_hex(4)}", stop=stop, lease=lease):
                continue
            if run:
                continue
            if read_next_blob():  # nobody waits, so there is time for the words of what came in
                continue
            if build_next_columns():
                continue
        except DatabaseError:
            # The database is away or busy; a dead claim comes back by its lease.
            log.exception("the queue could not be read")
            connection.close()
        if once:
            break
        stop.wait(POLL.total_seconds())
    return count


def _end(run: Run, state: str, message: str) -> None:
    _mine(run).update(state=state, message=message, finished_at=utc_now(), worker="", lease_until=None)


def _put_back(run: Run, *, text: str, not_before: datetime) -> None:
    """Back into the queue by no fault of the run: the attempt does not count."""
    _mine(run).update(
        state=Run.State.QUEUED, worker="", lease_until=None, attempts=F("attempts") - 1,
        not_before=not_before, progress_text=text,
    )  # fmt: skip


def _wait_for_source(run: Run, limited: RateLimited) -> None:
    waits = int(run.cursor.get("waits", 0)) + 1
    if waits > MAX_WAITS:
        _end(run, Run.State.FAILED, str(limited))
        return
    until = utc_now() + timedelta(seconds=max(1.0, min(limited.retry_after_seconds, 3600.0)))
    text = f"The server limits how often it is read; going on at {until:%H:%M:%S} UTC."
    with transaction.atomic():
        _mine(run).update(cursor=run.cursor | {"waits": waits})
        _put_back(run, text=text, not_before=until)


def _after_break(run: Run, message: str) -> None:
    """Once something is stored it is worth going on; before that, whoever started it should know at once."""
    if run.attempts >= MAX_ATTEMPTS or not run.cursor:
        _end(run, Run.State.FAILED, message)
        return
    later = utc_now() + timedelta(seconds=5 * run.attempts)
    text = f"Attempt {run.attempts} broke off; trying again."
    _mine(run).update(state=Run.State.QUEUED, worker="", lease_until=None, not_before=later, progress_text=text)


def _mine(run: Run) -> Any:
    return Run.objects.filter(pk=run.pk, state=Run.State.RUNNING, worker=run.worker)


def _note(run: Run, by: Person, action: str) -> None:
    audit.record(
        person=by, action=action, subject=run.get_kind_display(), incident_number=run.incident.number,
        after={"kind": run.kind, "run": run.pk},
    )  # fmt: skip
