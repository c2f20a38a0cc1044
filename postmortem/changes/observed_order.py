"""The order of versions as the traces show it, where a log that is hours off tells another. Pure.

A trace on a later version has the earlier changes too, so an order told wrongly gives the harm of one change to the
other. Versions of one target replace one another: the one that was first seen earlier *and* last seen earlier came
first, whatever the log's clock says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from postmortem.changes.exposure import scope_shares
from postmortem.changes.lineage import in_log_order
from postmortem.changes.records import ChangeRecord
from postmortem.traces.cells import Cells

FEWEST_SIGHTINGS = 3
LARGEST_SLIP = timedelta(hours=24)  # logs are hours off, not days
_STEP = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Seen:
    first: float
    last: float


def in_observed_order(changes: Sequence[ChangeRecord], cells: Cells) -> list[ChangeRecord]:
    """The changes, in the order given, with the times moved of those that the log tells in the wrong order.

    Moved are versions of one target (facet and scope) that traces record, at most LARGEST_SLIP, by as little as
    puts them right. Versions that come back, and rollbacks, stay as the log has them.
    """
    moved: dict[int, ChangeRecord] = {}
    for places in _targets(changes):
        log = in_log_order(changes[place] for place in places)
        codes, values = cells.codes(str(log[0].facet))
        seen = {one.id: found for one in log if (found := _sightings(one, cells, codes, values)) is not None}
        order = _reorder(log, seen)
        if order == log:
            continue
        place_of = {changes[place].id: place for place in places}
        for before, change in zip([None, *order], order, strict=False):
            after = moved.get(place_of[before.id], before) if before else None
            if after is not None and change.at <= after.at:
                shift = after.at + _STEP - change.at
                moved[place_of[change.id]] = replace(change, at=change.at + shift, until=change.until + shift)
    return [moved.get(place, change) for place, change in enumerate(changes)]


def _targets(changes: Sequence[ChangeRecord]) -> list[list[int]]:
    """Positions of the changes of each target that has two versions or more, none of which comes back."""
    found: dict[tuple[object, ...], list[int]] = {}
    for place, change in enumerate(changes):
        if change.facet and change.to_version:
            scope = tuple(sorted((facet, tuple(sorted(values))) for facet, values in change.scope.items()))
            found.setdefault((change.facet, scope), []).append(place)
    return [places for places in found.values() if len(places) > 1 and _is_plain([changes[p] for p in places])]


def _is_plain(changes: Sequence[ChangeRecord]) -> bool:
    versions = {change.to_version for change in changes}
    ids = {change.id for change in changes}
    return len(versions) == len(changes) == len(ids) and not any(change.is_rollback for change in changes)


def _sightings(
    change: ChangeRecord, cells: Cells, codes: npt.NDArray[np.int32], values: tuple[str, ...]
) -> _Seen | None:
    """When the change's version was first and last seen in its scope; None if too seldom."""
    if change.to_version not in values:
        return None
    inside = (codes == values.index(change.to_version)) & (scope_shares(change, cells) > 0)
    rows = np.flatnonzero(inside[cells.profile])
    if cells.count[rows].sum() < FEWEST_SIGHTINGS:
        return None
    times = cells.seconds[rows]
    return _Seen(float(times.min()), float(times.max()))


def _reorder(log: list[ChangeRecord], seen: dict[str, _Seen]) -> list[ChangeRecord]:
    """Insertion sort that lets a change pass an earlier entry only when the traces are plain about it."""
    order: list[ChangeRecord] = []
    for change in log:
        place = len(order)
        while place and _came_before(change, order[place - 1], seen):
            place -= 1
        order.insert(place, change)
    return order


def _came_before(change: ChangeRecord, other: ChangeRecord, seen: dict[str, _Seen]) -> bool:
    mine, theirs = seen.get(change.id), seen.get(other.id)
    if mine is None or theirs is None or change.at - other.at > LARGEST_SLIP:
        return False
    return mine.first < theirs.first and mine.last < theirs.last
