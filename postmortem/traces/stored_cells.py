"""The stored traces as columns in memory and as cells: read once for a state of the evidence."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from postmortem.incidents.models import Incident
from postmortem.traces.cells import Cells, cells_of_columns, profiles_of
from postmortem.traces.columns import (
    FacetCodes,
    PackedFacet,
    facet_names,
    joined_facet,
    unpack,
    unpack_facets,
    unpack_numbers,
)
from postmortem.traces.counts import EvidenceState, evidence_state
from postmortem.traces.signals import LABEL, SIGNALS
from postmortem.traces.stored_columns import NUMBERS, SCORE, Part, best_scores, read_columns, read_parts

Floats = npt.NDArray[np.float64]
Narrow = Callable[["TraceColumns"], Mapping[str, FacetCodes]]


@dataclass(slots=True)
class TraceColumns:
    """Every trace of an incident as a row, in the order of keys.

    `seconds` count from 1970 (UTC), `failed` says whether there was an error.
    Facets are unpacked when somebody asks for them.
    """

    parts: list[Part]
    keys: npt.NDArray[np.int64]
    seconds: Floats
    failed: npt.NDArray[np.bool_]
    _packed: list[tuple[int, dict[str, PackedFacet]]]
    _facets: dict[str, FacetCodes] = field(default_factory=dict)

    def facet(self, name: str) -> FacetCodes:
        """One facet of every row."""
        if name not in self._facets:
            self._facets[name] = joined_facet(name, self._packed)
        return self._facets[name]

    def facet_names(self) -> list[str]:
        """Every facet that a trace records."""
        return facet_names(facets for _, facets in self._packed)

    def facets(self, names: Iterable[str] | None = None) -> dict[str, FacetCodes]:
        """The facets of that name that are recorded at all; every one without `names`."""
        known = self.facet_names()
        wanted = None if names is None else set(names)
        return {name: self.facet(name) for name in known if wanted is None or name in wanted}


def trace_columns(incident: Incident, state: EvidenceState | None = None) -> TraceColumns:
    """The traces, read once for a state of the evidence: three queries, and none for a known one but for the state."""
    return columns_of(state or evidence_state(incident))


def trace_cells(
    incident: Incident,
    edges: Iterable[float] = (),
    *,
    state: EvidenceState | None = None,
    narrow: Narrow | None = None,
) -> Cells:
    """All traces as cells without a signal, in order of time: what the join reads.

    `narrow` says which facets tell cells apart; every one without it.
    """
    columns = trace_columns(incident, state)
    facets = narrow(columns) if narrow else columns.facets()
    profiles, profile = profiles_of(facets, columns.keys.size)
    return cells_of_columns(profiles=profiles, profile=profile, seconds=columns.seconds, edges=edges)


def signal_cells(
    incident: Incident,
    signal: str,
    edges: Iterable[float] = (),
    *,
    narrow: Narrow | None = None,
    bin_seconds: int | None = None,
) -> Cells:
    """The traces that have the signal, as cells: what the attribution reads. As many queries, and one or two more."""
    state = evidence_state(incident)
    columns = trace_columns(incident, state)
    values = signal_column(incident, signal, state)
    known = np.flatnonzero(np.isfinite(values))
    facets = narrow(columns) if narrow else columns.facets()
    chosen = {name: FacetCodes(facet.codes[known], facet.values) for name, facet in facets.items()}
    profiles, profile = profiles_of(chosen, known.size)
    return cells_of_columns(
        profiles=profiles, profile=profile, seconds=columns.seconds[known], values=values[known], edges=edges,
        bin_seconds=bin_seconds,
    )  # fmt: skip


def signal_column(
    incident: Incident, signal: str, state: EvidenceState | None = None, *, built_in: bool = True
) -> Floats:
    """The signal of every row of `trace_columns`, NaN where it has none; a built-in one before a score of its name.

    Without `built_in` the name is that of a score.
    """
    state = state or evidence_state(incident)
    columns = trace_columns(incident, state)
    if signal == "error" and built_in:
        return columns.failed.astype(np.float64)
    if signal == LABEL:  # labels come and go one by one, and are no part of the stored columns
        return _scores_of(columns.keys, LABEL)
    return _number_column(state, signal, built_in=built_in)


@lru_cache(maxsize=4)
def columns_of(state: EvidenceState) -> TraceColumns:
    """`trace_columns` of a known state."""
    parts = read_parts(state.incident_id, ("traces", "facets"))
    packed = [(part.size, unpack_facets(part.columns["facets"])) for part in parts]
    arrays = [unpack(part.columns["traces"])[0] for part in parts]
    return TraceColumns(
        parts,
        np.concatenate([each["keys"] for each in arrays]) if arrays else np.zeros(0, dtype=np.int64),
        np.concatenate([each["seconds"] for each in arrays]) if arrays else np.zeros(0),
        np.concatenate([each["failed"] for each in arrays]) if arrays else np.zeros(0, dtype=np.bool_),
        packed,
    )


@lru_cache(maxsize=6)
def _number_column(state: EvidenceState, signal: str, *, built_in: bool) -> Floats:
    values = _one_column(columns_of(state), SCORE + signal)
    if built_in and signal in NUMBERS and signal in SIGNALS:
        own = number_column(state, signal)
        values = np.where(np.isfinite(own), own, values)
    return values


@lru_cache(maxsize=4)
def number_column(state: EvidenceState, name: str) -> Floats:
    """One of NUMBERS of every row, NaN where a trace does not record it."""
    return _one_column(columns_of(state), name)


def _one_column(columns: TraceColumns, name: str) -> Floats:
    segments = [part.segment for part in columns.parts if part.segment is not None]
    stored = {segment: data for segment, _, data in read_columns(segments, (name,))}
    pieces = []
    for part in columns.parts:
        if part.segment is None and name.startswith(SCORE):
            pieces.append(_scores_of(unpack(part.columns["traces"])[0]["keys"], name.removeprefix(SCORE)))
            continue
        data = stored.get(part.segment) if part.segment is not None else part.columns.get(name)
        pieces.append(np.full(part.size, np.nan) if data is None else unpack_numbers(data, part.size))
    return np.concatenate(pieces) if pieces else np.zeros(0)


def _scores_of(keys: npt.NDArray[np.int64], name: str) -> Floats:
    """One score read from its rows."""
    values = np.full(keys.size, np.nan)
    found = best_scores(keys, name)[0].get(name, {})
    values[np.searchsorted(keys, np.fromiter(found, dtype=np.int64))] = list(found.values())
    return values
