"""Bounded reads for pulled feeds: one server, no redirects, so many requests and seconds. Pure."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import httpx

from postmortem.changes.feed_options import FeedOptions
from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import format_moment, parse_moment, utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.source_http import (
    AccessRefused,
    HttpFailure,
    HttpReader,
    RateLimited,
    SourceError,
    TooSlow,
    credentials,
)
from postmortem.traces.values import load_json, mapping, short_text

MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_REQUESTS = 250  # of one pull; the next one goes on
MAX_SECONDS = 120.0
_TIMEOUT_SECONDS = 30.0
_SETTLED_KEPT = 3000
_UNKNOWN_WAIT_SECONDS = 60.0

Known = Callable[[Sequence[str]], set[str]]
"""Which of these ids the feature's logs hold already."""


ToldBetween = Callable[[str, datetime, datetime], bool]
"""Whether the logs hold a change whose id begins so, from the first moment to the second."""


class PullEnough(Exception):
    """This pull has asked enough; the next one goes on from the cursor."""


@dataclass(frozen=True, slots=True)
class Told:
    """A change and the bytes that told it."""

    record: ChangeRecord
    raw: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of a pull brought: to be stored together with the cursor from which the next step goes on."""

    told: list[Told]
    cursor: dict[str, Any]
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a list that a server sent, with its exact bytes."""

    value: dict[str, Any]
    raw: bytes


