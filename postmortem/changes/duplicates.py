"""The same change told by two feeds: likely pairs, for people to merge. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import SequenceMatcher

from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import describe_duration

NEAR = timedelta(hours=2)
_ALIKE = 0.8
_ONLY_ALIKE = "their words are alike"
MOST = 500


@dataclass(frozen=True, slots=True)
class LikelyDuplicate:
    """Two entries that look like one change; `first` is the earlier one, `reason` one clause.

    `is_sure`: both tell the same version, link or words, not only alike ones.
    """

    first: str
    second: str
    reason: str
    is_sure: bool


def likely_duplicates(records: Sequence[ChangeRecord], origins: Sequence[str]) -> list[LikelyDuplicate]:
    """Pairs of one layer from different origins, at most two hours apart, with the same version or like words.

    `origins` says of each record where it came from: one log does not tell a change twice.
    """
    order = sorted(range(len(records)), key=lambda place: (records[place].at, records[place].id))
    found: list[LikelyDuplicate] = []
    for rank, place in enumerate(order):
        one = records[place]
        for other_place in order[rank + 1 :]:
            other = records[other_place]
            if other.at - one.at > NEAR:
                break
            if one.layer is not other.layer or origins[place] == origins[other_place]:
                continue
            reason = _reason(one, other)
            if reason:
                apart = describe_duration(other.at - one.at) if other.at > one.at else "no time"
                found.append(LikelyDuplicate(one.id, other.id, f"{reason}, {apart} apart", reason != _ONLY_ALIKE))
            if len(found) >= MOST:
                return found
    return found


def _reason(one: ChangeRecord, other: ChangeRecord) -> str:
    if one.facet and (one.facet, one.to_version) == (other.facet, other.to_version):
        same_place = not one.scope or not other.scope or one.scope == other.scope
        return f"both bring {one.facet} {one.to_version}" if same_place else ""
    if one.link and one.link == other.link:
        return "both name one link"
    if not one.summary or (one.to_version and other.to_version and one.to_version != other.to_version):
        return ""
    alike = SequenceMatcher(None, one.summary.lower(), other.summary.lower()).ratio()
    if alike == 1.0:
        return "their words are the same"
    return _ONLY_ALIKE if alike >= _ALIKE else ""
