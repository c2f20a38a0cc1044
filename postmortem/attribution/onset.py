"""When did it start? A scan for one step in the adjusted series. Pure.

The series is the signal without stratum, group and time of day, in bins of an hour. For each possible moment the step
is estimated by weighted means before and after; half its squared z is the gain in log likelihood (Hinkley 1970), and
the gains, as a flat-prior posterior over moments, give the interval that holds 95 %.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
HOUR = 3_600.0
_LEAST_Z = 3.0  # below this the best step of a scan is what noise gives


@dataclass(frozen=True, slots=True)
class Step:
    """The step's moment, its 95 % interval (seconds from 1970), its height and z. Harm is upward."""

    at: float
    low: float
    high: float
    height: float
    z: float


def find_step(
    seconds: Floats, values: Floats, weights: Floats, *, earliest: float, latest: float, shock_variance: float = 0.0
) -> Step | None:
    """Most likely upward step between `earliest` and `latest`, from values with variance 1/weights.

    `shock_variance` is what hourly bins share besides. None if no step stands out.
    """
    if seconds.size < 20 or latest - earliest < 2 * HOUR:
        return None
    first = float(seconds.min())
    bins = ((seconds - first) // HOUR).astype(np.intp)
    mass = np.bincount(bins, weights=weights)
    sums = np.bincount(bins, weights=weights * values)
    precision = np.divide(mass, 1.0 + shock_variance * mass)
    means = np.divide(sums, mass, out=np.zeros_like(sums), where=mass > 0)
    running, running_sum = np.cumsum(precision), np.cumsum(precision * means)
    edges = np.arange(1, mass.size)
    moments = first + edges * HOUR
    inside = (moments >= earliest) & (moments <= latest)
    before, after = running[edges - 1], running[-1] - running[edges - 1]
    inside &= (before > 0) & (after > 0)
    if not inside.any():
        return None
    edges, moments, before, after = edges[inside], moments[inside], before[inside], after[inside]
    rise = (running_sum[-1] - running_sum[edges - 1]) / after - running_sum[edges - 1] / before
    scores = rise / np.sqrt(1 / before + 1 / after)
    best = int(np.argmax(scores))
    if scores[best] < _LEAST_Z:
        return None
    share = np.cumsum(special.softmax(0.5 * np.maximum(scores, 0.0) ** 2))
    low = int(np.searchsorted(share, 0.025))
    high = min(int(np.searchsorted(share, 0.975)), moments.size - 1)
    # A step in mid-bin shows at an edge, so an edge speaks for the hour on each of its sides.
    return Step(
        float(moments[best]), float(moments[min(low, best)]) - HOUR, float(moments[max(high, best)]) + HOUR,
        float(rise[best]), float(scores[best]),
    )  # fmt: skip
