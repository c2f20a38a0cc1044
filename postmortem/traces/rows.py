"""Rows of whatever a source sends or a person uploads, and the traces they make up. No Django here.

One reader serves API pages, trace downloads, table exports, old trace bodies and the open format, so that
stored bytes can be read back the same way as they were imported.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.traces.entries import Entries, Entry
from postmortem.traces.normalise import (
    observation_from_langfuse,
    score_from_langfuse,
    trace_from_observations,
    trace_from_open,
    trace_from_v1,
)
from postmortem.traces.otlp import is_otlp, rows_of_otlp
from postmortem.traces.parquet import ParquetEntries, is_parquet
from postmortem.traces.records import ScoreRecord, TraceRecord
from postmortem.traces.server_rows import is_server_answer, rows_of_answer
from postmortem.traces.streams import open_text, unpacked
from postmortem.traces.values import MAX_ID, check_depth, measure, moment, number, short_text

# Columns that Langfuse itself names in a table export; every other one is a score.
TABLE_COLUMNS = frozenset(
    re.findall(
        r"\w+",
        """id traceId traceName traceTags type name startTime endTime timestamp traceTimestamp
        completionStartTime createdAt updatedAt eventTs latency latencyMs timeToFirstToken
        timeToFirstTokenMs parentObservationId isRootObservation level statusMessage version release
        environment userId sessionId input output metadata model providedModelName internalModelId modelId
        modelParameters promptId promptName promptVersion usage usageDetails costDetails
        providedUsageDetails providedCostDetails totalCost inputCost outputCost calculatedTotalCost
        calculatedInputCost calculatedOutputCost inputTokens outputTokens totalTokens inputUsage outputUsage
        totalUsage promptTokens completionTokens tokensPerSecond unit inputPrice outputPrice totalPrice
        usagePricingTierName usagePricingTierId tags bookmarked public projectId htmlPath externalId
        createdBy comments observations observationCount errorCount warningCount defaultCount debugCount
        scores toolDefinitions toolCalls resource scope isDeleted""",
    )
)
MAX_PARQUET_BYTES = 1024 * 1024 * 1024  # unpacked
_SNAKE = re.compile(r"_([a-z0-9])")


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a file or page. `line` counts from 1 where the format has lines, else is 0."""

    line: int
    kind: str  # observation, score, trace, open
    value: Mapping[str, Any]
    flat: bool = False  # a table export's row, scores among its columns

    @property
    def trace_id(self) -> str:
        """The trace that this row tells about; empty where it does not say."""
        if self.kind in {"trace", "open"}:
            return short_text(self.value.get("id"), MAX_ID)
        if self.kind == "score":
            found = score_from_langfuse(self.value)
            return found[0] if found else ""
        return short_text(self.value.get("traceId"), MAX_ID)


def rows_of(data: bytes, what: str, *, skip_faults: bool = False) -> Iterator[Row]:
    """Rows of JSON (one object or a list), JSON Lines, CSV, Parquet. `what` names the file in the UserErrors raised.

    Stored bytes may hold rows that were left out when they came in: `skip_faults` leaves them out again.
    """
    file = io.BytesIO(data)
    entries: Iterable[Entry]
    if is_parquet(file):
        entries = ParquetEntries(file, what, max_bytes=MAX_PARQUET_BYTES)
    else:
        entries = Entries(open_text(unpacked(file, what, max_bytes=len(data) + 1), what), what, strict=False)
    for entry in entries:
        try:
            yield from rows_of_entry(entry)
        except UserError:
            if not skip_faults:
                raise


