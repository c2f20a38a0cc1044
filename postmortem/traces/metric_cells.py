"""Cells from Langfuse's metrics endpoint (`/api/public/v2/metrics`): its ClickHouse groups, nothing is imported. Pure.

For windows that are too large to import. What the endpoint can group by is less than what traces carry: environment,
release, tags, and of the observation in question its prompt and model; no metadata. Scores and errors are exact: Σy
and Σy² follow from the counts of each value. Latencies have an exact sum, and Σy² from a histogram of at most 100
bins, taken as uniform within each: Σ n·(m² + w²/12) for bins of middle m, width w and n traces.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.traces.cells import Cells, ProfileNumbers
from postmortem.traces.facets import facets_of_tags
from postmortem.traces.source_http import TooSlow
from postmortem.traces.sources import WindowQuery
from postmortem.traces.values import moment, number, short_text

ROW_LIMIT = 1000  # the most rows that the endpoint gives
_BINS = 100
_TICK = timedelta(milliseconds=1)
GRANULARITIES = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
_SCORE_FACETS = {
    "environment": "environment",
    "traceRelease": "release",
    "observationPromptName": "prompt",
    "observationPromptVersion": "prompt_version",
    "observationModelName": "model",
}
_ROOT_FACETS = {"environment": "environment", "release": "release"}
_GENERATION_FACETS = {
    **_ROOT_FACETS,
    "promptName": "prompt",
    "promptVersion": "prompt_version",
    "providedModelName": "model",
}

# A query of the endpoint → the objects of its `data`
Ask = Callable[[dict[str, Any]], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class MetricCell:
    """n, Σy and Σy² of what began in [start, end) (UTC) with these facets; y in the signal's unit (seconds, 0 to 1)."""

    facets: Mapping[str, str]
    start: datetime
    end: datetime
    count: int
    total: float
    total_squares: float


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a signal is asked for: view, facets by dimension, the dimension of its value or a measure (and its unit)."""

    view: str
    facets: Mapping[str, str]
    value: str = ""
    measure: str = ""
    unit: float = 1.0
    filters: tuple[dict[str, Any], ...] = ()


def iter_metric_cells(ask: Ask, query: WindowQuery, signal: str, *, granularity: str = "hour") -> Iterator[MetricCell]:
    """The query's traces as cells of one hour or minute, in order of time; nothing is capped.

    `signal` is a score's name, "error" or "latency" (of the trace's root), or "time_to_first_token" (of each
    generation). A score counts at the time when it was given. Spans are read in halves where the server is too slow
    or has more than 1,000 rows. Raises UserError for what the endpoint cannot tell.
    """
    if granularity not in GRANULARITIES:
        raise UserError("Cells are one minute or one hour long; choose one of them.")
    if query.score:
        raise UserError("The metrics endpoint cannot filter by a score; leave that filter out, or import the traces.")
    shape, step = _shape(signal), GRANULARITIES[granularity]
    waiting = [(query.start, query.end)]
    while waiting:
        start, end = waiting.pop()
        try:
            rows = ask(_body(query, shape, start, end, granularity))
        except TooSlow:
            rows = []
            if end - start <= step:
                raise
        else:
            if len(rows) < ROW_LIMIT:
                yield from _cells(rows, shape, (start, end), step)
                continue
            if end - start <= step:
                raise UserError(
                    f"More than {ROW_LIMIT:,} combinations of facets and values in one {granularity}: "
                    "the metrics endpoint cannot tell them all; add a filter, or import the traces."
                )
        middle = _floor(start + (end - start) / 2, step)
        if not start < middle < end:
            middle = start + (end - start) / 2
        waiting += [(middle, end), (start, middle)]


def cells_of_metrics(cells: Iterator[MetricCell]) -> Cells:
    """What `iter_metric_cells` gives, as Cells; the mean time of a cell is taken to be its middle."""
    numbers = ProfileNumbers()
    table = np.array(
        [
            (
                numbers.of(cell.facets), cell.start.timestamp(), cell.end.timestamp(), cell.count, cell.total,
                cell.total_squares,
            )
            for cell in cells
        ],
        dtype=np.float64,
    ).reshape(-1, 6)  # fmt: skip
    profile, start, end, count, total, squares = table.T
    return Cells(
        numbers.profiles(), profile.astype(np.int32), start, end, (start + end) / 2, count.astype(np.int64), total,
        squares,
    )  # fmt: skip


def _shape(signal: str) -> _Shape:
    root = {"column": "isRootObservation", "operator": "=", "value": True, "type": "boolean"}
    if signal == "error":
        return _Shape("observations", _ROOT_FACETS, value="level", filters=(root,))
    if signal == "latency":
        return _Shape("observations", _ROOT_FACETS, measure="latency", unit=0.001, filters=(root,))
    if signal == "time_to_first_token":
        kind = _string("type", "GENERATION")
        return _Shape("observations", _GENERATION_FACETS, measure="timeToFirstToken", unit=0.001, filters=(kind,))
    if signal in {"cost", "label"} or not signal:
        raise UserError("The metrics endpoint cannot tell this signal for each trace; import the traces instead.")
    return _Shape("scores-numeric", _SCORE_FACETS, value="value", filters=(_string("name", signal),))


def _body(query: WindowQuery, shape: _Shape, start: datetime, end: datetime, granularity: str) -> dict[str, Any]:
    scores = shape.view != "observations"
    columns = {
        "traceName": query.name,
        "environment": query.environment,
        "traceVersion": query.version,
        "traceRelease" if scores else "release": query.release,
        "userId": query.user,
        "sessionId": query.session,
    }
    filters = [*shape.filters, *(_string(column, value) for column, value in columns.items() if value)]
    if query.tags:
        filters.append({"column": "tags", "operator": "all of", "value": list(query.tags), "type": "arrayOptions"})
    metrics = [{"measure": "count", "aggregation": "count"}]
    if shape.measure:
        metrics += [{"measure": shape.measure, "aggregation": name} for name in ("sum", "histogram")]
    names = [*shape.facets, "tags", *([shape.value] if shape.value else [])]
    return {
        "view": shape.view,
        "dimensions": [{"field": name} for name in names],
        "metrics": metrics,
        "filters": filters,
        "timeDimension": {"granularity": granularity},
        "fromTimestamp": format_moment(start),
        "toTimestamp": format_moment(end - _TICK),  # the endpoint takes both ends in
        # an order of its own keeps the server from filling hours without traces with zeros
        "orderBy": [{"field": "time_dimension", "direction": "asc"}],
        "config": {"row_limit": ROW_LIMIT, **({"bins": _BINS} if shape.measure else {})},
    }


def _cells(
    rows: list[dict[str, Any]], shape: _Shape, span: tuple[datetime, datetime], step: timedelta
) -> Iterator[MetricCell]:
    """Rows that differ only in the value are one cell."""
    found: dict[tuple[datetime, tuple[tuple[str, str], ...]], list[float]] = {}
    for row in rows:
        at, told = moment(row.get("time_dimension")), _sums(row, shape)
        if at is None or told is None:
            continue
        facets = facets_of_tags(tag for tag in _list(row.get("tags")) if isinstance(tag, str))
        facets |= {name: text for field, name in shape.facets.items() if (text := short_text(row.get(field)).strip())}
        sums = found.setdefault((at, tuple(sorted(facets.items()))), [0.0, 0.0, 0.0])
        for position, amount in enumerate(told):
            sums[position] += amount
    for (at, key), (count, total, squares) in sorted(found.items(), key=lambda item: item[0]):
        yield MetricCell(dict(key), max(at, span[0]), min(at + step, span[1]), round(count), total, squares)


def _sums(row: Mapping[str, Any], shape: _Shape) -> tuple[float, float, float] | None:
    """n, Σy and Σy² of one row; None for a row that counts nothing."""
    count = number(row.get("count_count"))  # ClickHouse writes large integers as text
    if not count or count < 0:
        return None
    if shape.value:
        told = row.get(shape.value)
        value = float(told == "ERROR") if shape.value == "level" else number(told)
        return None if value is None else (count, count * value, count * value * value)
    total = number(row.get(f"sum_{shape.measure}"))
    bins = [_bin(item) for item in _list(row.get(f"histogram_{shape.measure}"))]
    known = [item for item in bins if item is not None]
    measured = sum(height for _, _, height in known)
    if total is None or measured <= 0:
        return None  # nothing was measured, e.g. generations that were not streamed
    squares = sum(height * (((low + high) / 2) ** 2 + (high - low) ** 2 / 12) for low, high, height in known)
    unit = shape.unit
    total *= unit
    return measured, total, max(squares * unit * unit, total * total / measured)


def _bin(item: object) -> tuple[float, float, float] | None:
    """[lower, upper, height] of a histogram."""
    told = [number(one) for one in _list(item)]
    if len(told) != 3 or any(one is None for one in told):
        return None
    low, high, height = (float(one) for one in told if one is not None)
    return (low, high, height) if high >= low and height >= 0 else None


def _floor(at: datetime, step: timedelta) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // step.total_seconds() * step.total_seconds(), UTC)


def _string(column: str, value: str) -> dict[str, Any]:
    return {"column": column, "operator": "=", "value": value, "type": "string"}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def written(body: Mapping[str, Any]) -> str:
    """A query as the endpoint's one parameter wants it."""
    return json.dumps(body, separators=(",", ":"))
