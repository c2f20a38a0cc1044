"""A log as the traces correct it: scopes that it forgot, and an order of versions that its clock has wrong. Pure.

A trace on a later version has the earlier changes too, so a version of one prompt that is taken for everybody's, or
an order told wrongly, gives the harm of one change to the other. Both can be read off the traces:

* A version that is new in the traces of one prompt (model, index) only is that one's.
* Versions of one target replace one another: the one that was first seen earlier *and* last seen earlier came first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from postmortem.changes.exposure import scope_shares
from postmortem.changes.lineage import in_log_order
from postmortem.changes.reconcile import VERSION_FACETS
from postmortem.changes.records import ChangeRecord
from postmortem.traces.cells import Cells

FEWEST_SIGHTINGS = 3
LARGEST_SLIP = timedelta(hours=24)  # logs are hours off, not days
_STEP = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Seen:
    first: float
    last: float


def as_observed(changes: Sequence[ChangeRecord], cells: Cells) -> list[ChangeRecord]:
    """The changes, in the order given, with forgotten scopes filled in and the order of versions put right."""
    return in_observed_order(with_observed_scopes(changes, cells), cells)


def with_observed_scopes(changes: Sequence[ChangeRecord], cells: Cells) -> list[ChangeRecord]:
    """Versions without a scope get one where the traces leave a single choice.

    The choices are the values of the facet that owns the version (the prompt of a prompt version) whose traces show
    it for the first time within LARGEST_SLIP of the log's time, and for which no other entry brings it.
    """
    found = []
    for change in changes:
        owner = VERSION_FACETS.get(change.facet or "", (None, None))[1]
        if change.scope or not change.to_version or owner is None:
            found.append(change)
            continue
        told = {
            value
            for other in changes
            if other is not change and (other.facet, other.to_version) == (change.facet, change.to_version)
            for value in other.scope.get(owner, ())
        }
        near = [value for value in _new_for(change, owner, cells) if value not in told]
        found.append(replace(change, scope={owner: (near[0],)}) if len(near) == 1 else change)
    return found


def _new_for(change: ChangeRecord, owner: str, cells: Cells) -> list[str]:
    """Values of the owning facet that show the change's version, not sooner than the log can be wrong."""
    codes, versions = cells.codes(change.facet or "")
    owned, names = cells.codes(owner)
    if change.to_version not in versions:
        return []
    runs = codes == versions.index(change.to_version)
    earliest, latest = (moment.timestamp() for moment in (change.at - LARGEST_SLIP, change.until + LARGEST_SLIP))
    chosen = []
    for code, name in enumerate(names):
        rows = (runs & (owned == code))[cells.profile]
        if cells.count[rows].sum() >= FEWEST_SIGHTINGS and earliest <= cells.seconds[rows].min() <= latest:
            chosen.append(name)
    return chosen


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
