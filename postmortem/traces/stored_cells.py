"""The stored traces as cells: read as columns, one set of facet values decoded once, whatever the number of traces."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import TextField
from django.db.models.functions import Cast

from postmortem.incidents.models import Incident
from postmortem.traces.cells import Cells, ProfileNumbers, cells_of_columns
from postmortem.traces.models import Score, Trace
from postmortem.traces.selectors import EvidenceState, evidence_state
from postmortem.traces.values import load_json

Floats = npt.NDArray[np.float64]
_CHUNK = 10_000
_COLUMNS = {
    "latency": "latency_seconds",
    "time_to_first_token": "time_to_first_token_seconds",
    "cost": "cost_usd",
    "error": "has_error",
}


@dataclass(frozen=True, slots=True)
class ProfileRows:
    """Every trace of an incident as a row, by its key: which profile, and when (seconds since 1970, UTC)."""

    keys: npt.NDArray[np.int64]
    profile: npt.NDArray[np.int32]
    seconds: Floats
    profiles: tuple[Mapping[str, str], ...]


def trace_cells(incident: Incident, edges: Iterable[float] = (), *, state: EvidenceState | None = None) -> Cells:
    """All traces as cells without a signal, in order of time: what the join reads.

    One query for a new state of the evidence, none for a known one; two more where `state` is not given.
    """
    rows = _profile_rows(state or evidence_state(incident))
    return cells_of_columns(
        profiles=rows.profiles, profile=rows.profile, seconds=rows.seconds, values=np.zeros(rows.keys.size), edges=edges
    )


def signal_cells(incident: Incident, signal: str, edges: Iterable[float] = ()) -> Cells:
    """The traces that have the signal, as cells: what the attribution reads. As many queries, and one or two more."""
    rows = profile_rows(incident)
    values = _signal_values(incident, signal, rows)
    known = np.isfinite(values)
    return cells_of_columns(
        profiles=rows.profiles, profile=rows.profile[known], seconds=rows.seconds[known], values=values[known],
        edges=edges,
    )  # fmt: skip


def profile_rows(incident: Incident) -> ProfileRows:
    """The rows, read once for a state of the evidence."""
    return _profile_rows(evidence_state(incident))


@lru_cache(maxsize=8)
def _profile_rows(state: EvidenceState) -> ProfileRows:
    """Facets come as text and are decoded once a distinct text: a million traces share a few hundred of them."""
    of_text: dict[str, int] = {}
    numbers = ProfileNumbers()
    keys, profile, seconds = array("q"), array("i"), array("d")
    found = (
        Trace.objects.filter(incident_id=state[0])
        .order_by("pk")
        .annotate(facets_text=Cast("facets", TextField()))
        .values_list("pk", "facets_text", "timestamp")
    )
    for key, text, timestamp in found.iterator(chunk_size=_CHUNK):
        number = of_text.get(text)
        if number is None:
            facets = load_json(text, "The facets of a stored trace")
            number = of_text[text] = numbers.of({str(name): str(value) for name, value in facets.items()})
        keys.append(key)
        profile.append(number)
        seconds.append(timestamp.timestamp())
    return ProfileRows(
        np.array(keys, dtype=np.int64), np.array(profile, dtype=np.int32), np.array(seconds, dtype=np.float64),
        numbers.profiles(),
    )  # fmt: skip


def _signal_values(incident: Incident, signal: str, rows: ProfileRows) -> Floats:
    """The signal of every row, NaN where it has none; a built-in signal before a score of the same name."""
    values = np.full(rows.keys.size, np.nan)
    for key, value in _best_scores(incident, signal).items():
        place = int(np.searchsorted(rows.keys, key))
        if place < rows.keys.size and rows.keys[place] == key:
            values[place] = value
    if signal in _COLUMNS:
        column = _COLUMNS[signal]
        found = Trace.objects.filter(incident=incident, **{f"{column}__isnull": False}).order_by("pk")
        keys, own = array("q"), array("d")
        for key, value in found.values_list("pk", column).iterator(chunk_size=_CHUNK):
            keys.append(key)
            own.append(float(value))
        values[np.searchsorted(rows.keys, np.array(keys, dtype=np.int64))] = np.array(own, dtype=np.float64)
    return values


def _best_scores(incident: Incident, name: str) -> dict[int, float]:
    """{trace: value}: a score on the trace before one on an observation, then the latest, as scores_by_name says."""
    best: dict[int, tuple[Any, float]] = {}
    found = (
        Score.objects.filter(trace__incident=incident, name=name, value__isnull=False)
        .order_by()
        .values_list("trace_id", "value", "observation_id", "timestamp", "external_id")
    )
    for key, value, observation_id, timestamp, external_id in found.iterator(chunk_size=_CHUNK):
        rank = (not observation_id, timestamp is not None, timestamp, external_id)
        if key not in best or rank > best[key][0]:
            best[key] = (rank, value)
    return {key: value for key, (_, value) in best.items()}
