"""From columns to probabilities: one-sided Bayes factors, placebo calibration, and a sum of single effects. Pure.

Wakefield 2009 ("Bayes factors for genome-wide association studies") for the Bayes factor; Devlin and Roeder 1999 for
genomic control; Wang, Sarkar, Carbonetto and Stephens 2020 (SuSiE) for the sum of single effects.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from postmortem.attribution.products import Products

Floats = npt.NDArray[np.float64]

EFFECT_SPREADS = (0.15, 0.35, 0.7)  # prior standard deviations of a harm, in standard deviations of the signal
SIDE_EFFECT_VARIANCE = 0.04**2  # every change may move the signal a little without being the cause
LEAST_REACH = 0.02  # of less than that nothing could be told anyway
MEDIAN_CHI_SQUARE = 0.4549364
MISFIT_SHARE = 0.2
# Bayes factors that allow for side effects, misfit and restless days are a little too timid: over 800 simulated
# incidents what they called 0.4 to 0.8 at power 1.1 was true 0.1 more often. So prior × Bayes factor is raised to this.
SHARPNESS = 1.2
_TINY_INFORMATION = 1e-6
_MAX_SWEEPS = 60


@dataclass(frozen=True, slots=True)
class Rates:
    """For a signal that is yes or no, of each column: how often its traces went wrong before (0 to 1), by how much
    one unit of its coefficient moves that, and how many traces one unit of information stands for.
    """

    before: Floats
    unit: Floats
    traces: Floats


@dataclass(frozen=True, slots=True)
class Posterior:
    """`inclusion` (effects × columns) and `null` (effects): the probability of each column in each effect."""

    inclusion: Floats
    null: Floats
    log_bayes_factors: Floats  # effects × columns: each column in the place of that effect, the others taken out
    estimates: Floats  # effects × columns: its β̂ there
    variances: Floats  # infinite where a column holds no information
    fitted: Floats  # posterior mean of the coefficients, summed over effects


def log_bayes_factor(estimates: Floats, variances: Floats) -> Floats:
    """Wakefield's log Bayes factor for harm (β > 0) against a harmless side effect.

    V' = V + 0.04²; k = ω²/(V'+ω²); log BF = ½log(1−k) + ½kβ̂²/V' + log 2Φ(kβ̂/√(V'k)), averaged over ω.
    Infinite variance (no information) gives 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = []
        noise = variances + SIDE_EFFECT_VARIANCE
        for spread in EFFECT_SPREADS:
            shrink = spread**2 / (noise + spread**2)
            score = estimates * np.sqrt(shrink / noise)
            rows.append(0.5 * np.log1p(-shrink) + 0.5 * score**2 + special.log_ndtr(score) + np.log(2.0))
        result = special.logsumexp(rows, axis=0) - np.log(len(EFFECT_SPREADS))
    return np.where(np.isfinite(variances), result, 0.0)


def posterior_mean(estimates: Floats, variances: Floats) -> Floats:
    """Mean of β given β > 0 and the data (a truncated normal), mixed over the prior spreads by their evidence."""
    noise = variances + SIDE_EFFECT_VARIANCE
    logs, means = [], []
    for spread in EFFECT_SPREADS:
        shrink = spread**2 / (noise + spread**2)
        deviation = np.sqrt(shrink * noise)
        score = estimates * np.sqrt(shrink / noise)
        hazard = np.exp(-0.5 * score**2 - 0.5 * np.log(2 * np.pi) - special.log_ndtr(score))
        means.append(shrink * estimates + deviation * hazard)
        logs.append(0.5 * np.log1p(-shrink) + 0.5 * score**2 + special.log_ndtr(score))
    return np.asarray((special.softmax(np.array(logs), axis=0) * np.array(means)).sum(axis=0))


