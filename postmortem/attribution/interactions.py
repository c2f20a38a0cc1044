"""Two changes that do harm only together: where traces ran on both, and on each alone, that is a column too. Pure.

Of the pairs of the changes that look most harmful one by one, those are tried whose common traces are neither few nor
nearly all of either change: else nothing tells the pair from the change alone.
"""

from itertools import combinations

import numpy as np
import numpy.typing as npt

from postmortem.attribution.baseline import Baseline
from postmortem.attribution.columns import Columns
from postmortem.changes.exposure import ExposureMatrix

Floats = npt.NDArray[np.float64]

SUSPECTS = 8  # changes that are paired with each other
MOST_INTERACTIONS = SUSPECTS * (SUSPECTS - 1) // 2
FEWEST_TOGETHER = 30.0  # traces that ran on both
LARGEST_SHARE = 0.85  # of either change's traces


def interactions(columns: Columns, baseline: Baseline, exposures: ExposureMatrix) -> list[tuple[int, int, Floats]]:
    """Pairs of positions in the change list with the share of each row that ran on both, at most MOST_INTERACTIONS."""
    found = []
    mass = columns.count @ exposures.shares
    for one, two in combinations(_suspects(baseline, exposures), 2):
        column = exposures.shares[:, one] * exposures.shares[:, two]
        together = float(columns.count @ column)
        if together >= FEWEST_TOGETHER and together <= LARGEST_SHARE * min(mass[one], mass[two]):
            found.append((one, two, column))
    return found


def _suspects(baseline: Baseline, exposures: ExposureMatrix) -> list[int]:
    """The changes whose traces went worst, each taken alone, in the order of the log."""
    if exposures.shares.shape[1] < 2:
        return []
    exposed = exposures.shares * baseline.sensitivity[:, None]
    information = baseline.information(exposed)
    told = information > 1e-6 * max(float(information.max(initial=0.0)), 1.0)
    cross = exposed.T @ baseline.project(baseline.outcome)
    scores = np.where(told, cross / np.sqrt(np.where(told, information, 1.0)), -np.inf)
    worst = np.argsort(-scores, kind="stable")[:SUSPECTS]
    return sorted(int(place) for place in worst if scores[place] > 0)
