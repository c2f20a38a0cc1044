"""Version moves that traces show and no log mentions, as columns of the model. Pure.

`changes.reconcile` reports the moves that are beyond doubt. A suspect needs less: a version between two logged ones
may have run for two hours only, and its harm lives on in every later version. So all of them become candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from postmortem.attribution.columns import Columns, Facet
from postmortem.changes.lineage import scope_share
from postmortem.changes.reconcile import VersionMove, version_facets
from postmortem.changes.records import ChangeRecord

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]

FEWEST_SIGHTINGS = 3
LARGEST_CHANCE = 1e-3  # that a version which was there all along was not seen before
_WINDOW = 21  # neighbours that speak for a trace which does not record its version


@dataclass(frozen=True, slots=True)
class ObservedMove:
    """A move with the traces that ran on it or on a later version (0 to 1), and where."""

    move: VersionMove
    where: str
    column: Floats


def observed_moves(
    columns: Columns, changes: Sequence[ChangeRecord], reported: Sequence[VersionMove]
) -> list[ObservedMove]:
    """Candidates: the reported moves, and those that are likely enough to suspect."""
    found: list[ObservedMove] = []
    for name, (layer, owner) in version_facets(changes).items():
        facet = columns.facets.get(name)
        if facet is None or len(facet.values) < 2:
            continue
        logged = [change for change in changes if change.facet == name and change.to_version]
        for scope, inside in _targets(columns, owner):
            known = {change.to_version for change in logged if scope_share(change, scope)}
            first, counts = _sightings(columns, facet, inside)
            for code in np.flatnonzero(counts >= FEWEST_SIGHTINGS):
                version = facet.values[code]
                if version in known:
                    continue
                certain = _reported(reported, name, version, scope)
                if certain is None and not _is_new(columns, facet, inside, int(code), int(first[code])):
                    continue
                move = certain or VersionMove(
                    name, layer, _before(facet, inside, int(first[code])), version,
                    datetime.fromtimestamp(float(columns.seconds[first[code]]), UTC), int(counts[code]), scope,
                )  # fmt: skip
                where = ", ".join(f"{key} {value}" for key, value in scope.items())
                found.append(ObservedMove(move, where, _column(facet, inside, first, int(code))))
    return found


def _targets(columns: Columns, owner: str | None) -> list[tuple[dict[str, str], Masks]]:
    """The things that have a version of their own: each value of the owning facet, or everything."""
    facet = columns.facets.get(owner) if owner else None
    if facet is None:
        return [({}, np.ones(columns.seconds.size, dtype=bool))]
    return [({owner or "": value}, facet.codes == code) for code, value in enumerate(facet.values)]


def _sightings(columns: Columns, facet: Facet, inside: Masks) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First row and number of sightings of each version; rows are in order of time."""
    rows = np.flatnonzero(inside & (facet.codes >= 0))
    first = np.full(len(facet.values), columns.seconds.size, dtype=np.intp)
    np.minimum.at(first, facet.codes[rows], rows)
    sightings = np.bincount(facet.codes[rows], columns.count[rows], minlength=len(facet.values))
    return first, sightings.astype(np.intp)


def _is_new(columns: Columns, facet: Facet, inside: Masks, code: int, first: int) -> bool:
    """Whether the version would hardly have stayed unseen until `first`, had it been there all along."""
    recorded = inside & (facet.codes >= 0)
    counted = columns.count * recorded
    before, after = float(counted[:first].sum()), float(counted[first:].sum())
    sightings = float(counted[facet.codes == code].sum())
    return before > 0 and sightings * np.log(after / (before + after)) < np.log(LARGEST_CHANCE)


def _before(facet: Facet, inside: Masks, first: int) -> str:
    """The version that most of the last traces before `first` ran on."""
    rows = np.flatnonzero(inside[:first] & (facet.codes[:first] >= 0))[-200:]
    return facet.values[int(np.bincount(facet.codes[rows]).argmax())] if rows.size else ""


def _reported(reported: Sequence[VersionMove], name: str, version: str, scope: dict[str, str]) -> VersionMove | None:
    return next(
        (one for one in reported if (one.facet, one.to_version, dict(one.scope)) == (name, version, scope)), None
    )


def _column(facet: Facet, inside: Masks, first: npt.NDArray[np.intp], code: int) -> Floats:
    """1 on the version or one first seen after it; a trace that does not say gets the share of its neighbours."""
    later = first >= first[code]
    column = np.zeros(inside.size)
    rows = np.flatnonzero(inside & (facet.codes >= 0))
    ran = later[facet.codes[rows]].astype(float)
    column[rows] = ran
    silent = np.flatnonzero(inside & (facet.codes < 0))
    if silent.size and rows.size >= _WINDOW:
        smooth = np.convolve(np.pad(ran, _WINDOW // 2, mode="edge"), np.full(_WINDOW, 1 / _WINDOW), mode="valid")
        column[silent] = np.interp(silent, rows, smooth)
        column[silent[silent < first[code]]] = 0.0
    return column
