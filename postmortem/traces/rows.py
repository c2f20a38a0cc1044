"""Rows of whatever a source sends or a person uploads, and the traces they make up. No Django here.

One reader serves API pages, trace downloads, table exports, old trace bodies and the open format, so that
stored bytes can be read back the same way as they were imported.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.traces.normalise import (
    observation_from_langfuse,
    score_from_langfuse,
    trace_from_observations,
    trace_from_open,
    trace_from_v1,
)
from postmortem.traces.otlp import is_otlp, rows_of_otlp
from postmortem.traces.records import TraceRecord
from postmortem.traces.server_rows import is_server_answer, rows_of_answer
from postmortem.traces.tables import csv_table, decoded, is_parquet, parquet_rows
from postmortem.traces.values import MAX_DEPTH, MAX_ID, check_depth, load_json, measure, moment, number, short_text

# Columns that Langfuse itself names in a table export; every other one is a score.
_TABLE_COLUMNS = frozenset(
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


def rows_of(data: bytes, what: str) -> Iterator[Row]:
    """Rows of JSON (one object or a list), JSON Lines, CSV, Parquet. `what` names the file in the UserErrors raised."""
    if is_parquet(data):
        for place, cells in parquet_rows(data, what, max_bytes=MAX_PARQUET_BYTES):
            yield replace(_row(cells, 0, f"{what}, entry {place}"), flat=False)
        return
    text = decoded(data, what)
    head = text[:200].lstrip()
    if not head and not text.strip():
        raise UserError(f"{what} is empty.")
    if not head or head[0] not in "{[":
        yield from _csv_rows(text, what)
        return
    try:
        _, end = json.JSONDecoder().raw_decode(text, len(text) - len(text.lstrip()))
        whole = not text[end:].strip()
    except RecursionError as error:
        raise UserError(f"{what} is nested more than {MAX_DEPTH} levels deep; that is no trace.") from error
    except ValueError:
        first_line = text.lstrip().split("\n", 1)[0]
        whole = not first_line.rstrip().endswith("}") or "\n" not in text.strip()
    if whole:
        yield from _rows_of_value(load_json(text, what), what)
        return
    for line, piece in enumerate(text.split("\n"), start=1):
        if piece.strip():
            value = load_json(piece, f"{what}, line {line}")
            if is_otlp(value):
                yield from _otlp_rows(value, line, f"{what}, line {line}")
            else:
                yield _row(value, line, what)


@dataclass
class TraceRows:
    """Collects rows in any order and makes a TraceRecord of each trace's rows."""

    traces: dict[str, Row] = field(default_factory=dict)
    observations: dict[str, dict[str, Row]] = field(default_factory=dict)
    scores: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Keep `row`; an observation that comes twice counts once."""
        identifier = row.trace_id
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
            if name in _TABLE_COLUMNS:
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


def _rows_of_value(value: Any, what: str) -> Iterator[Row]:
    if isinstance(value, dict):
        if is_otlp(value):
            yield from _otlp_rows(value, 0, what)
            return
        if is_server_answer(value):
            yield from (Row(0, kind, row) for kind, row in rows_of_answer(value, what))
            return
        if isinstance(value.get("data"), list):
            value = value["data"]
        elif isinstance(value.get("observations"), list) and "timestamp" not in value:
            yield from _download_rows(value, what)
            return
        else:
            value = [value]
    if not isinstance(value, list):
        raise UserError(f"{what} holds no traces: it is neither an object nor a list of objects.")
    for position, item in enumerate(value, start=1):
        yield _row(item, 0, f"{what}, entry {position}")


def _otlp_rows(value: dict[str, Any], line: int, what: str) -> Iterator[Row]:
    return (Row(line, kind, row) for kind, row in rows_of_otlp(value, what))


def _download_rows(value: dict[str, Any], what: str) -> Iterator[Row]:
    """Langfuse's trace download: with a trace object in old versions, without one since."""
    trace = value.get("trace")
    if isinstance(trace, dict):
        yield Row(0, "trace", {key: item for key, item in trace.items() if key not in {"observations", "scores"}})
    for kind, items in (("observation", value["observations"]), ("score", value.get("scores"))):
        for position, item in enumerate(items if isinstance(items, list) else [], start=1):
            if not isinstance(item, dict):
                raise UserError(f"{what}: {kind} {position} is not an object; download the trace again.")
            yield Row(0, kind, {"traceId": trace.get("id"), **item} if isinstance(trace, dict) else item)


def _row(value: Any, line: int, what: str) -> Row:
    where = f"{what}, line {line}" if line else what
    if not isinstance(value, dict):
        raise UserError(f"{where}: a trace must be a JSON object in braces.")
    if "facets" in value or ("timestamp" in value and isinstance(value.get("scores"), dict)):
        return Row(line, "open", value)
    if "start_time" in value or "trace_id" in value or "created_at" in value:
        value = {_SNAKE.sub(lambda match: match[1].upper(), key): item for key, item in value.items()}
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
    first_token, latency = measure(value.get("timeToFirstTokenMs")), measure(value.get("latencyMs"))
    if first_token is not None:
        value = {**value, "timeToFirstToken": first_token / 1000}
    start = moment(value.get("startTime"))
    if latency is not None and not value.get("endTime") and start is not None and latency < 1e10:
        value = {**value, "endTime": format_moment(start + timedelta(milliseconds=latency))}
    if "traceTags" in value and "tags" not in value:
        value = {**value, "tags": value["traceTags"]}
    if isinstance(tags := value.get("tags"), str):
        value = {**value, "tags": _list_cell(tags)}
    if not value.get("usageDetails") and value.get("inputTokens") not in (None, ""):
        value = {**value, "usageDetails": {"input": value["inputTokens"], "output": value.get("outputTokens")}}
    return value


def _list_cell(text: str) -> list[str]:
    try:
        found = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, list) else [part.strip() for part in text.split(",") if part.strip()]


def _csv_rows(text: str, what: str) -> Iterator[Row]:
    names, rows = csv_table(text, what)
    if not {"id", "traceId", "trace_id"} & set(names) or len(names) < 2:
        raise UserError(
            f"{what} is neither JSON nor a Langfuse table export: its first line names no id column. "
            "Upload a trace download, a table export or traces.jsonl."
        )
    for line, cells in rows:
        yield _row({name: _cell(cell) for name, cell in cells.items()}, line, what)


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
