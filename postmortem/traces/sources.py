"""What every trace server can be asked, whichever it is: one interface, and the shapes that go through it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, Self, runtime_checkable

from postmortem.lib.errors import UserError
from postmortem.traces.records import ScoreRecord, TraceRecord
from postmortem.traces.source_window import WindowPage
from postmortem.traces.values import MAX_NAME, number, short_text

SETTLING = timedelta(hours=1)  # traces younger than this may not all be readable yet
SCORE_OPERATORS = ("<", "<=", "=", ">=", ">")
_MAX_TAGS = 20
_TEXTS = ("name", "environment", "version", "release", "user", "session")


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a server says of itself and of the keys: `api` is its dialect, "v4" or "v3" for Langfuse."""

    api: str
    version: str
    project_id: str
    project_name: str


@dataclass(frozen=True, slots=True)
class FetchedTrace:
    """A whole trace and the exact bytes that told it."""

    record: TraceRecord
    pages: list[bytes]


@dataclass(frozen=True, slots=True)
class ScoreFilter:
    """Traces whose score `name` compares with `value`; `operator` is one of SCORE_OPERATORS."""

    name: str
    operator: str
    value: float

    def keeps(self, scores: Mapping[str, float]) -> bool:
        """Whether a trace with these scores is wanted; one without the score is not."""
        found = scores.get(self.name)
        if found is None:
            return False
        return {
            "<": found < self.value,
            "<=": found <= self.value,
            "=": found == self.value,
            ">=": found >= self.value,
            ">": found > self.value,
        }[self.operator]


@dataclass(frozen=True, slots=True)
class WindowQuery:
    """Traces that began in [start, end) (UTC) and pass every filter, at most `cap`. Empty filters let all through.

    A trace's version and release are those of any of its observations; `tags` must all be on it.
    """

    start: datetime
    end: datetime
    cap: int
    name: str = ""
    environment: str = ""
    version: str = ""
    release: str = ""
    tags: tuple[str, ...] = ()
    user: str = ""
    session: str = ""
    score: ScoreFilter | None = None

    def keeps(self, record: TraceRecord) -> bool:
        """Whether the filters let a trace through, from what its record says."""
        stated = ((self.name, record.name), (self.environment, record.environment), (self.user, record.user_id),
                  (self.session, record.session_id))  # fmt: skip
        if any(wanted and wanted != found for wanted, found in stated):
            return False
        observations = record.observations
        if self.release and self.release != record.facets.get("release"):
            return False
        if self.version and all(item.version != self.version for item in observations):
            return False
        tags = {tag for item in observations for tag in item.tags}
        return set(self.tags) <= tags and (self.score is None or self.score.keeps(record.scores))

    def filters(self) -> dict[str, Any]:
        """The filters that are set, as JSON; `query_of` reads them back."""
        found: dict[str, Any] = {name: value for name in _TEXTS if (value := getattr(self, name))}
        if self.tags:
            found["tags"] = list(self.tags)
        if self.score:
            found["score"] = {"name": self.score.name, "operator": self.score.operator, "value": self.score.value}
        return found


def query_of(filters: Mapping[str, Any], *, start: datetime, end: datetime, cap: int) -> WindowQuery:
    """A query with filters that came from a form, a request or a stored import.

    Raises UserError for a score without a name, operator or number, and for too many tags.
    """
    if end <= start:
        raise UserError("The window ends before it begins; set its two ends in order.")
    tags = filters.get("tags") or []
    if not isinstance(tags, Sequence) or isinstance(tags, str) or len(tags) > _MAX_TAGS:
        raise UserError(f"Give at most {_MAX_TAGS} tags, as a list.")
    return WindowQuery(
        start=start,
        end=end,
        cap=cap,
        tags=tuple(text for tag in tags if (text := short_text(tag).strip())),
        score=_score_filter(filters.get("score")),
        **{name: short_text(filters.get(name), 400).strip() for name in _TEXTS},
    )


def said_filters(filters: Mapping[str, Any]) -> str:
    """The filters in words, for people: “answer” in production, release 4.2, score grounded < 0.5."""
    words = [f"“{filters['name']}”"] if filters.get("name") else []
    if filters.get("environment"):
        words.append(f"in {filters['environment']}")
    head = " ".join(words)
    rest = [f"{name} {filters[name]}" for name in ("version", "release", "user", "session") if filters.get(name)]
    if filters.get("tags"):
        rest.append("tagged " + ", ".join(filters["tags"]))
    if score := filters.get("score"):
        rest.append(f"score {score['name']} {score['operator']} {score['value']:g}")
    return ", ".join([*([head] if head else []), *rest])


Interval = tuple[datetime, datetime]


def fresh_spans(wanted: Interval, covered: Sequence[Interval]) -> list[Interval]:
    """What of `wanted` no interval of `covered` holds, oldest first."""
    spans = []
    begin, end = wanted
    for low, high in sorted(covered):
        if high <= begin:
            continue
        if low >= end:
            break
        if low > begin:
            spans.append((begin, low))
        begin = max(begin, high)
    if begin < end:
        spans.append((begin, end))
    return spans


def covered_until(end: datetime, read_at: datetime) -> datetime:
    """Up to when a read at `read_at` can be relied on to have seen everything that began before `end`."""
    return min(end, read_at - SETTLING)


@runtime_checkable
class LateScores(Protocol):
    """A source that can tell which scores traces got since; judges often run days after the trace."""

    def scores_since(self, trace_ids: list[str], since: datetime) -> tuple[dict[str, list[ScoreRecord]], list[bytes]]:
        """Scores given at or after `since` (UTC) by trace id, and the bytes that told them."""


class TraceSource(Protocol):
    """One project of one server. Use in `with`. Every method raises SourceError with one clear sentence."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None:
        """Close the connections."""

    def check(self) -> SourceInfo:
        """Ask for version and project. AccessRefused when the keys are refused or another project's."""

    def fetch_trace(self, trace_id: str | None, timestamp: datetime | None = None) -> FetchedTrace:
        """One trace whole, inputs and outputs included. UnknownTrace if there is none."""

    def iter_window(self, query: WindowQuery, cursor: Mapping[str, Any] | None = None) -> Iterator[WindowPage]:
        """The query's traces in steps; give back the last page's cursor after a break."""

    def iter_session(
        self, session_id: str, timestamp: datetime | None = None, cursor: Mapping[str, Any] | None = None
    ) -> Iterator[WindowPage]:
        """Every trace of a session whole, oldest first, at most 200; resumable as a window is."""


def _score_filter(value: Any) -> ScoreFilter | None:
    if not value:
        return None
    if not isinstance(value, Mapping):
        raise UserError("Write the score filter as name, operator and value.")
    name, operator = short_text(value.get("name"), MAX_NAME).strip(), value.get("operator") or "<"
    amount = number(value.get("value"))
    if not name and amount is None:
        return None
    if not name or amount is None or operator not in SCORE_OPERATORS:
        raise UserError("A score filter needs a score's name, one of < <= = >= > and a number.")
    return ScoreFilter(name, operator, amount)
