"""A window of traces read in spans of time, newest first, so that a cap spreads over all of it. No network here."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.traces.records import SourcePage, TraceRecord
from postmortem.traces.rows import Row, TraceRows
from postmortem.traces.source_http import TooSlow
from postmortem.traces.values import moment

SPANS = 24
SHORTEST = timedelta(minutes=1)
_TICK = timedelta(milliseconds=1)
_SKEW = timedelta(seconds=2)  # clocks of two machines in one trace differ by less
_STALE = timedelta(hours=1)  # a trace of which nothing was seen for so long has no root in the list
_EDGE = timedelta(minutes=1)
REACH = timedelta(minutes=10)

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class WindowPage:
    """A step of a window's import: complete traces, the bytes they came in, and where to go on.

    `cursor` is JSON to be given back after a break, None when the window is done. `share_done` is 0 to 1;
    `trace_count` counts all traces so far. `truncated`: the cap left traces out (known on the last page).
    """

    records: list[TraceRecord]
    pages: list[SourcePage]
    cursor: dict[str, Any] | None
    share_done: float
    trace_count: int
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One page of rows as the server sent it, and how to ask for the next one (None: there is none)."""

    rows: list[Row]
    body: bytes
    next_page: Any


# (from, up to but not at, page, limit) → one page of rows, newest first
ReadRows = Callable[[datetime, datetime, Any, int], Reading]
# traces about to be handed out → more rows about them (scores, generations), with their bytes
ReadMore = Callable[[list[str], TraceRows], list[tuple[list[Row], bytes]]]


def iter_window(
    read_rows: ReadRows,
    read_more: ReadMore,
    *,
    start: datetime,
    end: datetime,
    cap: int,
    cursor: Mapping[str, Any] | None,
    limit: int,
    reach: timedelta = REACH,
    keep: Callable[[TraceRecord], bool] | None = None,
) -> Iterator[WindowPage]:
    """Read the traces that began in [start, end), at most `cap`.

    The window is cut into 24 spans, and each gets its share of the cap; what busy spans have beyond theirs is
    read in further rounds while the cap lasts. A read that is too slow for the server is asked again for the
    newer half of its time. Rows are read for `reach` beyond the end of what is wanted, so that traces which run
    over it are whole (those that run longer miss their last steps). After a break, give back the last page's
    `cursor`: traces that were under way are read again, complete ones are not lost. Traces that `keep` refuses,
    which the server could not leave out itself, are dropped and do not count.
    """
    if end <= start:
        raise UserError("The window ends before it begins; set its two ends in order.")
    width = (end - start) / SPANS
    spans = [(start + width * step, start + width * (step + 1)) for step in reversed(range(SPANS))]
    spans[0] = (spans[0][0], end)
    if cursor and isinstance(cursor.get("spans"), list):
        ends = [(moment(lower), moment(upper)) for lower, upper in cursor["spans"]]
        spans = sorted(((low, up) for low, up in ends if low and up), key=lambda span: span[1], reverse=True)
    state = _Window(read_rows, read_more, start, end, limit, reach, cap, int((cursor or {}).get("traces", 0)), keep)
    while spans and state.count < cap:
        left: list[Span] = []
        for position, span in enumerate(spans):
            if state.count >= cap:
                left += spans[position:]
                break
            quota = math.ceil((cap - state.count) / (len(spans) - position))
            rest = yield from state.read_span(span, state.count + quota, [*left, *spans[position + 1 :]])
            left += [rest] if rest else []
        spans = left
    yield state.hand_out(cap, None, whole=state.all_read(), truncated=bool(spans))