def rows_of_entry(entry: Entry) -> Iterator[Row]:
    """The rows that one entry of a file holds: one, or those of a document. Raises UserError for what is no trace."""
    if entry.fault:
        raise UserError(entry.fault)
    value, where = entry.value, entry.where
    if value is None:
        return
    if not isinstance(value, dict):
        raise UserError(f"{where}: a trace must be a JSON object in braces.")
    if is_otlp(value):
        yield from _otlp_rows(value, entry.line, where)
    elif is_server_answer(value):
        yield from (Row(entry.line, kind, row) for kind, row in rows_of_answer(value, where))
    elif entry.table == "parquet":
        yield replace(_row(value, 0, where), flat=False)
    elif entry.table:
        yield _row({name: _cell(cell) for name, cell in value.items()}, entry.line, where)
    elif isinstance(value.get("data"), list):
        for position, item in enumerate(value["data"], start=1):
            yield _row(item, entry.line, f"{where}, entry {position}")
    elif isinstance(value.get("observations"), list) and "timestamp" not in value:
        yield from _download_rows(value, entry.line, where)
    else:
        yield _row(value, entry.line, where)


@dataclass
class TraceRows:
    """Collects rows in any order and makes a TraceRecord of each trace's rows."""

    traces: dict[str, Row] = field(default_factory=dict)
    observations: dict[str, dict[str, Row]] = field(default_factory=dict)
    scores: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, row: Row, trace_id: str = "") -> None:
        """Keep `row`, of the trace `trace_id` where that is known; an observation that comes twice counts once."""
        identifier = trace_id or row.trace_id
        if row.kind in {"trace", "open"}:
            self.traces.setdefault(identifier, row)
        elif row.kind == "score":
            if identifier:
                self.scores.setdefault(identifier, []).append(row)
        else:
            known = self.observations.setdefault(identifier, {})
            name = short_text(row.value.get("id"), MAX_ID)
            if name not in known or len(row.value) >= len(known[name].value):  # the reading that says more
                known[name] = row

    def trace_ids(self) -> list[str]:
        """Ids of the traces that have more than scores, in the order in which they came."""
        return list({**self.traces, **self.observations})

    def score_records(self, trace_id: str) -> tuple[ScoreRecord, ...]:
        """Its scores alone."""
        found = (score_from_langfuse(row.value) for row in self.scores.get(trace_id, []))
        return tuple(item[1] for item in found if item)

    def record(self, trace_id: str) -> TraceRecord:
        """The trace's record. Raises UserError, with the line where there is one, for what is no trace."""
        row = self.traces.get(trace_id)
        observations = list(self.observations.get(trace_id, {}).values())
        scores = [item.value for item in self.scores.get(trace_id, [])]
        anchor = row or observations[0]
        try:
            if not trace_id:
                raise UserError("it names no trace (traceId is missing)")
            if row is not None and row.kind == "open":
                return trace_from_open(row.value)
            columns = score_columns(trace_id, [*([row] if row else []), *observations])
            if row is not None:
                inner = row.value.get("observations")
                nested = [item for item in inner if isinstance(item, Mapping)] if isinstance(inner, list) else []
                old_scores = row.value.get("scores")
                body = {
                    **row.value,
                    "observations": [*nested, *(item.value for item in observations)],
                    "scores": [*(old_scores if isinstance(old_scores, list) else []), *scores, *columns],
                }
                return trace_from_v1(body)
            found = [score_from_langfuse(item) for item in [*scores, *columns]]
            return trace_from_observations(
                [observation_from_langfuse(item.value, trace_id) for item in observations],
                tuple(item[1] for item in found if item),
            )
        except UserError as error:
            raise UserError(f"line {anchor.line}: {error}" if anchor.line else str(error)) from error


def score_columns(trace_id: str, rows: list[Row]) -> list[dict[str, Any]]:
    """Scores that a table export flattened into columns: every column that Langfuse does not name itself."""
    found: list[dict[str, Any]] = []
    for row in rows:
        for name, value in row.value.items() if row.flat else ():
            if name in TABLE_COLUMNS:
                continue
            items = value if isinstance(value, list) else [value]
            for item in items[-1:]:
                if (amount := number(item)) is not None:
                    on = row.value.get("id") if row.kind == "observation" else ""
                    found.append(
                        {
                            "id": f"{on or trace_id}:{name}"[:400],
                            "name": name.removeprefix("scores.").removeprefix("scores_"),
                            "value": amount,
                            "traceId": trace_id,
                            "timestamp": row.value.get("startTime") or row.value.get("timestamp"),
                        }
                    )
    return found


