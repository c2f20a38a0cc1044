"""A table of traces in nobody's format, read by a mapping that a person made from a preview. No Django here."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

from postmortem.lib.clock import format_moment, parse_moment
from postmortem.lib.errors import UserError
from postmortem.traces.entries import Entry
from postmortem.traces.facets import facet_of_name
from postmortem.traces.files import MAX_FILE_BYTES
from postmortem.traces.intake import first_rows
from postmortem.traces.normalise import trace_from_open
from postmortem.traces.records import TraceRecord
from postmortem.traces.rows import Row
from postmortem.traces.streams import BrokenOff
from postmortem.traces.tables import Cells, cells_of
from postmortem.traces.values import MAX_ID, measure, number

MAX_ROWS = 500_000
PREVIEW_ROWS = 20
_SAMPLES = 3

# What a column can be: (role, words for people). Facets and scores take a name.
ROLES: tuple[tuple[str, str], ...] = (
    ("", "leave out"), ("id", "trace id"), ("timestamp", "time"), ("name", "trace name"), ("input", "input"),
    ("output", "output"), ("session_id", "session"), ("user_id", "user"), ("environment", "environment"),
    ("latency", "latency, s"), ("latency_ms", "latency, ms"), ("time_to_first_token", "first token, s"),
    ("cost", "cost, USD"), ("input_tokens", "input tokens"), ("error", "error, yes or no"), ("facet", "facet"),
    ("score", "score"),
)  # fmt: skip
_ROLES = frozenset(role for role, _ in ROLES)
_ONCE = _ROLES - {"", "facet", "score"}
_GUESSES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "trace_id", "traceid", "request_id", "run_id", "conversation_id"),
    "timestamp": ("timestamp", "time", "created_at", "start_time", "starttime", "date", "at", "ts"),
    "name": ("name", "trace_name", "operation"),
    "input": ("input", "question", "query", "prompt_text", "user_message", "request"),
    "output": ("output", "answer", "response", "completion", "reply"),
    "session_id": ("session_id", "session", "sessionid", "thread_id"),
    "user_id": ("user_id", "user", "userid"),
    "environment": ("environment", "env"),
    "latency": ("latency", "latency_s", "duration", "duration_s", "latency_seconds"),
    "latency_ms": ("latency_ms", "duration_ms", "elapsed_ms"),
    "time_to_first_token": ("time_to_first_token", "ttft"),
    "cost": ("cost", "cost_usd", "total_cost", "price"),
    "input_tokens": ("input_tokens", "prompt_tokens", "tokens_in"),
    "error": ("error", "is_error", "has_error", "failed"),
}
_YES, _NO = frozenset({"true", "yes", "1", "error", "failed"}), frozenset({"false", "no", "0", "", "ok", "success"})


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """What one column is read as; `name` is that of the facet or score."""

    column: str
    role: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class TableMapping:
    """How a table is read. `assume_utc`: times without a zone are UTC, else such rows are faults."""

    uses: tuple[ColumnUse, ...]
    assume_utc: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `mapping_of` reads them."""
        uses = [{"column": use.column, "role": use.role, "name": use.name} for use in self.uses]
        return {"columns": uses, "assume_utc": self.assume_utc}


@dataclass(frozen=True, slots=True)
class TablePreview:
    """The first rows of a table: its columns with samples and what they probably are."""

    columns: tuple[str, ...]
    samples: Mapping[str, tuple[str, ...]]
    guess: TableMapping
    rows: tuple[tuple[int, Cells], ...]


def mapping_of(data: Any) -> TableMapping:
    """Check a mapping written as JSON. Raises UserError with one sentence for what is wrong."""
    columns = data.get("columns") if isinstance(data, Mapping) else None
    if not isinstance(columns, list):
        raise UserError("A mapping is an object with “columns”, a list of objects with column, role and name.")
    uses = []
    for entry in columns:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("column"), str):
            raise UserError("Each entry of a mapping's “columns” is an object with column, role and name.")
        uses.append(ColumnUse(entry["column"], str(entry.get("role") or ""), str(entry.get("name") or "").strip()))
    return checked_mapping(uses, assume_utc=data.get("assume_utc") is True)