@dataclass
class _Window:
    """What has been read and not handed out yet."""

    read_rows: ReadRows
    read_more: ReadMore
    start: datetime
    end: datetime
    limit: int
    reach: timedelta
    cap: int
    count: int
    keep: Callable[[TraceRecord], bool] | None = None
    sifted: dict[str, TraceRecord] = field(default_factory=dict)  # kept, not handed out yet
    extra: list[tuple[list[Row], bytes]] = field(default_factory=list)  # what told it
    rows: TraceRows = field(default_factory=TraceRows)
    pages: list[tuple[bytes, set[str]]] = field(default_factory=list)
    oldest: dict[str, datetime] = field(default_factory=dict)
    newest: dict[str, datetime] = field(default_factory=dict)
    rooted: dict[str, datetime] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    share: float = 0.0
    down_to: datetime = field(init=False)
    edge: datetime = field(init=False)  # traces that began at or after it are not wanted now

    def __post_init__(self) -> None:
        self.down_to = self.edge = self.end

    def read_span(self, span: Span, up_to: int, others: list[Span]) -> Generator[WindowPage, None, Span | None]:
        """Hand out the span's traces until there are `up_to` in all; returns what is left of the span, if anything."""
        lower, upper = span
        bottom, page, limit = lower, None, self.limit
        if upper != self.down_to or upper == self.end:  # nothing was read right above it
            if self.all_read():
                yield self.hand_out(self.cap, [*others, span], whole=self.all_read())
            self._forget([*self.oldest])
            self.edge, upper = upper, upper + self.reach
        self.down_to = upper
        while True:
            try:
                reading = self.read_rows(bottom, upper, page, limit)
            except TooSlow:
                if upper - bottom <= SHORTEST:
                    raise
                bottom, page, limit = bottom + (upper - bottom) / 2, None, max(50, limit // 2)
                continue
            self._take(reading)
            page = reading.next_page
            if page is None:
                self.down_to = bottom
            ready = self._sift(self._ready())
            enough, unread = len(ready) >= up_to - self.count, page is not None or bottom > lower
            over = ready[up_to - self.count :]
            taken = set(ready) - set(over)
            waiting = [
                at
                for identifier, at in self.newest.items()
                if identifier not in taken and self.rooted.get(identifier, self.oldest[identifier]) < self.edge
            ]
            rest = (lower, min(max([self.down_to, *waiting]) + _TICK, self.edge))
            self._forget(over)
            yield self.hand_out(up_to, [*others, rest])
            if enough and (over or unread):
                self._forget([*self.oldest])  # `rest` reads them again
                self.down_to = self.end + self.reach
                return rest
            if page is None:
                if bottom == lower:
                    return None
                bottom, upper = lower, bottom

    def hand_out(
        self, up_to: int, todo: list[Span] | None, *, whole: list[str] | None = None, truncated: bool = False
    ) -> WindowPage:
        """The traces that are complete (or `whole`), with what else belongs to them. `todo`: None at the end."""
        taken = self._sift(self._ready() if whole is None else whole)[: max(0, up_to - self.count)]
        mine = set(taken)
        if self.keep is None:
            extra = self._tell_more(taken)
            records = list(self._records(taken).values())
        else:
            records = [self.sifted.pop(identifier) for identifier in taken]
            extra = [(rows, body) for rows, body in self.extra if mine & {row.trace_id for row in rows}]
        pages = [SourcePage(body, frozenset(named & mine)) for body, named in self.pages if named & mine]
        pages += [SourcePage(body, frozenset(row.trace_id for row in rows) & mine) for rows, body in extra]
        self.count += len(taken)
        self.gone |= mine
        self._forget(taken)
        self.share = max(self.share, min(1.0, (self.end - self.down_to) / (self.end - self.start)))
        if todo is None:
            return WindowPage(records, pages, None, 1.0, self.count, truncated)
        spans = [[format_moment(lower), format_moment(upper)] for lower, upper in todo]
        return WindowPage(records, pages, {"spans": spans, "traces": self.count}, self.share, self.count)

    def _sift(self, identifiers: list[str]) -> list[str]:
        """Those of complete traces that `keep` lets through; the others are done with."""
        if self.keep is None:
            return identifiers
        new = [identifier for identifier in identifiers if identifier not in self.sifted]
        self.extra += self._tell_more(new)
        records = self._records(new)
        self.sifted |= {identifier: record for identifier, record in records.items() if self.keep(record)}
        dropped = [identifier for identifier in new if identifier not in self.sifted]
        self.gone.update(dropped)
        self._forget(dropped)
        return [identifier for identifier in identifiers if identifier in self.sifted]

    def _tell_more(self, identifiers: list[str]) -> list[tuple[list[Row], bytes]]:
        extra = self.read_more(identifiers, self.rows) if identifiers else []
        for rows, _ in extra:
            for row in rows:
                self.rows.add(row)
        return extra

    def _records(self, identifiers: list[str]) -> dict[str, TraceRecord]:
        records = {}
        for identifier in identifiers:
            try:
                records[identifier] = self.rows.record(identifier)
            except UserError:
                continue  # one unreadable trace is no reason to lose the window
        return records

    def _take(self, reading: Reading) -> None:
        named: set[str] = set()
        for row in reading.rows:
            identifier, at = row.trace_id, moment(row.value.get("startTime") or row.value.get("timestamp"))
            if not identifier or at is None:
                continue
            self.down_to = min(self.down_to, at)
            if identifier in self.gone:
                continue
            named.add(identifier)
            self.rows.add(row)
            self.oldest[identifier] = min(at, self.oldest.get(identifier, at))
            self.newest[identifier] = max(at, self.newest.get(identifier, at))
            whole = row.kind == "trace" or row.value.get("isRootObservation") is True
            if whole or not row.value.get("parentObservationId"):
                self.rooted[identifier] = min(at, self.rooted.get(identifier, at))
        if named:
            self.pages.append((reading.body, named))

    def _ready(self) -> list[str]:
        """Traces whose root has been read, and everything that began after it; and those without a root."""
        return [
            identifier
            for identifier, oldest in self.oldest.items()
            if (began := self.rooted.get(identifier, oldest)) < self.edge
            and (began - _SKEW > self.down_to if identifier in self.rooted else oldest - _STALE > self.down_to)
        ]

    def all_read(self) -> list[str]:
        """Everything, as nothing older will come; but for traces that began before the window."""
        edge = self.start + _EDGE
        return [
            identifier
            for identifier, oldest in self.oldest.items()
            if self.rooted.get(identifier, oldest) < self.edge and (identifier in self.rooted or oldest > edge)
        ]

    def _forget(self, identifiers: list[str]) -> None:
        names = set(identifiers)
        kept: tuple[dict[str, Any], ...] = (
            self.rows.traces, self.rows.observations, self.rows.scores, self.oldest, self.newest, self.rooted,
            self.sifted,
        )  # fmt: skip
        for one in kept:
            for identifier in names:
                one.pop(identifier, None)
        self.pages = [(body, named - names) for body, named in self.pages if named - names]
        self.extra = [(rows, body) for rows, body in self.extra if {row.trace_id for row in rows} & self.sifted.keys()]
