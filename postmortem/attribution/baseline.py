"""What the signal does without any change: the part that every comparison takes out first. Pure.

    y = stratum (prompt × segment × model) + other groups + daily harmonics
        + u(2 h bin) + u(day) + u(group × day) + x β + e

The u are random: their variances are learnt by moments on the quiet traffic before the incident, so shocks that
hit everybody, or one group for a day, are not taken for a change. With D the controls, W the weights and Λ the
penalties 1/τ², the controls leave M = W − W D (DᵀW D + Λ)⁻¹ DᵀW (Henderson 1975: penalised rows are random effects),
and a column x has β̂ = xᵀM y / xᵀM x with variance 1 / xᵀM x. Strata take in an observed shift of the traffic mix.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from postmortem.attribution.columns import Codes, Columns, Facet, combine

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]

STRATUM_FACETS = ("prompt", "segment", "model")
BIN_SECONDS = 7_200.0
DAY_SECONDS = 86_400.0
MAX_GROUP_VALUES = 12  # values of one group that get their own terms; rarer ones share one
MAX_STRATA = 400
_MIN_COVERAGE = 0.5
_VARIANCE_PRIOR_TRACES = 25.0  # weight of the common variance against a stratum's own
_FIXED_PENALTY = 0.25  # strata and groups: prior spread of two standard deviations
_HARMONIC_PENALTY = 4.0
_MIN_SHOCK_VARIANCE = 2e-4


@dataclass(frozen=True, slots=True)
class Scale:
    """How the model's units turn back: y = (f(signal) − centre) × sign / spread, higher is worse.

    `slope` is the size in the signal's own unit of one unit of y near the incident's level.
    """

    logarithmic: bool
    sign: float
    spread: float
    slope: float


@dataclass(frozen=True, slots=True)
class Terms:
    """The controls, fitted to some rows and ready to take any column of them through M."""

    weights: Floats
    controls: sparse.csr_array
    factor: tuple[Floats, bool]  # Cholesky factor of DᵀWD + Λ

    def information(self, columns: Floats) -> Floats:
        """xᵀMx of every column."""
        weighted = columns * self.weights[:, None]
        half = linalg.solve_triangular(
            self.factor[0], np.asarray(self.controls.T @ weighted), lower=True, check_finite=False
        )
        kept = np.einsum("ij,ij->j", columns, weighted) - np.einsum("ij,ij->j", half, half)
        return np.asarray(np.maximum(kept, 0.0))

    def project(self, vector: Floats) -> Floats:
        """M v."""
        shared = self.controls.T @ (self.weights * vector)
        fitted = self.controls @ linalg.cho_solve(self.factor, shared, check_finite=False)
        return np.asarray(self.weights * (vector - fitted))


@dataclass(frozen=True, slots=True)
class Baseline(Terms):
    """The controls fitted to all rows, and what else is known of them."""

    outcome: Floats
    sensitivity: Floats  # how strongly a trace can move, relative to the average
    penalty: Floats  # the diagonal of Λ
    groups: dict[str, Facet]
    strata: npt.NDArray[np.intp]
    scale: Scale
    adjusted: Floats  # outcome without stratum, groups and time of day; shocks stay in
    shock_variance: float  # of the two-hour shock that everybody shares
    usual_rate: Floats | None  # how often traces of a row's stratum went wrong before; for yes or no only

    def within(self, rows: Masks) -> "Terms":
        """The same terms fitted to some rows alone: the others, an incident among them, cannot pull at them."""
        controls, weights = sparse.csr_array(self.controls[rows]), self.weights[rows]
        return Terms(weights, controls, _factor(controls, weights, self.penalty))


def usable_groups(columns: Columns, moving: frozenset[str]) -> dict[str, Facet]:
    """Facets that group traffic: recorded by half of the traces, two values or more, and moved by no change.

    Values beyond the most frequent MAX_GROUP_VALUES, and traces without the facet, share code −1.
    """
    groups = {}
    for name, facet in sorted(columns.facets.items()):
        if name in moving or len(facet.values) < 2:
            continue
        recorded = facet.codes >= 0
        counts = np.bincount(facet.codes[recorded], columns.count[recorded], minlength=len(facet.values))
        if counts.sum() < columns.trace_count * _MIN_COVERAGE:
            continue
        if len(facet.values) > MAX_GROUP_VALUES:
            kept = np.argsort(-counts, kind="stable")[:MAX_GROUP_VALUES]
            if counts[kept].sum() < columns.trace_count * _MIN_COVERAGE:
                continue  # a session id or the like: names everybody, groups nobody
            place = np.full(len(facet.values) + 1, -1, dtype=np.int32)
            place[kept] = np.arange(kept.size, dtype=np.int32)
            facet = Facet(place[facet.codes], tuple(facet.values[i] for i in kept))  # noqa: PLW2901
        groups[name] = facet
    return groups


def stratify(groups: dict[str, Facet], size: int, traces: int) -> npt.NDArray[np.intp]:
    """Number the strata of `size` rows: prompt × segment × model where there, else the other groups.

    As many of them as `traces` traces keep filled.
    """
    names = [name for name in STRATUM_FACETS if name in groups] + [
        name for name in groups if name not in STRATUM_FACETS and not any(n in groups for n in STRATUM_FACETS)
    ]
    parts: list[Codes] = []
    for name in names:
        _, count = combine([*parts, groups[name].codes], size)
        if count <= min(MAX_STRATA, max(traces // 15, 1)):
            parts.append(groups[name].codes)
    numbers, _ = combine(parts, size)
    return numbers


def fit_baseline(columns: Columns, *, worse: str, moving: frozenset[str], quiet: Masks) -> Baseline:
    """Fit controls and shock variances. `moving` are facets that changes move, `quiet` the traces before trouble.

    Raises ValueError without traces.
    """
    size = columns.signal.size
    if size == 0:
        raise ValueError("There are no traces with the signal.")
    values = columns.signal
    logarithmic = _is_skewed(values) and not columns.is_binary
    shaped, squares = _logarithms(columns) if logarithmic else (values, columns.squares)
    groups = usable_groups(columns, moving)
    strata = stratify(groups, size, columns.trace_count)
    weights, spread, sensitivity = _precision(columns, shaped, squares, strata, quiet)
    sign = -1.0 if worse == "lower" else 1.0
    level = float(np.average(shaped, weights=columns.count * (quiet if quiet.any() else 1.0)))
    outcome = sign * (shaped - level) / spread
    slope = spread * (float(np.average(values, weights=columns.count)) if logarithmic else 1.0)

    fixed, penalties = _fixed_terms(columns, groups, strata)
    residual = _residual(fixed, penalties, weights * quiet, outcome)
    shock_terms, shock_penalties, shared = _shock_terms(columns, groups, weights, residual, quiet)
    controls = sparse.csr_array(sparse.hstack([fixed, *shock_terms], format="csr"))
    penalty = np.concatenate([penalties, *shock_penalties])
    return Baseline(
        weights, controls, _factor(controls, weights, penalty), outcome, sensitivity, penalty, groups, strata,
        Scale(logarithmic, sign, spread, slope),
        residual, shared, _usual_rate(columns, strata, quiet, sign) if columns.is_binary else None,
    )  # fmt: skip


def _usual_rate(columns: Columns, strata: npt.NDArray[np.intp], quiet: Masks, sign: float) -> Floats:
    """Share of the stratum's quiet traces that went wrong, shrunk to that of all."""
    wrong = columns.signal if sign > 0 else 1.0 - columns.signal
    each = columns.count * (quiet if quiet.any() else 1.0)
    common = float(((each * wrong).sum() + 0.5) / (each.sum() + 1.0))  # Jeffreys: none yet is not never
    size = int(strata.max()) + 1
    count = np.bincount(strata, weights=each, minlength=size)
    sums = np.bincount(strata, weights=each * wrong, minlength=size)
    return np.asarray(((sums + _VARIANCE_PRIOR_TRACES * common) / (count + _VARIANCE_PRIOR_TRACES))[strata])


