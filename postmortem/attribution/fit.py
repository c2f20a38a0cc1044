"""The fine-mapping of one case: from traces and changes to the probability of each explanation. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from scipy import special

from postmortem.attribution import bayes
from postmortem.attribution.baseline import Baseline, fit_baseline
from postmortem.attribution.candidates import (
    LAG_HOURS,
    LAGS_SHARE,
    NULL_PRIOR,
    Candidate,
    Design,
    build_design,
    placebo_columns,
)
from postmortem.attribution.columns import Columns, to_columns
from postmortem.attribution.mix import mix_share
from postmortem.attribution.moves import ObservedMove, observed_moves
from postmortem.attribution.products import Information, information_of
from postmortem.attribution.punctual import share_off
from postmortem.attribution.shapes import AttributionCase
from postmortem.changes.as_observed import as_observed
from postmortem.changes.exposure import ExposureMatrix, exposure_of_cells
from postmortem.changes.reconcile import VERSION_FACETS, Reconciliation, VersionMove, reconcile_cells
from postmortem.changes.records import ChangeRecord
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]

FEWEST_TRACES = 50
QUIET_BEFORE_DETECTION = 72 * 3600.0
# One cause is the rule: a second and a third need evidence of their own.
FURTHER_NULL_PRIORS = (0.9, 0.95)
# A shift of the mix that accounts for the whole drop needs no change besides: such a shift is about six times as
# likely when it is the cause as it is by coincidence.
MIX_ODDS = 6.0
LEAST_LAGS_SHARE, MOST_LAGS_SHARE = 0.05, 0.6
ONE_SIDED_95 = 1.645


@dataclass(frozen=True, slots=True)
class ChangeFit:
    """What the model says of one logged change. `hidden_harm` is in the signal's unit, None if nothing bounds it."""

    probability: float
    prior: float
    log_bayes_factor: float
    z: float
    hidden_harm: float | None
    ran_before: float  # share of its traffic in the incident that already ran on it in the quiet time, 0 to 1
    hint: float  # log Bayes factor for harm on top of all that the other effects explain


@dataclass(frozen=True, slots=True)
class UnloggedFit:
    """The best unlogged explanation: where it is, since when, and its layer if a version move names one."""

    probability: float
    prior: float
    log_bayes_factor: float
    z: float
    layer: Layer | None
    what: str
    start: datetime | None
    effect: float  # in the signal's unit, with the signal's sign
    error: float
    shares: Floats  # of each row: whether it was touched, or how likely
    move: VersionMove | None


