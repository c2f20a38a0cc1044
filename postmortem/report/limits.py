"""How much of a record is laid out: pages without end help nobody and cost memory. The JSON holds all. Pure.

Lists are cut to a number of rows, then texts to one common length such that all of them together stay within a
budget, so that ten thousand long entries cost as little as five hundred short ones.
"""

from collections.abc import Mapping
from typing import Any

ROWS = {
    "timeline": 500, "changes": 500, "actions": 200, "factors": 120, "edges": 400, "participants": 100,
    "evidence_for": 60, "evidence_against": 60, "answers": 80, "imports": 60, "hypotheses": 60, "never_logged": 60,
    "never_observed": 60, "credible_sets": 60, "left_out": 20,
    "versions": 30,
}  # fmt: skip
_NAMES = {
    "timeline": "entries of the timeline", "changes": "changes", "actions": "actions", "factors": "factors",
    "edges": "connections", "participants": "participants", "evidence_for": "pieces of evidence",
    "evidence_against": "pieces of evidence", "answers": "answers", "imports": "imports",
    "hypotheses": "explanations", "never_logged": "unlogged versions", "never_observed": "unobserved changes",
    "versions": "versions",
}  # fmt: skip
TEXT_BUDGET = 250_000
_SHORT = 200  # texts up to this length stay whole
CUT = " … (cut; the record holds all)"


def bounded(record: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A copy of `record` that can be laid out, and one phrase for each list that was cut ("9,500 of 10,000 …")."""
    cut: dict[str, tuple[int, int]] = {}
    found = _rows(record, "", cut)
    lengths: list[int] = []
    _measure(found, lengths)
    if sum(lengths) > TEXT_BUDGET:
        found = _shorter(found, _common_length(lengths))
    phrases = [f"{gone:,} of {total:,} {_NAMES[name]}" for name, (gone, total) in cut.items() if name in _NAMES]
    return found, phrases


def _rows(value: Any, key: str, cut: dict[str, tuple[int, int]]) -> Any:
    # Most values are numbers of series: the quick question comes first.
    if not isinstance(value, list | dict):
        return value
    if isinstance(value, dict):
        return {name: _rows(one, name, cut) for name, one in value.items()}
    most = ROWS.get(key)
    if most is not None and len(value) > most:
        gone, total = cut.get(key, (0, 0))
        cut[key] = gone + len(value) - most, total + len(value)
        value = _most_telling(value, most) if key == "timeline" else value[:most]
    return [_rows(one, key, cut) for one in value]


def _most_telling(entries: list[Any], most: int) -> list[Any]:
    """The incident's own moments first, then what people noted, then the rest; in their order."""
    rank = {"incident": 0, "change": 2}
    kept = sorted(range(len(entries)), key=lambda at: (rank.get(entries[at].get("kind", ""), 1), at))[:most]
    return [entries[at] for at in sorted(kept)]


def _measure(value: Any, lengths: list[int]) -> None:
    if isinstance(value, str):
        lengths.append(len(value))
    elif isinstance(value, dict):
        for one in value.values():
            _measure(one, lengths)
    elif isinstance(value, list):
        for one in value:
            _measure(one, lengths)


def _common_length(lengths: list[int]) -> int:
    """The longest length at which all texts together fit, not under that of a short one."""
    low, high = _SHORT, max(lengths)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(length, middle) for length in lengths) <= TEXT_BUDGET:
            low = middle
        else:
            high = middle - 1
    return low


def _shorter(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= most else value[:most] + CUT
    if isinstance(value, dict):
        return {name: _shorter(one, most) for name, one in value.items()}
    return [_shorter(one, most) for one in value] if isinstance(value, list) else value
