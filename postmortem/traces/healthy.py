"""A healthy trace like a failing one: the same prompt and segment, from before the onset."""

from typing import Any

import numpy as np
import numpy.typing as npt

from postmortem.incidents.models import Incident, Worse
from postmortem.traces.compare import likeness
from postmortem.traces.models import Score, Trace
from postmortem.traces.stored_cells import TraceColumns, trace_columns

# Facets that a similar trace shares, the dearest last to be given up.
_SHARED = ("prompt", "segment", "intent", "region")
_CANDIDATES = 300
_BUILT_IN = {"latency": "latency_seconds", "time_to_first_token": "time_to_first_token_seconds", "cost": "cost_usd"}


def similar_healthy(trace: Trace, count: int = 5) -> list[Trace]:
    """The traces most like `trace` among the healthy ones before the onset, the most alike first.

    They share prompt, segment, intent and region as far as there are any such, prompt and segment before the rest, and
    lie on the better side of the signal. Of those, the most words in common with the question decide.
    """
    incident = trace.incident
    onset = incident.onset_at or incident.incident_start or trace.timestamp
    # By columns: no index of a database helps where most traces share their facets.
    columns = trace_columns(incident)
    earlier = ~columns.failed & (columns.seconds < min(onset, trace.timestamp).timestamp())
    earlier &= columns.keys != trace.pk
    for kept in range(len(_SHARED), -1, -1):
        alike = earlier.copy()
        for name in _SHARED[:kept]:
            if value := trace.facets.get(name):
                facet = columns.facet(name)
                alike &= facet.codes == (facet.values.index(value) if value in facet.values else -2)
        keys = _latest(columns, np.flatnonzero(alike))
        rows = Trace.objects.in_bulk(keys)
        found = _healthy(incident, [rows[key] for key in keys if key in rows])
        if found:
            return sorted(found, key=lambda other: -likeness(trace.input_preview, other.input_preview))[:count]
    return []


def _latest(columns: TraceColumns, rows: npt.NDArray[np.intp]) -> list[int]:
    """Keys of the latest of these rows, the last one first."""
    if rows.size > _CANDIDATES:
        rows = rows[np.argpartition(columns.seconds[rows], -_CANDIDATES)[-_CANDIDATES:]]
    order = np.lexsort((columns.keys[rows], columns.seconds[rows]))[::-1]
    return [int(key) for key in columns.keys[rows][order]]


def _healthy(incident: Incident, traces: list[Trace]) -> list[Trace]:
    """Those at least as good as the middle one by the signal; all of them when none has the signal."""
    values: dict[int, Any] = {}
    if incident.signal in _BUILT_IN:
        values = {trace.pk: getattr(trace, _BUILT_IN[incident.signal]) for trace in traces}
    elif incident.signal and incident.signal != "error":
        rows = Score.objects.filter(trace__in=traces, name=incident.signal, value__isnull=False)
        values = dict(rows.order_by("-observation_id").values_list("trace_id", "value"))
    values = {key: value for key, value in values.items() if value is not None}
    if not values:
        return traces
    sign = 1 if incident.worse == Worse.LOWER else -1
    middle = sorted(values.values())[len(values) // 2]
    return [trace for trace in traces if trace.pk in values and sign * values[trace.pk] >= sign * middle]