def _is_skewed(values: Floats) -> bool:
    """Positive with a long right tail: seconds and money act by factors, so the model reads their logarithm."""
    if values.min() <= 0:
        return False
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return bool(high - middle > 1.5 * (middle - low))


def _logarithms(columns: Columns) -> tuple[Floats, Floats]:
    """Mean of log y and Σ(log y)² of every row; within a cell y is taken to be lognormal (exact for one trace)."""
    mean = columns.signal
    relative = np.log1p(np.maximum(columns.squares / columns.count / mean**2 - 1.0, 0.0))
    logs = np.log(mean) - 0.5 * relative
    return logs, columns.count * (logs**2 + relative)


def _precision(
    columns: Columns, shaped: Floats, squares: Floats, strata: npt.NDArray[np.intp], quiet: Masks
) -> tuple[Floats, float, Floats]:
    """Weights 1/variance by stratum (shrunk to the common one, mean variance 1), the common spread, sensitivity.

    A row of n traces weighs n times one of them.
    """
    each = columns.count
    used = quiet if each[quiet].sum() >= 50 else np.ones_like(quiet)
    count = np.bincount(strata[used], weights=each[used], minlength=int(strata.max()) + 1)
    sums = np.bincount(strata[used], weights=(each * shaped)[used], minlength=count.size)
    squared = np.bincount(strata[used], weights=squares[used], minlength=count.size)
    means = sums / np.maximum(count, 1)
    within = np.maximum(squared - sums * means, 0.0)
    common = float(within.sum() / max(count.sum() - (count > 0).sum(), 1.0))
    if common <= 0:
        common = max(float(shaped.var()), 1e-12)
    variance = (within + _VARIANCE_PRIOR_TRACES * common) / (np.maximum(count - 1, 0) + _VARIANCE_PRIOR_TRACES)
    relative = np.clip(variance / common, 0.1, 5.0)[strata]
    sensitivity = relative if columns.is_binary else np.sqrt(relative)
    return each / relative, float(np.sqrt(common)), sensitivity


