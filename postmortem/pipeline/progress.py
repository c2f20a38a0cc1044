"""What a stage tells its run while it works, and how it learns that it should stop."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connection

from postmortem.lib.clock import utc_now
from postmortem.pipeline.models import Run

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)


class Stopped(Exception):
    """The stage must end now; what it has saved stays."""


class Cancelled(Stopped):
    """Somebody cancelled the run."""


class LeaseLost(Stopped):
    """Another worker has taken the run; this one must not write any more."""


class Interrupted(Stopped):
    """This worker is shutting down; the run goes back into the queue."""


class Progress:
    """The one way in which a stage writes to its run. Every write renews the worker's lease.

    Saving inside the transaction that stores a page keeps the page and the cursor together:
    after a break nothing is missing and nothing is read twice for nothing.
    """

    def __init__(self, run: Run, *, stop: threading.Event | None = None, lease: timedelta = LEASE) -> None:
        self._run, self._stop, self._lease = run, stop or threading.Event(), lease

    @property
    def cursor(self) -> dict[str, Any]:
        """Where the last attempt got to; empty at the first."""
        return deepcopy(self._run.cursor)

    def save(
        self,
        *,
        text: str | None = None,
        done: int | None = None,
        total: int | None = None,
        cursor: dict[str, Any] | None = None,
    ) -> None:
        """Store what is given. Raises Cancelled or LeaseLost when the run is no longer this worker's."""
        fields: dict[str, Any] = {"lease_until": utc_now() + self._lease}
        if text is not None:
            fields["progress_text"] = text[:300]
        if done is not None:
            fields |= {"progress_done": done, "progress_total": total}
        if cursor is not None:
            fields["cursor"] = deepcopy(cursor)
        self._write(fields)
        for name, value in fields.items():
            setattr(self._run, name, value)

    def pause(self) -> None:
        """Between two steps: raises Interrupted when this worker is asked to end."""
        if self._stop.is_set():
            raise Interrupted

    def beat(self) -> None:
        """Renew the lease only."""
        self._write({"lease_until": utc_now() + self._lease})

    def _write(self, fields: dict[str, Any]) -> None:
        mine = Run.objects.filter(pk=self._run.pk, state=Run.State.RUNNING, worker=self._run.worker)
        if not mine.update(**fields):
            state = Run.objects.filter(pk=self._run.pk).values_list("state", flat=True).first()
            raise Cancelled if state == Run.State.CANCELLED else LeaseLost


@contextmanager
def heartbeat(renew: Callable[[], None], lease: timedelta) -> Iterator[None]:
    """Renew a lease from a thread, because one slow read may take longer than the lease.

    `renew` raises a Stopped when the lease is gone.
    """
    over = threading.Event()

    def beat() -> None:
        try:
            while not over.wait(lease.total_seconds() / 4):
                try:
                    renew()
                except Stopped:
                    return  # the stage itself finds out at its next step
                except DatabaseError:
                    log.warning("a heartbeat was lost", exc_info=True)
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
