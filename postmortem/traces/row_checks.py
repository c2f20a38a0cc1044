"""What a row of an uploaded file must be: ids that fit, times that are times, scores that are numbers. Pure.

Bytes that are stored are read without these checks, so that nothing that came in once is lost.
"""

import math
import re
from typing import Any

from postmortem.lib.errors import UserError
from postmortem.traces.rows import TABLE_COLUMNS, Row
from postmortem.traces.values import MAX_ID, clean, moment

_ZONE = re.compile(r"(?:[zZ]|[+-]\d\d(?::?\d\d)?)$")
_BEGINNINGS = {"observation": "startTime", "trace": "timestamp", "open": "timestamp"}
_IDS = {
    "observation": ("id", "traceId", "parentObservationId"),
    "score": ("traceId", "observationId"),
    "trace": ("id",),
    "open": ("id",),
}  # fmt: skip


def check_row(row: Row, where: str) -> bool:
    """Raise UserError, which begins with `where` and names the field, unless the row can be read.

    Returns whether its time says of which zone it is.
    """
    value = row.value
    for name in _IDS[row.kind]:
        if (identifier := value.get(name)) is not None:
            _check_id(identifier, name, where)
    if row.kind == "score":
        return True
    if not value.get("id"):
        raise UserError(f"{where}: the field “id” is missing.")
    if row.kind == "observation" and not row.trace_id:
        raise UserError(f"{where}: it names no trace (traceId is missing).")
    name = _BEGINNINGS[row.kind]
    time = value.get(name)
    if moment(time) is None:
        raise UserError(f"{where}: “{name}” is {_shown(time)}, which is no time like 2026-03-09T09:40:00Z.")
    if row.kind == "open":
        for field, what in (("facets", "values"), ("scores", "numbers")):
            if not isinstance(value.get(field) or {}, dict):
                raise UserError(f"{where}: {field} must be an object of names and {what}.")
    elif row.flat:
        for column, cell in value.items():
            if isinstance(cell, str) and column not in TABLE_COLUMNS and _is_endless(cell):
                raise UserError(f"{where}: the column “{column[:80]}” is {_shown(cell)}, which is no finite number.")
    return not isinstance(time, str) or time[-1] == "Z" or _ZONE.search(time) is not None


def _check_id(value: Any, name: str, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{where}: “{name}” must be text.")
    if isinstance(value, float) and value.is_integer():  # what a reader makes of an integer of more than 64 bits
        raise UserError(f"{where}: “{name}” is a number too large to be exact; write it as text.")
    if isinstance(value, str):
        if len(value) > MAX_ID:
            raise UserError(f"{where}: “{name}” has {len(value):,} characters; an id has at most {MAX_ID}.")
        if "\x00" in value:
            raise UserError(f"{where}: “{name}” has a NUL character in it; export it again without.")


def _is_endless(cell: str) -> bool:
    if len(cell) > 400 or cell[-1:] not in "0123456789nNyYfF":
        return False
    try:
        return not math.isfinite(float(cell))
    except ValueError:
        return False


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "missing"
    return f"“{clean(str(value)[:40])}”" if isinstance(value, str | int | float) else "no text"