class Budget:
    """How much one pull may ask: `requests` and `seconds`. Raises PullEnough when it is used up."""

    def __init__(
        self,
        requests: int = MAX_REQUESTS,
        seconds: float = MAX_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._left, self._clock, self._end = requests, clock, clock() + seconds
        self._stopping = stopping

    def spend(self) -> None:
        """Before each request."""
        if self._left <= 0 or self._clock() > self._end or self._stopping():
            raise PullEnough
        self._left -= 1


class Reads(Protocol):
    """What a pull asks of a server."""

    base: str

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any: ...
    def entries(self, path: str, params: Mapping[str, Any]) -> list[Entry]: ...


class FeedReader:
    """One server that an administrator named. Use in `with`, or call close(). Raises SourceErrors with one sentence."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str = "",
        user: str = "",
        headers: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        backoff_seconds: float = 1.0,
    ) -> None:
        self._budget = budget or Budget()
        self._http = HttpReader(
            base_url, auth=credentials(user, token), timeout_seconds=_TIMEOUT_SECONDS, max_wait_seconds=10.0,
            max_answer_bytes=MAX_ANSWER_BYTES, backoff_seconds=backoff_seconds,
        )  # fmt: skip
        self._http.client.headers.update(dict(headers or {}))
        self.base = self._http.base_url

    def __enter__(self) -> "FeedReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON that a GET below the base answers."""
        return self._json(self._body(path, params or {}))

    def entries(self, path: str, params: Mapping[str, Any]) -> list[Entry]:
        """The objects of a JSON list, each with its own bytes."""
        body = self._body(path, params)
        value = self._json(body)
        if not isinstance(value, list):
            raise SourceError(f"{self.base} answered {path.rsplit('/', 1)[-1]} without a list; check the address.")
        return entries_of(body)

    def _body(self, path: str, params: Mapping[str, Any]) -> bytes:
        self._budget.spend()

        def ask() -> httpx.Response:
            try:
                return self._http.get(path, params)
            except HttpFailure as failure:
                if said := _said(self.base, failure):
                    raise said from failure
                raise

        try:
            return self._http.read(ask)[1]
        except TooSlow as error:
            raise SourceError(f"{self.base} did not answer in time; the next pull asks again.") from error

    def _json(self, body: bytes) -> Any:
        try:
            return load_json(body, "The answer")
        except UserError as error:
            raise SourceError(
                f"{self.base} answered with something other than JSON (a sign-in page?); check the address."
            ) from error


@dataclass
class Work:
    """Where a pull is: what it found since the last step, and the cursor. `first` is how far back the first one reads.

    Newest-first lists are read down to a mark: a walk. Only at its end does the mark move, to when the walk began. A
    pull that broke off or had asked enough leaves the walk where it was, and the next one goes on there, so that a list
    may be of any length.
    """

    cursor: dict[str, Any]
    known: Known
    first: datetime
    now: datetime = field(default_factory=utc_now)
    told_between: ToldBetween = lambda *_: False
    told: list[Told] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The first pull's `first` stays for all: after a long pause nothing in between is left out."""
        self.cursor = deepcopy(self.cursor)
        try:
            self.first = parse_moment(str(self.cursor.get("first", "")))
        except ValueError:
            self.cursor["first"] = format_moment(self.first)

    def mark(self, name: str, overlap: timedelta = timedelta()) -> datetime:
        """From when on to read `name`: a little before its mark, not before `first`."""
        try:
            found = parse_moment(str(mapping(self.cursor.get("marks")).get(name, "")))
        except ValueError:
            return self.first
        return max(self.first, found - overlap)

    def move_mark(self, name: str, to: datetime) -> None:
        """The list `name` was read up to here."""
        self.cursor.setdefault("marks", {})[name] = format_moment(to)

    def walk(self, name: str, begin: Any) -> Any:
        """Where the reading of the list `name` goes on: at `begin`, or where the last pull left it."""
        walks = self.cursor.setdefault("walks", {})
        return walks.setdefault(name, {"at": begin, "began": format_moment(self.now)})["at"]

    def walk_on(self, name: str, at: Any) -> None:
        """What came before `at` is told."""
        self.cursor["walks"][name]["at"] = at

    def walked(self, name: str) -> None:
        """The walk is at its end: the next one reads down to where this one began."""
        began = self.cursor["walks"].pop(name)["began"]
        self.move_mark(name, parse_moment(began))

    def forget_walk(self, name: str) -> None:
        """The server no longer knows the place; the next pull begins the list again."""
        self.cursor.get("walks", {}).pop(name, None)

    def settle(self, what: str) -> None:
        """`what` tells no change and never will."""
        settled = self.cursor.setdefault("settled", [])
        settled.append(what)
        del settled[:-_SETTLED_KEPT]

    def open(self, whats: Sequence[str]) -> set[str]:
        """Those that are not settled."""
        return set(whats) - set(self.cursor.get("settled", ()))

    def tell(self, read: Callable[[], Sequence[ChangeRecord]], raw: bytes) -> bool:
        """Changes to be stored with the next step; whether there are any.

        An entry that cannot be read is left out and counted: one of them must not stop all that come after it.
        """
        try:
            records = read()
        except UserError as error:
            self.unreadable.append(str(error))
            return False
        self.told += [Told(record, raw) for record in records]
        return bool(records)

    def step(self, *, unfinished: bool = False) -> Step:
        """What was found since the last one."""
        told, self.told = self.told, []
        return Step(told, deepcopy(self.cursor), unfinished)


@dataclass(frozen=True, slots=True)
class Place:
    """A repository or project that is read: `path` is its address below the reader's base, `name` what it is called."""

    reader: Reads
    options: FeedOptions
    work: Work
    path: str
    name: str
    branch: str


def one(read: Callable[..., ChangeRecord], *told: Any) -> list[ChangeRecord]:
    """What `read` makes of an entry, as a list; for `Work.tell`."""
    return [read(*told)]


def pages_of(
    work: Work, name: str, read: Callable[[int], list[Entry]], is_last: Callable[[list[Entry]], bool]
) -> Iterator[list[Entry]]:
    """Pages from where the walk `name` is, by number from 1, to the last one. What happens on the way may break it off.

    A walk that goes on begins one page earlier: entries that were deleted meanwhile have moved others forward.
    """
    number = max(1, int(work.walk(name, 1)) - 1)
    while True:
        page = read(number)
        yield page
        if is_last(page):
            work.walked(name)
            return
        number += 1
        work.walk_on(name, number)


def bounded(work: Work, steps: Iterator[Step]) -> Iterator[Step]:
    """`steps`, and what was found before the end of the budget or before a fault, so that no read is for nothing."""
    try:
        yield from steps
    except PullEnough:
        yield work.step(unfinished=True)
    except SourceError:
        yield work.step(unfinished=True)
        raise


def entries_of(body: bytes) -> list[Entry]:
    """The objects of a JSON list with the bytes in which each was written."""
    text = body.decode("utf-8-sig", "replace")
    found: list[Entry] = []
    decoder, at = json.JSONDecoder(), text.find("[") + 1
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at >= len(text) or text[at] == "]":
            return found
        value, end = decoder.raw_decode(text, at)
        if isinstance(value, dict):
            found.append(Entry(value, text[at:end].encode(errors="replace")))
        at = end


def _said(base: str, failure: HttpFailure) -> SourceError | None:
    """The fault in words of feeds; None where the general words do."""
    status, headers = failure.status, failure.headers
    body = failure.body if isinstance(failure.body, dict) else {}
    note = " ".join(short_text(body.get("message"), 160).split()).rstrip(".")
    note = f": {note}" if note else ""
    limited = status == 429 or (
        status == 403 and (headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers)
    )
    if limited:
        wait = _wait(headers)
        return RateLimited(
            f"{base} allows no more reads for now (HTTP {status}); going on in {round(wait / 60) or 1} min.",
            retry_after_seconds=wait,
        )
    if status == 401:
        return AccessRefused(f"{base} does not accept the token (401{note}); enter a current one.")
    if status == 403:
        return AccessRefused(f"{base} refuses the token (403{note}); it needs the right to read this.")
    if status == 404:
        return AccessRefused(f"{base} has no such project, or the token may not see it (404{note}); check both.")
    if 300 <= status < 400:
        return SourceError(
            f"{base} redirects (HTTP {status}), and tokens are not sent on; enter the real address and project."
        )
    return None


def _wait(headers: Mapping[str, str]) -> float:
    """Seconds until reads are allowed again: Retry-After, else GitHub's or GitLab's moment of the reset."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal() and len(text) < 7:
        return max(1.0, float(text))
    for name in ("x-ratelimit-reset", "ratelimit-reset"):
        text = headers.get(name, "")
        if text.isdecimal() and len(text) < 12:
            return max(1.0, int(text) - utc_now().timestamp())
    return _UNKNOWN_WAIT_SECONDS