def _dummies(codes: npt.NDArray[np.integer]) -> sparse.csr_array:
    """One column a code ≥ 0."""
    rows = np.flatnonzero(codes >= 0)
    width = int(codes.max(initial=-1)) + 1
    return sparse.csr_array((np.ones(rows.size), (rows, codes[rows])), shape=(codes.size, width))


def _fixed_terms(
    columns: Columns, groups: dict[str, Facet], strata: npt.NDArray[np.intp]
) -> tuple[sparse.csr_array, Floats]:
    size = columns.seconds.size
    angle = 2 * np.pi * (columns.seconds % DAY_SECONDS) / DAY_SECONDS
    waves = np.column_stack([np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)])
    terms = [sparse.csr_array(np.ones((size, 1))), _dummies(strata)]
    terms += [_dummies(facet.codes) for facet in groups.values()]
    penalties = [np.full(1, 1e-6), *(np.full(term.shape[1], _FIXED_PENALTY) for term in terms[1:])]
    terms.append(sparse.csr_array(waves))
    penalties.append(np.full(4, _HARMONIC_PENALTY))
    return sparse.csr_array(sparse.hstack(terms, format="csr")), np.concatenate(penalties)


def _factor(controls: sparse.csr_array, weights: Floats, penalty: Floats) -> tuple[Floats, bool]:
    system = np.asarray((controls.T @ controls.multiply(weights[:, None])).todense()) + np.diag(penalty)
    return np.asarray(linalg.cholesky(system, lower=True, check_finite=False)), True


def _residual(terms: sparse.csr_array, penalties: Floats, weights: Floats, outcome: Floats) -> Floats:
    system = np.asarray((terms.T @ terms.multiply(weights[:, None])).todense()) + np.diag(penalties)
    solution = linalg.solve(system, terms.T @ (weights * outcome), assume_a="pos", check_finite=False)
    return np.asarray(outcome - terms @ solution)


def shock_variance(numbers: npt.NDArray[np.intp], weights: Floats, residual: Floats) -> float:
    """Variance of a group's common shock by moments: E[Σ(Σwr)²] = Σ(Σw) + τ² Σ(Σw)², as w are 1/variance."""
    totals = np.bincount(numbers, weights=weights)
    sums = np.bincount(numbers, weights=weights * residual)
    scale = float((totals**2).sum())
    return max(float((sums**2).sum() - totals.sum()) / scale, 0.0) if scale > 0 else 0.0


def _shock_terms(
    columns: Columns, groups: dict[str, Facet], weights: Floats, residual: Floats, quiet: Masks
) -> tuple[list[sparse.csr_array], list[Floats], float]:
    """The random terms with their penalties 1/τ², and τ² of the two-hour bins."""
    start = float(columns.seconds[0])
    bins = ((columns.seconds - start) // BIN_SECONDS).astype(np.int32)
    days = ((columns.seconds - start) // DAY_SECONDS).astype(np.int32)
    blocks: list[list[Codes]] = [[bins], [days]]
    blocks += [[facet.codes, days] for facet in groups.values()]
    terms, penalties = [], []
    for parts in blocks:
        numbers, count = combine(parts, columns.seconds.size)
        variance = shock_variance(numbers[quiet], weights[quiet], residual[quiet]) if quiet.any() else 0.0
        terms.append(_dummies(numbers))
        penalties.append(np.full(count, 1.0 / max(variance, _MIN_SHOCK_VARIANCE)))
    return terms, penalties, float(1.0 / penalties[0][0])