def _otlp_rows(value: dict[str, Any], line: int, what: str) -> Iterator[Row]:
    return (Row(line, kind, row) for kind, row in rows_of_otlp(value, what))


def _download_rows(value: dict[str, Any], line: int, where: str) -> Iterator[Row]:
    """Langfuse's trace download: with a trace object in old versions, without one since."""
    trace = value.get("trace")
    if isinstance(trace, dict):
        yield Row(line, "trace", {key: item for key, item in trace.items() if key not in {"observations", "scores"}})
    for kind, items in (("observation", value["observations"]), ("score", value.get("scores"))):
        for position, item in enumerate(items if isinstance(items, list) else [], start=1):
            if not isinstance(item, dict):
                raise UserError(f"{where}: {kind} {position} is not an object; download the trace again.")
            yield Row(line, kind, {"traceId": trace.get("id"), **item} if isinstance(trace, dict) else item)


def _row(value: Any, line: int, where: str) -> Row:
    if not isinstance(value, dict):
        raise UserError(f"{where}: a trace must be a JSON object in braces.")
    if "facets" in value or ("timestamp" in value and isinstance(value.get("scores"), dict)):
        return Row(line, "open", value)
    if "start_time" in value or "trace_id" in value or "created_at" in value:
        value = {_camel(key): item for key, item in value.items()}
    if "startTime" in value:
        return Row(line, "observation", _table_row(value), flat="projectId" not in value)
    if "name" in value and ("value" in value or "stringValue" in value) and ("dataType" in value or "source" in value):
        return Row(line, "score", value)
    if "timestamp" in value and "id" in value:
        known = {"observations", "scores", "name", "htmlPath", "projectId", "metadata", "tags", "environment"}
        flat = not {"projectId", "htmlPath", "observations"} & value.keys()
        return Row(line, "trace" if known & value.keys() else "open", value, flat=flat)
    raise UserError(
        f"{where}: no trace here; it needs an id and a timestamp (open format, trace) or a startTime (observation)."
    )


def _table_row(value: dict[str, Any]) -> dict[str, Any]:
    """A table export's row in the API's words and units: its latencies are milliseconds."""
    if "timeToFirstTokenMs" in value and (first_token := measure(value["timeToFirstTokenMs"])) is not None:
        value = {**value, "timeToFirstToken": first_token / 1000}
    if not value.get("endTime") and (latency := measure(value.get("latencyMs"))) is not None and latency < 1e10:
        start = moment(value.get("startTime"))
        value = {**value, "endTime": format_moment(start + timedelta(milliseconds=latency))} if start else value
    if "traceTags" in value and "tags" not in value:
        value = {**value, "tags": value["traceTags"]}
    if isinstance(tags := value.get("tags"), str):
        value = {**value, "tags": _list_cell(tags)}
    if not value.get("usageDetails") and value.get("inputTokens") not in (None, ""):
        value = {**value, "usageDetails": {"input": value["inputTokens"], "output": value.get("outputTokens")}}
    return value


@lru_cache(maxsize=4096)
def _camel(key: str) -> str:
    return _SNAKE.sub(lambda match: match[1].upper(), key)


def _list_cell(text: str) -> list[str]:
    try:
        found = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, list) else [part.strip() for part in text.split(",") if part.strip()]


def _cell(cell: str) -> Any:
    """A cell that holds a list (a score's values) is read as one; everything else stays text."""
    if cell.startswith("[") and cell.endswith("]") and len(cell) < 10_000:
        try:
            value = json.loads(cell)
            check_depth(value, "A cell")
            return value
        except (ValueError, RecursionError):
            return cell
    return cell