@dataclass(frozen=True, slots=True)
class PairFit:
    """Two changes (positions in the list) as one cause that needs both. Effect and error are in the signal's unit."""

    one: int
    two: int
    probability: float
    effect: float
    error: float
    traces: int  # that ran on both


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted model of one case. `effects` are effects × (changes, then unlogged) probabilities."""

    case: AttributionCase
    columns: Columns
    baseline: Baseline
    exposures: ExposureMatrix
    reconciliation: Reconciliation
    quiet: Masks
    inflation: float
    changes: tuple[ChangeFit, ...]
    unlogged: UnloggedFit
    null: float  # no step at all: mix or nothing
    mix_share: float  # of that, what the mix takes
    effects: Floats
    effect_nulls: Floats
    pairs: tuple[PairFit, ...]


def fit_case(case: AttributionCase) -> Fit:
    """Run the model. Raises UserError when there is too little to compare."""
    columns = to_columns(case.cells)
    if columns.trace_count < FEWEST_TRACES:
        raise UserError(
            f"Only {columns.trace_count:,} of {case.trace_count:,} traces carry the signal “{case.signal}”; "
            f"attribution needs at least {FEWEST_TRACES}. Import more traces or choose another signal."
        )
    if case.incident:
        columns = _until(columns, case.incident[1].timestamp())
    detected = min(case.detected_at.timestamp(), float(columns.seconds[-1]))
    quiet = _quiet(case, columns, detected)
    moving = frozenset(VERSION_FACETS) - {"model"} | {change.facet for change in case.changes if change.facet}
    baseline = fit_baseline(columns, worse=case.worse, moving=moving, quiet=quiet)
    changes = as_observed(case.changes, columns.cells)
    exposures = exposure_of_cells(changes, columns.cells)
    reconciliation = reconcile_cells(changes, columns.cells, exposures)
    _forget_never_observed(exposures, case, reconciliation)
    moves = observed_moves(columns, case.changes, reconciliation.never_logged)
    before, after = _shares(case, columns, exposures.shares, quiet, detected)
    moved = _shares(case, columns, _stacked([move.column for move in moves], columns), quiet, detected)
    ran_before = _ran_before(before, after)
    design = build_design(
        columns=columns, baseline=baseline, changes=changes, exposures=exposures,
        moves=moves, detected=detected,
        earliest=case.incident[0].timestamp() - 86_400.0 if case.incident else detected,
        ran_before=np.concatenate([ran_before, _ran_before(*moved)]),
        lags_share=_lags_share(case.changes, changes, columns, exposures),
    )  # fmt: skip
    inflation = _inflation(columns, baseline, quiet)
    information = information_of(
        dense=design.dense, steps=design.steps, weights=baseline.weights,
        controls=baseline.controls, factor=baseline.factor,
    )  # fmt: skip
    cross = design.times(baseline.project(baseline.outcome))
    share = _mix_share(case, columns, baseline, quiet, detected)
    null_odds = NULL_PRIOR / (1 - NULL_PRIOR) * (1 + (MIX_ODDS - 1) * share)
    reach, rates = _reach(design, baseline)
    posterior = bayes.single_effects(
        cross=cross, gram=information, overlap=information.overlap, priors=design.priors, inflation_factor=inflation,
        null_priors=(null_odds / (1 + null_odds), *FURTHER_NULL_PRIORS), reach=reach, rates=rates,
    )  # fmt: skip
    owner = np.array([candidate.change for candidate in design.candidates], dtype=np.intp)
    partner = np.array([candidate.partner for candidate in design.candidates], dtype=np.intp)
    effects = _by_owner(posterior.inclusion, owner, partner, len(case.changes))
    found = 1.0 - np.prod(1.0 - effects, axis=0)
    left = cross - information.times(posterior.fitted)
    fits = tuple(
        _change_fit(
            own=np.flatnonzero((owner == position) | (partner == position)),
            probability=float(found[position]), design=design, posterior=posterior,
            left=left, information=information, baseline=baseline, reach=float(after[position] - before[position]),
            ran_before=float(ran_before[position]),
        )
        for position in range(len(case.changes))
    )  # fmt: skip
    unlogged = _unlogged_fit(float(found[-1]), design, posterior, baseline, moves)
    return Fit(
        case, columns, baseline, exposures, reconciliation, quiet, inflation, fits, unlogged,
        float(posterior.null.min(initial=1.0)), share, effects, posterior.null,
        _pair_fits(design, posterior, baseline),
    )  # fmt: skip


def _lags_share(
    log: Sequence[ChangeRecord], observed: Sequence[ChangeRecord], columns: Columns, exposures: ExposureMatrix
) -> float:
    """How much of an unversioned change goes to other times than its log's, by how punctual the versions are."""
    as_told = [replace(seen, at=told.at, until=told.until) for seen, told in zip(observed, log, strict=True)]
    share = share_off(as_told, columns, exposures, lag_hours=LAG_HOURS, prior=LAGS_SHARE)
    return min(max(share, LEAST_LAGS_SHARE), MOST_LAGS_SHARE)


def _reach(design: Design, baseline: Baseline) -> tuple[Floats, bayes.Rates | None]:
    """How much of the traffic that each column touches ran on it, and how often that went wrong before."""
    usual = baseline.usual_rate
    known = baseline.sensitivity[:, None] if usual is None else np.column_stack([baseline.sensitivity, usual])
    sensitive, *before, moved = design.averages(known, baseline.weights)
    moved, sensitive = np.maximum(moved, 1e-9), np.maximum(sensitive, 1e-9)
    # A column of x = share × sensitivity in n traces of variance 1 / sensitivity informs by n x² / sensitivity.
    rates = bayes.Rates(before[0], moved * baseline.scale.spread, sensitive / moved**2) if before else None
    return moved / sensitive, rates


def _until(columns: Columns, end: float) -> Columns:
    """Traces before the end of the incident: what came after is recovery."""
    rows = int((columns.seconds < end).sum())
    if rows == columns.seconds.size or columns.count[:rows].sum() < FEWEST_TRACES:
        return columns
    return columns.first(rows)