def binomial_stretch(estimates: Floats, information: Floats, rates: Rates) -> Floats:
    """By how much each variance must grow so that z²/2 is the binomial log likelihood ratio of a harm.

    A handful of failures where few were usual has a large z and a small likelihood ratio: n KL(q ‖ p) with p the rate
    before and q = p + β̂ × unit after, in n = information × traces of them. Never below 1.
    """
    before = np.clip(rates.before, 1e-4, 1.0 - 1e-4)
    moved = np.maximum(estimates * rates.unit, 0.0)
    traces = information * rates.traces
    after = np.clip(before + moved, before, np.maximum(1.0 - 0.5 / (traces + 1.0), before))
    ratio = special.rel_entr(after, before) + special.rel_entr(1.0 - after, 1.0 - before)
    with np.errstate(invalid="ignore", divide="ignore"):
        stretch = 0.5 * estimates**2 / (rates.traces * ratio)
    return np.where(ratio > 1e-12, np.maximum(stretch, 1.0), 1.0)


def inflation(scores: Floats) -> float:
    """Genomic control: λ = max(1, median z² / 0.4549) over placebo columns; 1 with fewer than ten of them."""
    if scores.size < 10:
        return 1.0
    return max(1.0, float(np.median(scores**2)) / MEDIAN_CHI_SQUARE)


def single_effects(
    *,
    cross: Floats,
    gram: Products,
    overlap: Products,
    priors: Floats,
    null_priors: tuple[float, ...],
    inflation_factor: float,
    reach: Floats | None = None,
    rates: Rates | None = None,
) -> Posterior:
    """Sum of single effects by coordinate ascent. `cross` is XᵀMy, `gram` XᵀMX, one null prior an effect.

    Each effect picks at most one column; an effect's own null keeps it from picking anything. No harm is the same
    for every trace, so the other effects are taken to be MISFIT_SHARE wrong where they overlap with a column
    (`overlap` is XᵀWX): what is left over of a large effect must not be blamed on a bystander. `reach` (0 to 1) is
    how much of the traffic that a column touches ran on it: where a quarter did, the side effect of any change that
    reached all of it looks four times as large. With `rates` the variances are those of binomial_stretch.
    """
    information = gram.diagonal
    usable = information > _TINY_INFORMATION * max(float(information.max(initial=0.0)), 1.0)
    safe = np.where(usable, information, 1.0)
    variances = np.where(usable, inflation_factor / safe, np.inf)
    finite = np.where(usable, variances, 1e6)
    count, width = len(null_priors), priors.size
    inclusion, null = np.zeros((count, width)), np.ones(count)
    means, estimates, logs = np.zeros((count, width)), np.zeros((count, width)), np.zeros((count, width))
    if width == 0:
        return Posterior(inclusion, null, logs, estimates, variances, means.sum(axis=0))
    reached = np.ones(width) if reach is None else np.clip(reach, LEAST_REACH, 1.0)
    side_effects = SIDE_EFFECT_VARIANCE * (1.0 / reached**2 - 1.0)
    own_overlap = np.maximum(overlap.diagonal, 1e-9)
    scaled = np.log(priors / priors.sum())
    for _ in range(_MAX_SWEEPS):
        before = inclusion.copy()
        for effect, null_prior in enumerate(null_priors):
            others = means.sum(axis=0) - means[effect]
            estimates[effect] = np.where(usable, (cross - gram.times(others)) / safe, 0.0)
            misfit = (MISFIT_SHARE * overlap.times(others) / own_overlap) ** 2 + side_effects
            if rates is not None:
                misfit = misfit + finite * (binomial_stretch(estimates[effect], information, rates) - 1.0)
            logs[effect] = log_bayes_factor(estimates[effect], variances + misfit)
            weights = np.append(scaled + np.log1p(-null_prior) + logs[effect], np.log(null_prior))
            posterior = special.softmax(SHARPNESS * weights)
            inclusion[effect], null[effect] = posterior[:-1], posterior[-1]
            means[effect] = inclusion[effect] * np.where(
                usable, posterior_mean(estimates[effect], finite + misfit), 0.0
            )
        if np.abs(inclusion - before).max() < 1e-4:
            break
    return Posterior(inclusion, null, logs, estimates, variances, means.sum(axis=0))
