"""The failure patterns of a record as rows of its full report. Pure."""

from collections.abc import Mapping
from typing import Any

from postmortem.lib.layers import Layer
from postmortem.report.charts import wording

_ANSWERS = {"match": "Found", "no_match": "Not found", "not_enough_data": "Too little data"}
_MOST_NUMBERS = 3


def pattern_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The failure patterns that were looked for, those found first: what was seen, in numbers, or what was missing."""
    if not record["finding"]:
        return []
    order = {"match": 0, "no_match": 1, "not_enough_data": 2}
    rows = record["finding"]["result"].get("patterns") or []
    return [
        {
            "number": one["number"],
            "title": one["title"],
            "layer": one["layer"] or "",
            "glyph": Layer(one["layer"]).glyph if one["layer"] else "",
            "word": _ANSWERS[one["answer"]],
            "css": {"match": "in", "no_match": "out"}.get(one["answer"], "insufficient"),
            "sentence": one["sentence"],
            "numbers": "; ".join(_number(number) for number in _untold(one)),
            "missing": "; ".join(one["missing"]),
        }
        for one in sorted(rows, key=lambda one: (order[one["answer"]], one["number"]))
    ]


def _untold(pattern: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The first numbers that the sentence does not say already."""
    return [one for one in pattern["numbers"] if not _told(one, pattern["sentence"])][:_MOST_NUMBERS]


def _told(one: Mapping[str, Any], sentence: str) -> bool:
    """Whether `sentence` says this number with its interval already."""
    interval = wording.interval(one["interval"], one["unit"]) if one.get("interval") else ""
    return bool(interval) and f"{_estimate(one)} ({interval})" in sentence


def _estimate(one: Mapping[str, Any]) -> str:
    return (wording.change if one["signed"] else wording.level)(one["estimate"], one["unit"])


def _number(one: Mapping[str, Any]) -> str:
    bounds = f"{wording.interval(one['interval'], one['unit'])}, " if one.get("interval") else ""
    return f"{one['label']} {_estimate(one)} ({bounds}n\u00a0{one['count']:,})"
