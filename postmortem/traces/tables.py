"""Tables of any make as rows of named cells: CSV, JSON Lines, a JSON list, Parquet. No Django here.

Every fault is one sentence that names the file and, where there is one, the line.
"""

import json
from collections.abc import Mapping
from typing import Any

from postmortem.lib.errors import UserError
from postmortem.traces.entries import MAX_COLUMNS, Entry

_DEEPEST_PATH = 4
Cells = Mapping[str, Any]


def cells_of(entry: Entry) -> Cells:
    """The cells of one entry; objects inside objects become dotted names, four deep. Raises UserError for no object."""
    if entry.fault:
        raise UserError(entry.fault)
    if not isinstance(entry.value, dict):
        raise UserError(f"{entry.where}: a row must be a JSON object in braces.")
    return entry.value if entry.table == "csv" else _flat(entry.value)


def _flat(row: Mapping[str, Any], prefix: str = "", depth: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in row.items():
        name = f"{prefix}{key}"[:200]
        if isinstance(value, Mapping) and depth < _DEEPEST_PATH:
            found |= _flat(value, f"{name}.", depth + 1)
        elif isinstance(value, Mapping | list):
            found[name] = json.dumps(value, ensure_ascii=False)
        elif value is not None and value != "":
            found[name] = value
        if len(found) > MAX_COLUMNS:
            break
    return found
