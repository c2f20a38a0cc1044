"""Which signals moved between two windows, and in which facet values. Pure.

The question is that of BubbleUp (Honeycomb): what is different about where it got worse? Every value of every facet is
compared with all other traces at the same time, as a difference of differences where the value was there before, so
that what moved everywhere points nowhere. Many looks find something by chance; Benjamini and Hochberg 1995 keep the
expected share of false finds among the shown at 5 %.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from postmortem.attribution.intervals import Z95, Moments, difference_of, level_of
from postmortem.attribution.shapes import Estimate, Level
from postmortem.changes.telling import FacetColumns
from postmortem.traces.cells import Cells
from postmortem.traces.columns import FacetCodes
from postmortem.traces.signals import SIGNALS, signal_label

FALSE_SHARE = 0.05
_FEWEST = 10  # traces of a value in a window, below which nothing is said of it
_MOST_VALUES = 40  # of one facet, the most frequent
_MOST_DISTINCT = 2_000  # a facet with more values is an id
Floats = npt.NDArray[np.float64]
Worse = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class SignalMove:
    """One signal in both windows. `effect` is the difference in standard deviations of the baseline.

    `worse` is the direction that is worse: known for the built-in signals, else the one it moved in. `q` is the
    p-value after correction for all signals; `moved` says that it is at most 5 %.
    """

    signal: str
    label: str
    unit: str
    before: Level
    after: Level
    difference: Estimate
    effect: float
    worse: Worse
    q: float
    moved: bool


@dataclass(frozen=True, slots=True)
class FacetMove:
    """How a signal moved where a facet has a value, against everywhere else.

    `before` is None when the value was not there in the baseline (or hardly); then `contrast` compares the incident
    window alone. `share` is the value's part of the incident's traces, `q` the p-value after correction for all looks.
    """

    facet: str
    value: str
    before: Level | None
    after: Level
    rest_before: Level | None
    rest_after: Level
    contrast: Estimate
    share: float
    q: float


@dataclass(frozen=True, slots=True)
class Symptoms:
    """Signals by the size of their move, and for each the facet values that stand out, the weightiest first.

    `looks` is how many comparisons the correction counts.
    """

    signals: list[SignalMove]
    facets: dict[str, list[FacetMove]]
    looks: int


def find_symptoms(cells: Mapping[str, Cells], baseline: tuple[float, float], incident: tuple[float, float]) -> Symptoms:
    """Compare two windows (start and end in seconds since 1970) for {signal: cells}.

    A signal needs ten traces in each window. Cells must not straddle the bounds of the windows.
    """
    moves: list[tuple[SignalMove, float]] = []
    looks: list[tuple[str, FacetMove, float]] = []
    for signal, found in cells.items():
        before, after = _in(found, baseline), _in(found, incident)
        if min(before.trace_count, after.trace_count) < _FEWEST:
            continue
        binary = _is_binary(found)
        moves.append(_signal_move(signal, before, after, binary=binary))
        looks += [(signal, move, p) for move, p in _facet_moves(before, after, binary=binary)]
    signal_q = adjusted([p for _, p in moves])
    facet_q = adjusted([p for _, _, p in looks])
    signals = [
        replace(move, q=float(q), moved=bool(q <= FALSE_SHARE)) for (move, _), q in zip(moves, signal_q, strict=True)
    ]
    facets: dict[str, list[FacetMove]] = {move.signal: [] for move in signals}
    for (signal, look, _), q in zip(looks, facet_q, strict=True):
        if q <= FALSE_SHARE:
            facets[signal].append(replace(look, q=float(q)))
    for rows in facets.values():
        rows.sort(key=lambda row: -abs(row.contrast.estimate) * math.sqrt(row.share * (1 - row.share) + 1e-9))
    signals.sort(key=lambda move: (not move.moved, -abs(move.effect)))
    return Symptoms(signals, facets, len(looks) + len(moves))


def comparable_facets(columns: FacetColumns) -> dict[str, FacetCodes]:
    """The facets whose values are compared: those with two values or more, and not too many."""
    found = {name: columns.facet(name) for name in columns.facet_names()}
    return {name: facet for name, facet in found.items() if 1 < len(facet.values) <= _MOST_DISTINCT}


def adjusted(p_values: list[float]) -> Floats:
    """Benjamini-Hochberg: q of the k-th smallest of m p-values is min over j ≥ k of p_j m / j, at most 1."""
    p = np.array(p_values, dtype=np.float64)
    if not p.size:
        return p
    order = np.argsort(p, kind="stable")
    raised = p[order] * p.size / np.arange(1, p.size + 1)
    found = np.empty_like(p)
    found[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return found


def _signal_move(signal: str, before: Cells, after: Cells, *, binary: bool) -> tuple[SignalMove, float]:
    old, new = _moments(before), _moments(after)
    difference = difference_of(new, old, binary=binary)
    spread = math.sqrt(_variance(old, binary=binary))
    if spread == 0:
        spread = math.sqrt(_variance(new, binary=binary)) or 1.0
    kind = SIGNALS.get(signal)
    worse: Worse = "higher" if (kind.worse == "higher" if kind else difference.estimate > 0) else "lower"
    move = SignalMove(
        signal, signal_label(signal), kind.unit if kind else "share" if binary else "",
        level_of(old, binary=binary), level_of(new, binary=binary), difference, difference.estimate / spread, worse,
        1.0, False,
    )  # fmt: skip
    error = math.sqrt(_variance(old, binary=binary) / old.count + _variance(new, binary=binary) / new.count)
    return move, _p(difference.estimate, error)


def _facet_moves(before: Cells, after: Cells, *, binary: bool) -> list[tuple[FacetMove, float]]:
    found = []
    names = sorted(after.facet_names())
    total = after.trace_count
    for facet in names:
        new_groups, values = _groups(after, facet)
        if not 1 < len(values) <= _MOST_DISTINCT:
            continue
        groups, names_before = _groups(before, facet)
        old_groups = dict(zip(names_before, groups, strict=True))
        all_new, all_old = _moments(after), _moments(before)
        by_count = sorted(zip(values, new_groups, strict=True), key=lambda item: -item[1].count)
        for value, new in by_count[:_MOST_VALUES]:
            rest_new = _less(all_new, new)
            if min(new.count, rest_new.count) < _FEWEST:
                continue
            old: Moments | None = old_groups.get(value)
            rest_old: Moments | None = _less(all_old, old) if old else None
            if old is None or rest_old is None or min(old.count, rest_old.count) < _FEWEST:
                old = rest_old = None
            move = _facet_move(
                facet, value, new=new, rest_new=rest_new, old=old, rest_old=rest_old,
                share=new.count / total, binary=binary,
            )  # fmt: skip
            found.append(move)
    return found


def _facet_move(
    facet: str,
    value: str,
    *,
    new: Moments,
    rest_new: Moments,
    old: Moments | None,
    rest_old: Moments | None,
    share: float,
    binary: bool,
) -> tuple[FacetMove, float]:
    contrast = new.mean - rest_new.mean
    error = _variance(new, binary=binary) / new.count + _variance(rest_new, binary=binary) / rest_new.count
    if old is not None and rest_old is not None:
        contrast -= old.mean - rest_old.mean
        error += _variance(old, binary=binary) / old.count + _variance(rest_old, binary=binary) / rest_old.count
    half = Z95 * math.sqrt(error)
    move = FacetMove(
        facet, value,
        level_of(old, binary=binary) if old else None, level_of(new, binary=binary),
        level_of(rest_old, binary=binary) if rest_old else None, level_of(rest_new, binary=binary),
        Estimate(contrast, (contrast - half, contrast + half)), share, 1.0,
    )  # fmt: skip
    return move, _p(contrast, math.sqrt(error))


def _groups(cells: Cells, facet: str) -> tuple[list[Moments], tuple[str, ...]]:
    """Moments of each value of a facet."""
    codes, values = cells.codes(facet)
    code = codes[cells.profile]
    known = code >= 0
    size = len(values)
    counts, totals, squares = (
        np.bincount(code[known], column[known].astype(np.float64), size)
        for column in (cells.count, cells.total, cells.total_squares)
    )
    return [Moments(int(n), float(t), float(s)) for n, t, s in zip(counts, totals, squares, strict=True)], values


def _in(cells: Cells, window: tuple[float, float]) -> Cells:
    return cells.rows((cells.seconds >= window[0]) & (cells.seconds < window[1]))


def _moments(cells: Cells) -> Moments:
    return Moments(cells.trace_count, float(cells.total.sum()), float(cells.total_squares.sum()))


def _less(whole: Moments, part: Moments) -> Moments:
    return Moments(whole.count - part.count, whole.total - part.total, whole.squares - part.squares)


def _variance(values: Moments, *, binary: bool) -> float:
    """Of single values. A rate of 0 or 1 still has some: two successes and two failures are added (Agresti-Coull)."""
    if not binary:
        return values.variance
    rate = (values.total + 2) / (values.count + 4)
    return rate * (1 - rate)


def _is_binary(cells: Cells) -> bool:
    within = bool(((cells.total >= 0) & (cells.total <= cells.count)).all())
    return within and bool((np.abs(cells.total_squares - cells.total) <= 1e-9 * np.maximum(cells.count, 1)).all())


def _p(estimate: float, error: float) -> float:
    """Two-sided p-value of a normal estimate; a difference without any spread is certain."""
    if error <= 0:
        return 1.0 if estimate == 0 else 0.0
    return float(2 * special.ndtr(-abs(estimate) / error))
