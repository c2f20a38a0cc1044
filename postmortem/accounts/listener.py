"""Hears announcements in one thread a process, and hands them to everybody who waits in this process."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue

import psycopg
from django.db import connection, connections
from django.db.models import Max

from postmortem.accounts.announcements import CHANNEL
from postmortem.accounts.models import Announcement

logger = logging.getLogger(__name__)

RESYNC = "resync"  # something may have been missed: read everything again
_POLL_SECONDS = 0.2
_LISTEN_SECONDS = 2.0
_GATHER_SECONDS = 0.1  # what is said within it is told once, however often it changed
_WAITING = 500

Describe = Callable[[str, str], bytes | None]


class Subscription:
    """What one waiting page has not been told yet."""

    def __init__(self, incident_number: str) -> None:
        self.incident_number = incident_number
        self._queue: Queue[bytes] = Queue(maxsize=_WAITING)
        self.missed = False
        self.closed = False

    def put(self, message: bytes) -> None:
        """Add a message; a page that is too slow is told to read everything again."""
        try:
            self._queue.put_nowait(message)
        except Full:
            self.missed = True

    def wait(self, seconds: float) -> list[bytes]:
        """Messages in order, at once if there are some, else the first within `seconds`; empty after that."""
        found = []
        try:
            found.append(self._queue.get(timeout=seconds))
            while True:
                found.append(self._queue.get_nowait())
        except Empty:
            return found


class Listener:
    """One a process. `describe` turns (incident number, topic) into what pages are told; None: nothing to tell."""

    def __init__(self, describe: Describe) -> None:
        self._describe = describe
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._thread: threading.Thread | None = None
        self._missed = False

    @contextmanager
    def subscribe(self, incident_number: str) -> Iterator[Subscription]:
        """Hear of one incident until the block ends. The thread starts with the first and ends after the last."""
        subscription = Subscription(incident_number)
        with self._lock:
            self._subscriptions.add(subscription)
            if self._thread is None or not self._thread.is_alive():
                ready: threading.Event | None = threading.Event()
                self._thread = threading.Thread(target=self._run, args=(ready,), name="announcements", daemon=True)
                self._thread.start()
            else:
                ready = None
        if ready is not None:
            ready.wait(5)
        try:
            yield subscription
        finally:
            with self._lock:
                self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Let every waiting page go, and wait for the thread to end."""
        with self._lock:
            waiting, thread = list(self._subscriptions), self._thread
            self._subscriptions.clear()
        for one in waiting:
            one.closed = True
            one.put(b"")
        if thread is not None:
            thread.join(_LISTEN_SECONDS + 1)

    @property
    def count(self) -> int:
        """How many pages wait in this process."""
        return len(self._subscriptions)

    def _run(self, ready: threading.Event) -> None:
        while self._wanted():
            try:
                hear = self._hear_postgresql if connection.vendor == "postgresql" else self._hear_sqlite
                hear(ready)
            except Exception:
                logger.exception("Live updates were interrupted; trying again.")
                self._missed = True
                time.sleep(1)
            finally:
                connections.close_all()
        ready.set()

    def _hears_now(self, ready: threading.Event) -> None:
        """From here on nothing is missed; what was said during an interruption is read again."""
        ready.set()
        if self._missed:
            self._missed = False
            self._tell_all(RESYNC)

    def _wanted(self) -> bool:
        with self._lock:
            if not self._subscriptions:
                self._thread = None
                return False
            return True

    def _hear_postgresql(self, ready: threading.Event) -> None:
        # A connection of its own: one of the pool may be taken back while it waits.
        with psycopg.connect(**connection.get_connection_params() | {"autocommit": True}) as listening:
            listening.execute(f"LISTEN {CHANNEL}")
            self._hears_now(ready)
            while self._subscriptions:
                heard = list(listening.notifies(timeout=_LISTEN_SECONDS, stop_after=1))
                if heard:
                    heard += listening.notifies(timeout=_GATHER_SECONDS)
                self._tell([tuple(notice.payload.split(" ", 1)) for notice in heard])

    def _hear_sqlite(self, ready: threading.Event) -> None:
        last = Announcement.objects.aggregate(last=Max("pk"))["last"] or 0
        self._hears_now(ready)
        while self._subscriptions:
            rows = list(
                Announcement.objects.filter(pk__gt=last).order_by("pk").values_list("pk", "incident_number", "topic")
            )
            if rows:
                last = rows[-1][0]
                self._tell([(number, topic) for _, number, topic in rows])
            time.sleep(_POLL_SECONDS)

    def _tell(self, heard: list[tuple[str, ...]]) -> None:
        for number, topic in dict.fromkeys(heard):
            with self._lock:
                waiting = [one for one in self._subscriptions if one.incident_number == number]
            if waiting and (message := self._describe(number, topic)) is not None:
                for one in waiting:
                    one.put(message)
        if heard and connection.vendor == "postgresql":
            connection.close()  # back to the pool until the next one

    def _tell_all(self, topic: str) -> None:
        with self._lock:
            waiting = list(self._subscriptions)
        for one in waiting:
            if (message := self._describe(one.incident_number, topic)) is not None:
                one.put(message)
