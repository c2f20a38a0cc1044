"""How far a log's clock can be trusted, read off the changes whose versions traces record. Pure.

A versioned change shows when it really came. Set against its log's time, and against that time moved by some hours,
each tells how likely its entry is late or early; together they tell how likely the entries are whose changes no trace
records. With few or dull versions the answer stays near what it is without any (empirical Bayes, Robbins 1956).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from postmortem.attribution.columns import Columns
from postmortem.changes.exposure import ExposureMatrix, clock_shares
from postmortem.changes.reconcile import VERSION_FACETS
from postmortem.changes.records import ChangeRecord

Floats = npt.NDArray[np.float64]

PRIOR_ENTRIES = 2.0  # what is known of logs in general counts as much as so many entries
_STRAY = 0.03  # a trace that does not run on what the clock says, for whatever reason
_NEAR = 12 * 3600.0  # seconds around a rollout that tell its time


def share_off(
    changes: Sequence[ChangeRecord],
    columns: Columns,
    exposures: ExposureMatrix,
    *,
    lag_hours: Sequence[float],
    prior: float,
) -> float:
    """Share of the log's entries that are hours off (0 to 1), `prior` where no version tells."""
    off = [
        chance
        for position, change in enumerate(changes)
        if (chance := _chance_off(change, columns, exposures.shares[:, position], lag_hours, prior)) is not None
    ]
    return (PRIOR_ENTRIES * prior + sum(off)) / (PRIOR_ENTRIES + len(off))


def _chance_off(
    change: ChangeRecord, columns: Columns, ran: Floats, lag_hours: Sequence[float], prior: float
) -> float | None:
    """How likely one entry is off by one of the lags, all of them as likely; None if no trace tells."""
    facet = columns.facets.get(change.facet or "")
    if facet is None or not change.to_version or change.to_version not in facet.values:
        return None
    rows = _telling(change, columns, ran) & (facet.codes >= 0)
    if not (ran[rows] > 0).any():
        return None
    cells = columns.cells.rows(np.flatnonzero(rows))
    shifts = [0.0, *(hours * 3600.0 for hours in lag_hours)]
    expected = np.clip(np.array(clock_shares(change, cells, shifts)), _STRAY, 1.0 - _STRAY)
    fits = (columns.count[rows] * np.where(ran[rows] > 0.5, np.log(expected), np.log1p(-expected))).sum(axis=1)
    weights = np.log([1.0 - prior, *[prior / len(lag_hours)] * len(lag_hours)])
    return float(1.0 - special.softmax(fits + weights)[0])


def _telling(change: ChangeRecord, columns: Columns, ran: Floats) -> npt.NDArray[np.bool_]:
    """Rows around the rollout, of the prompts (models, indexes) of which some ran on it."""
    rows = columns.between(change.at.timestamp() - _NEAR, change.until.timestamp() + _NEAR)
    owner = columns.facets.get(VERSION_FACETS.get(change.facet or "", (None, None))[1] or "")
    if owner is not None:
        rows &= np.isin(owner.codes, np.unique(owner.codes[ran > 0]))
    return np.asarray(rows)
