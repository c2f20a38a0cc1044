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
            "numbers": "; ".join(_number(number) for number in one["numbers"][:_MOST_NUMBERS]),
            "missing": "; ".join(one["missing"]),
        }
        for one in sorted(rows, key=lambda one: (order[one["answer"]], one["number"]))
    ]


def _number(one: Mapping[str, Any]) -> str:
    write = wording.change if one["signed"] else wording.level
    bounds = f"{wording.interval(one['interval'], one['unit'])}, " if one.get("interval") else ""
    return f"{one['label']} {write(one['estimate'], one['unit'])} ({bounds}n\u00a0{one['count']:,})"
