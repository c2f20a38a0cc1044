"""The traces of a session: which ones there are, and each of them whole. No network here."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from postmortem.lib.clock import utc_now
from postmortem.traces.records import SourcePage
from postmortem.traces.source_http import TooSlow
from postmortem.traces.source_window import SHORTEST, Reading, WindowPage
from postmortem.traces.sources import FetchedTrace
from postmortem.traces.values import moment

MAX_SESSION = 200  # traces of one session
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)  # before anybody traced anything
_NEAR, _RECENT = timedelta(days=2), timedelta(days=90)

# (from, up to but not at, page) → one page of rows, newest first
ReadPage = Callable[[datetime, datetime, Any], Reading]


def session_pages(
    list_ids: Callable[[], list[str]], fetch: Callable[[str], FetchedTrace], cursor: Mapping[str, Any] | None
) -> Iterator[WindowPage]:
    """Hand out a session's traces one by one, so that a break loses none.

    `list_ids` gives the ids of the session's traces, oldest first; it is asked at the first attempt only.
    """
    cursor = cursor or {}
    known = cursor.get("ids")
    ids = [str(one) for one in known] if isinstance(known, list) else list_ids()
    truncated = bool(cursor.get("truncated")) or len(ids) > MAX_SESSION
    ids = ids[:MAX_SESSION]
    for done in range(int(cursor.get("done", 0)) + 1, len(ids) + 1):
        fetched = fetch(ids[done - 1])
        mine = frozenset({fetched.record.external_id})
        rest = None if done == len(ids) else {"ids": ids, "done": done, "truncated": truncated}
        pages = [SourcePage(body, mine) for body in fetched.pages]
        yield WindowPage([fetched.record], pages, rest, done / len(ids), done, truncated)


def session_ids(read: ReadPage, timestamp: datetime | None = None) -> list[str]:
    """Ids of the traces in the rows that `read` gives, oldest first.

    One question for all times first; where that is too slow for the server, the days around `timestamp` (UTC), or
    the last 90 days, by halves. Raises TooSlow when not even a minute can be read.
    """
    tomorrow = utc_now() + timedelta(days=1)
    try:
        return _ids(_reads(read, _LONG_AGO, tomorrow))
    except TooSlow:
        if timestamp:
            return _ids(halving_reads(read, timestamp - _NEAR, min(timestamp + _NEAR, tomorrow)))
        return _ids(halving_reads(read, tomorrow - _RECENT, tomorrow))


def _ids(readings: Iterator[Reading]) -> list[str]:
    begun: dict[str, datetime] = {}
    for reading in readings:
        for row in reading.rows:
            at = moment(row.value.get("startTime") or row.value.get("timestamp"))
            if row.trace_id and at:
                begun[row.trace_id] = min(at, begun.get(row.trace_id, at))
    return sorted(begun, key=lambda identifier: begun[identifier])


def _reads(read: ReadPage, start: datetime, end: datetime) -> Iterator[Reading]:
    page: Any = None
    while True:
        reading = read(start, end, page)
        yield reading
        page = reading.next_page
        if page is None:
            return


def halving_reads(read: ReadPage, start: datetime, end: datetime) -> Iterator[Reading]:
    """Every page of [start, end), newest first; a read that is too slow is asked again for the newer half of its time.

    Raises TooSlow when not even a minute can be read.
    """
    upper, bottom, page = end, start, None
    while upper > start:
        try:
            reading = read(bottom, upper, page)
        except TooSlow:
            if upper - bottom <= SHORTEST:
                raise
            bottom, page = bottom + (upper - bottom) / 2, None
            continue
        yield reading
        page = reading.next_page
        if page is None:
            bottom, upper = start, bottom
