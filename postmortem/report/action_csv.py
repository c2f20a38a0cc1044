"""The action items as CSV that a spreadsheet opens without running anything. Pure."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from postmortem.report import present

HEAD = (
    "incident", "number", "title", "layer", "kind", "owner", "team", "due_on", "status", "verification", "cuts",
    "tracker_link",
)  # fmt: skip
# A cell that begins so is a formula in Excel, LibreOffice and Google Sheets (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "|", "%")


def actions_csv(record: Mapping[str, Any]) -> str:
    """RFC 4180 with a byte order mark, so that spreadsheets read it as UTF-8; one line an action item."""
    out = io.StringIO()
    rows = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    rows.writerow(HEAD)
    for one in present.actions(record):
        cells = (
            record["incident"]["number"], one["ref"], one["title"], one["layer"], one["kind"], one["owner"],
            one["team"], one["due_on"], one["status"], one["verification"], one["cuts_text"], one["tracker_link"],
        )  # fmt: skip
        rows.writerow([safe_cell(str(cell)) for cell in cells])
    return "\ufeff" + out.getvalue()


def safe_cell(text: str) -> str:
    """`text` with an apostrophe before it where a spreadsheet would take it for a formula."""
    return "'" + text if text.lstrip(" \u00a0").startswith(_FORMULA) or text.startswith(_FORMULA) else text