def checked_mapping(uses: Iterable[ColumnUse], *, assume_utc: bool) -> TableMapping:
    """A mapping that can be used. Raises UserError: an id and a time are needed, each role once, names given once."""
    kept = [use for use in uses if use.role]
    roles = [use.role for use in kept]
    for use in kept:
        if use.role not in _ROLES:
            raise UserError(f"“{use.role[:40]}” is no role of a column; choose one of the list.")
        if use.role in {"facet", "score"} and not 0 < len(use.name) <= 80:
            raise UserError(f"Give the {use.role} of column “{use.column[:60]}” a name of up to 80 characters.")
    for role, words in ROLES:
        if role in _ONCE and roles.count(role) > 1:
            raise UserError(f"Two columns are read as “{words}”; leave one of them out.")
    names = [(use.role, use.name) for use in kept if use.role in {"facet", "score"}]
    if len(set(names)) != len(names):
        raise UserError("Two columns are read as the same facet or score; give each a name of its own.")
    for role, words in (("id", "trace id"), ("timestamp", "time")):
        if role not in roles:
            raise UserError(f"Say which column holds the {words}; a trace has one.")
    return TableMapping(tuple(kept), assume_utc)


def preview_table(file: BinaryIO, filename: str, *, max_bytes: int = MAX_FILE_BYTES) -> TablePreview:
    """The first rows of a table with a guess of its mapping. Raises UserError naming the line that is wrong."""
    rows = tuple(first_rows(file, filename, max_bytes=max_bytes, count=PREVIEW_ROWS))
    columns: dict[str, list[str]] = {}
    for _, cells in rows:
        for name, value in cells.items():
            samples = columns.setdefault(name, [])
            if len(samples) < _SAMPLES and (text := str(value)[:120]) not in samples:
                samples.append(text)
    return TablePreview(
        tuple(columns), {name: tuple(told) for name, told in columns.items()}, _guess(columns, rows), rows
    )


class MappedRows:
    """Makes rows of the open format of a table's entries. A trace id that comes twice is a fault."""

    def __init__(self, mapping: TableMapping, what: str) -> None:
        self._mapping, self._what = mapping, what
        self._lines: dict[str, int] = {}
        self._count = 0

    def __call__(self, entry: Entry) -> Iterator[Row]:
        """The entry's one row. Raises UserError naming file, line and column."""
        self._count += 1
        if self._count > MAX_ROWS:
            raise BrokenOff(f"{self._what} has more than {MAX_ROWS:,} rows; split it and import the parts.")
        cells = cells_of(entry)
        try:
            row = open_row(cells, self._mapping)
            identifier = row["id"]
            line = entry.line or self._count
            if (first := self._lines.setdefault(identifier, line)) != line:
                raise UserError(f"the trace id {identifier[:60]} comes twice, first in line {first}")
        except UserError as error:
            raise UserError(f"{entry.where}: {error}") from error
        yield Row(entry.line, "open", row)


def read_rows(rows: Sequence[tuple[int, Cells]], mapping: TableMapping) -> list[tuple[int, TraceRecord | None, str]]:
    """How single rows would be read: (line, trace or None, what is wrong with it)."""
    found: list[tuple[int, TraceRecord | None, str]] = []
    for line, cells in rows:
        try:
            found.append((line, trace_from_open(open_row(cells, mapping)), ""))
        except UserError as error:
            found.append((line, None, str(error)))
    return found


