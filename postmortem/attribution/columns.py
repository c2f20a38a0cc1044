"""Traces as columns: one array a fact, facet values coded once. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from postmortem.traces.records import TraceRecord
from postmortem.traces.signals import signal_value

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Facet:
    """One facet of every trace: position in `values`, −1 where the trace did not record it."""

    codes: Codes
    values: tuple[str, ...]

    @property
    def coverage(self) -> float:
        """Share of traces that record it."""
        return float((self.codes >= 0).mean()) if self.codes.size else 0.0


@dataclass(frozen=True, slots=True)
class Columns:
    """Traces that have the signal, oldest first. `seconds` count from 1970 (UTC), `signal` is in its own unit."""

    traces: tuple[TraceRecord, ...]
    seconds: Floats
    signal: Floats
    facets: Mapping[str, Facet]

    @property
    def is_binary(self) -> bool:
        """Whether the signal takes no values but 0 and 1."""
        return bool(np.isin(self.signal, (0.0, 1.0)).all())

    def between(self, start: float, end: float) -> npt.NDArray[np.bool_]:
        """Mask of traces with start ≤ time < end."""
        return (self.seconds >= start) & (self.seconds < end)


def to_columns(traces: Sequence[TraceRecord], signal: str) -> Columns:
    """Sort by time, drop traces without a finite value of the signal, code the facets."""
    kept = []
    for trace in traces:
        value = signal_value(trace, signal)
        if value is not None and math.isfinite(value):
            kept.append((trace.timestamp.timestamp(), float(value), trace))
    kept.sort(key=lambda row: row[0])
    ordered = tuple(row[2] for row in kept)
    return Columns(
        traces=ordered,
        seconds=np.array([row[0] for row in kept]),
        signal=np.array([row[1] for row in kept]),
        facets=_code_facets(ordered),
    )


def _code_facets(traces: Sequence[TraceRecord]) -> dict[str, Facet]:
    names: dict[str, None] = {}
    for trace in traces:
        names.update(dict.fromkeys(trace.facets))
    coded: dict[str, Facet] = {}
    for name in names:
        numbers: dict[str, int] = {}
        codes = np.fromiter(
            (
                -1 if (value := trace.facets.get(name)) is None else numbers.setdefault(value, len(numbers))
                for trace in traces
            ),
            dtype=np.int32,
            count=len(traces),
        )
        coded[name] = Facet(codes, tuple(str(value) for value in numbers))
    return coded


def combine(parts: Sequence[Codes], size: int) -> tuple[npt.NDArray[np.intp], int]:
    """Number the combinations of several codes from 0; returns the number of each row and how many there are."""
    joint = np.zeros(size, dtype=np.int64)
    for codes in parts:
        joint = joint * (int(codes.max(initial=-1)) + 2) + (codes + 1)
    _, numbers = np.unique(joint, return_inverse=True)
    return numbers.astype(np.intp), int(numbers.max(initial=-1)) + 1