def _quiet(case: AttributionCase, columns: Columns, detected: float) -> Masks:
    """Traffic to learn ordinary swings from: until the baseline ends, else until three days before detection."""
    until = case.baseline[1].timestamp() if case.baseline else detected - QUIET_BEFORE_DETECTION
    quiet = columns.seconds < until
    if columns.count[quiet].sum() < FEWEST_TRACES:
        quiet = np.arange(quiet.size) < max(quiet.size // 3, FEWEST_TRACES // 2)
    return quiet


def _forget_never_observed(exposures: ExposureMatrix, case: AttributionCase, found: Reconciliation) -> None:
    """A change that traces say never ran has no exposure, whatever its log says of traces that do not tell."""
    missing = {row.change_id for row in found.never_observed}
    for position, change in enumerate(case.changes):
        if change.id in missing:
            exposures.shares[:, position] = 0.0


def _inflation(columns: Columns, baseline: Baseline, quiet: Masks) -> float:
    placebos = placebo_columns(columns, baseline, quiet)
    if not placebos.shape[1]:
        return 1.0
    ordinary = baseline.within(quiet)
    information = ordinary.information(placebos)
    cross = placebos.T @ ordinary.project(baseline.outcome[quiet])
    told = information > 1.0
    return bayes.inflation(cross[told] / np.sqrt(information[told]))


def _mix_share(case: AttributionCase, columns: Columns, baseline: Baseline, quiet: Masks, detected: float) -> float:
    """How much of the drop the mix accounts for, in the set windows, else from the quiet time to the last day."""
    before, after = quiet, columns.seconds >= detected - 86_400.0
    if case.baseline and case.incident:
        before, after = (
            columns.between(span[0].timestamp(), span[1].timestamp()) for span in (case.baseline, case.incident)
        )
    return mix_share(columns, baseline.strata, before, after, worse=case.worse)


def _by_owner(inclusion: Floats, owner: npt.NDArray[np.intp], partner: npt.NDArray[np.intp], changes: int) -> Floats:
    """Sum columns to the change they stand for; an interaction counts for both, unlogged ones go to the last place."""
    totals = np.zeros((inclusion.shape[0], changes + 1))
    shared = np.flatnonzero(partner >= 0)
    for effect, row in enumerate(inclusion):
        np.add.at(totals[effect], owner, row)  # −1 is the last place
        np.add.at(totals[effect], partner[shared], row[shared])
    return np.clip(totals, 0.0, 1.0)


def _shares(
    case: AttributionCase, columns: Columns, exposed: Floats, quiet: Masks, detected: float
) -> tuple[Floats, Floats]:
    """How much of the traffic each column reached: in the quiet time, and in the incident (or the last day)."""
    start = case.incident[0].timestamp() if case.incident else detected - 86_400.0
    since = columns.seconds >= start
    if not since.any():
        return np.zeros(exposed.shape[1]), np.zeros(exposed.shape[1])
    return _mean_share(columns, exposed, quiet), _mean_share(columns, exposed, since)


def _mean_share(columns: Columns, exposed: Floats, rows: Masks) -> Floats:
    return np.asarray(columns.count[rows] @ exposed[rows] / columns.count[rows].sum())


def _stacked(parts: Sequence[Floats], columns: Columns) -> Floats:
    return np.column_stack(parts) if parts else np.zeros((columns.seconds.size, 0))


def _ran_before(before: Floats, after: Floats) -> Floats:
    """Share of what runs on it in the incident that already did in the quiet time; 0 for what nothing runs on."""
    return np.where(after > 0, np.minimum(before / np.where(after > 0, after, 1.0), 1.0), 0.0)


def _change_fit(
    *,
    own: npt.NDArray[np.intp],
    probability: float,
    design: Design,
    posterior: bayes.Posterior,
    left: Floats,
    information: Information,
    baseline: Baseline,
    reach: float,
    ran_before: float,
) -> ChangeFit:
    if own.size == 0:
        return ChangeFit(0.0, 0.0, 0.0, 0.0, 0.0, ran_before, 0.0)
    effect = int(np.argmax(posterior.inclusion[:, own].sum(axis=1)))
    prior = float(design.priors[own].sum())
    logs = posterior.log_bayes_factors[effect, own]
    factor = float(special.logsumexp(logs + np.log(design.priors[own] / prior)))
    best = int(own[np.argmax(logs + np.log(design.priors[own]))])
    z = float(posterior.estimates[effect, best] / np.sqrt(posterior.variances[best]))
    # What is left of the signal for this change: all that other changes explain is taken out, its own put back.
    gram = information.block(own)
    unexplained = left[own] + gram @ posterior.fitted[own]
    estimates = unexplained / np.maximum(np.diag(gram), 1e-9)
    hint = float(
        special.logsumexp(
            bayes.log_bayes_factor(estimates, posterior.variances[own]) + np.log(design.priors[own] / prior)
        )
    )
    hidden: float | None = None
    if np.isfinite(posterior.variances[own[0]]):
        upper = max(float(estimates[0]) + ONE_SIDED_95 * float(np.sqrt(posterior.variances[own[0]])), 0.0)
        hidden = upper * max(reach, 0.0) * baseline.scale.slope
    elif reach <= 0.01:
        hidden = 0.0
    return ChangeFit(probability, prior, factor, z, hidden, ran_before, hint)


def _unlogged_fit(
    probability: float,
    design: Design,
    posterior: bayes.Posterior,
    baseline: Baseline,
    moves: Sequence[ObservedMove],
) -> UnloggedFit:
    size = baseline.outcome.size
    rows = np.flatnonzero([candidate.change < 0 for candidate in design.candidates])
    if not rows.size:
        return UnloggedFit(probability, 0.0, 0.0, 0.0, None, "", None, 0.0, 0.0, np.zeros(size), None)
    inclusion = posterior.inclusion[:, rows]
    effect = int(np.argmax(inclusion.sum(axis=1)))
    by_move: dict[int, float] = {}
    for index, weight in zip(rows, inclusion[effect], strict=True):
        number = design.candidates[index].move
        by_move[number] = by_move.get(number, 0.0) + float(weight)
    favourite = max(by_move, key=lambda number: by_move[number])
    of_kind = [int(i) for i in rows if design.candidates[i].move == favourite]
    best = max(of_kind, key=lambda i: float(posterior.inclusion[effect, i]))
    candidate: Candidate = design.candidates[best]
    scale = baseline.scale
    priors = design.priors[rows]
    logs = posterior.log_bayes_factors[effect, rows]
    return UnloggedFit(
        probability=probability,
        prior=float(priors.sum()),
        log_bayes_factor=float(special.logsumexp(logs + np.log(priors / priors.sum()))),
        z=float(posterior.estimates[effect, best] / np.sqrt(posterior.variances[best])),
        layer=candidate.layer,
        what=candidate.what,
        start=datetime.fromtimestamp(candidate.start, UTC),
        effect=float(posterior.estimates[effect, best]) * scale.slope * scale.sign,
        error=float(np.sqrt(posterior.variances[best])) * scale.slope,
        shares=moves[favourite].column if favourite >= 0 else design.rows(best).astype(np.float64),
        move=moves[favourite].move if favourite >= 0 else None,
    )


def _pair_fits(design: Design, posterior: bayes.Posterior, baseline: Baseline) -> tuple[PairFit, ...]:
    scale, found = baseline.scale, []
    for column, candidate in enumerate(design.candidates):
        if candidate.partner < 0 or not np.isfinite(posterior.variances[column]):
            continue
        effect = int(np.argmax(posterior.inclusion[:, column]))
        found.append(
            PairFit(
                candidate.change, candidate.partner,
                float(1.0 - np.prod(1.0 - posterior.inclusion[:, column])),
                float(posterior.estimates[effect, column]) * scale.slope * scale.sign,
                float(np.sqrt(posterior.variances[column])) * scale.slope,
                candidate.together,
            )
        )  # fmt: skip
    return tuple(found)


def layer_probabilities(fit: Fit) -> dict[Layer, float]:
    """Probability that some cause lies in each layer: 1 − Π over effects of (1 − its share of that effect)."""
    result = {}
    for layer in Layer:
        share = fit.effects[:, [i for i, change in enumerate(fit.case.changes) if change.layer is layer]].sum(axis=1)
        if fit.unlogged.layer is layer:
            share = share + fit.effects[:, -1]
        result[layer] = float(1.0 - np.prod(1.0 - np.clip(share, 0.0, 1.0)))
    return result
