"""From columns to probabilities: one-sided Bayes factors, placebo calibration, and a sum of single effects. Pure.

Wakefield 2009 ("Bayes factors for genome-wide association studies") for the Bayes factor; Devlin and Roeder 1999 for
genomic control; Wang, Sarkar, Carbonetto and Stephens 2020 (SuSiE) for the sum of single effects.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]

EFFECT_SPREADS = (0.15, 0.35, 0.7)  # prior standard deviations of a harm, in standard deviations of the signal
SIDE_EFFECT_VARIANCE = 0.04**2  # every change may move the signal a little without being the cause
MEDIAN_CHI_SQUARE = 0.4549364
_TINY_INFORMATION = 1e-6


@dataclass(frozen=True, slots=True)
class Posterior:
    """`inclusion` (effects × columns) and `null` (effects): the probability of each column in each effect."""

    inclusion: Floats
    null: Floats
    log_bayes_factors: Floats  # of each column alone, before other effects are taken out
    estimates: Floats  # β̂ of each column with the other effects taken out
    variances: Floats
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


def posterior_mean(estimates: Floats, variances: Floats) -> tuple[Floats, Floats]:
    """Mean and second moment of β given β > 0 and the data, mixed over the prior spreads by their evidence."""
    noise = variances + SIDE_EFFECT_VARIANCE
    logs, means, seconds = [], [], []
    for spread in EFFECT_SPREADS:
        shrink = spread**2 / (noise + spread**2)
        middle, deviation = shrink * estimates, np.sqrt(shrink * noise)
        ratio = middle / deviation
        hazard = np.exp(-0.5 * ratio**2 - 0.5 * np.log(2 * np.pi) - special.log_ndtr(ratio))
        mean = middle + deviation * hazard
        means.append(mean)
        seconds.append(middle * mean + deviation**2)
        score = estimates * np.sqrt(shrink / noise)
        logs.append(0.5 * np.log1p(-shrink) + 0.5 * score**2 + special.log_ndtr(score))
    mixing = special.softmax(np.array(logs), axis=0)
    return (mixing * np.array(means)).sum(axis=0), (mixing * np.array(seconds)).sum(axis=0)


def inflation(scores: Floats) -> float:
    """Genomic control: λ = max(1, median z² / 0.4549) over placebo columns; 1 with fewer than ten of them."""
    if scores.size < 10:
        return 1.0
    return max(1.0, float(np.median(scores**2)) / MEDIAN_CHI_SQUARE)


def single_effects(
    *, cross: Floats, gram: Floats, priors: Floats, null_priors: tuple[float, ...], inflation_factor: float
) -> Posterior:
    """Sum of single effects by coordinate ascent. `cross` is XᵀMy, `gram` XᵀMX, one null prior an effect.

    Each effect picks at most one column; an effect's own null keeps it from picking anything.
    """
    information = np.diag(gram).copy()
    usable = information > _TINY_INFORMATION * max(float(information.max(initial=0.0)), 1.0)
    safe = np.where(usable, information, 1.0)
    variances = np.where(usable, inflation_factor / safe, np.inf)
    count, width = len(null_priors), priors.size
    inclusion, null = np.zeros((count, width)), np.ones(count)
    means = np.zeros((count, width))
    finite = np.where(usable, variances, 1e6)
    scaled = priors / priors.sum() if width else priors
    alone = np.zeros(width)
    estimates = np.zeros(width)
    for sweep in range(60):
        before = inclusion.copy()
        for effect in range(count):
            others = means.sum(axis=0) - means[effect]
            estimates = np.where(usable, (cross - gram @ others) / safe, 0.0)
            logs = log_bayes_factor(estimates, variances)
            if sweep == 0 and effect == 0:
                alone = logs
            weights = np.log(scaled) + np.log1p(-null_priors[effect]) + logs if width else logs
            top = max(float(weights.max(initial=-np.inf)), np.log(null_priors[effect]))
            mass = np.exp(weights - top)
            nothing = np.exp(np.log(null_priors[effect]) - top)
            total = float(mass.sum() + nothing)
            inclusion[effect], null[effect] = mass / total, nothing / total
            mean, _ = posterior_mean(estimates, finite)
            means[effect] = inclusion[effect] * np.where(usable, mean, 0.0)
        if np.abs(inclusion - before).max(initial=0.0) < 1e-4:
            break
    fitted = means.sum(axis=0)
    return Posterior(inclusion, null, alone, estimates, variances, fitted)