def open_row(cells: Cells, mapping: TableMapping) -> dict[str, Any]:
    """One row in the open format. Raises UserError naming the column whose value cannot be read."""
    row: dict[str, Any] = {"facets": {}, "scores": {}}
    for use in mapping.uses:
        value = cells.get(use.column)
        if value is None or value == "":
            continue
        if use.role == "facet":
            row["facets"][use.name] = str(value)[:200]
        elif use.role == "score":
            row["scores"][use.name] = _number(use.column, value)
        elif use.role == "latency_ms":
            row["latency"] = _number(use.column, value) / 1000
        elif use.role == "timestamp":
            row["timestamp"] = _moment(use.column, value, assume_utc=mapping.assume_utc)
        else:
            reader: Callable[[str, Any], Any] = _READERS.get(use.role, _text)
            row[use.role] = reader(use.column, value)
    for role, words in (("id", "trace id"), ("timestamp", "time")):
        if role not in row:
            column = next(use.column for use in mapping.uses if use.role == role)
            raise UserError(f"column “{column}”: the {words} is missing")
    return row


def _number(column: str, value: Any) -> float:
    text = value.strip().replace(" ", "") if isinstance(value, str) else value
    if isinstance(text, str) and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    if isinstance(text, str) and text.lower() in {"true", "false"}:
        return 1.0 if text.lower() == "true" else 0.0
    found = number(text) if not isinstance(text, bool) else float(text)
    if found is None:
        raise UserError(f"column “{column}”: “{str(value)[:40]}” is no finite number")
    return float(found)


def _flag(column: str, value: Any) -> bool:
    text = str(value).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise UserError(f"column “{column}”: “{text[:40]}” is neither yes nor no")


def _identifier(column: str, value: Any) -> str:
    if len(str(value)) > MAX_ID:
        raise UserError(f"column “{column}”: an id has at most {MAX_ID} characters")
    return str(value)


def _text(_: str, value: Any) -> str:
    return str(value)


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "id": _identifier,
    "error": _flag,
    "latency": _number,
    "cost": _number,
    "time_to_first_token": _number,
    "input_tokens": _number,
}


def _moment(column: str, value: Any, *, assume_utc: bool) -> str:
    seconds = measure(value)
    if seconds is not None:
        # A bare number is seconds, milliseconds or microseconds since 1970: the unit that gives 1973 to 2128.
        unit = next((unit for unit in (1.0, 1e3, 1e6) if 1e8 < seconds / unit < 5e9), None)
        if unit is not None:
            return format_moment(datetime.fromtimestamp(seconds / unit, UTC))
    text = str(value).strip()
    try:
        moment = parse_moment(text)
        has_zone = datetime.fromisoformat(text).tzinfo is not None
    except (ValueError, OverflowError) as error:
        raise UserError(f"column “{column}”: “{text[:40]}” is no date and time like 2026-03-09T09:40:00Z") from error
    if not has_zone and not assume_utc:
        raise UserError(
            f"column “{column}”: “{text[:40]}” has no time zone; tick that such times are UTC, or export them with one"
        )
    return format_moment(moment)


def _guess(columns: Mapping[str, Sequence[str]], rows: Sequence[tuple[int, Cells]]) -> TableMapping:
    uses, taken = [], set()
    for column in columns:
        plain = column.rsplit(".", 1)[-1].strip().lower().replace(" ", "_").replace("-", "_")
        role = next((role for role, names in _GUESSES.items() if plain in names and role not in taken), "")
        name = ""
        if not role:
            facet = facet_of_name(column.rsplit(".", 1)[-1])
            values = [cells[column] for _, cells in rows if column in cells]
            if facet:
                role, name = "facet", facet
            elif values and all(_is_number(value) for value in values):
                role, name = "score", column[:80]
        if role:
            taken.add(role if role in _ONCE else (role, name))
            uses.append(ColumnUse(column, role, name))
    return TableMapping(tuple(uses))


def _is_number(value: Any) -> bool:
    try:
        _number("", value)
    except UserError:
        return False
    return True
