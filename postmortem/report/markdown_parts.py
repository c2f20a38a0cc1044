"""Tables and sentences that more than one view has in Markdown. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from postmortem.report import present
from postmortem.report.markdown_text import plain
from postmortem.report.markdown_writer import table


def rows_table(head: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    """A pipe table of plain texts; a sentence where there is no row."""
    cells = [[plain(cell, cell=True) for cell in row] for row in rows]
    return table(head, cells) if cells else "*None recorded.*"


def picture(words: str) -> str:
    """What stands for a picture: its alternative text, which holds its numbers."""
    return f"> **In the picture:** {plain(words)}"


def simulated(record: Mapping[str, Any]) -> str:
    """The warning of an example; "" of a real incident."""
    example = "**SIMULATED example: no person, company or model in it exists.**"
    return example if record["incident"]["simulated"] else ""


def verdicts_table(record: Mapping[str, Any]) -> str:
    """The four verdicts, each with its first piece for and against, and how many more there are."""
    head = ("Layer", "Verdict", "Evidence for", "Evidence against", "Decided by")
    return rows_table(
        head,
        (
            (
                one["label"],
                one["word"],
                _first(one["evidence_for"]),
                _first(one["evidence_against"]) + _proposed(one),
                one["decided_by"] or "–",
            )
            for one in present.layers(record)
        ),
    )


def reasons(record: Mapping[str, Any]) -> str:
    """The four verdicts with the reason that was written for each."""
    rows = ((one["label"], one["word"], one["reason"] or "Not decided yet.") for one in present.layers(record))
    return rows_table(("Layer", "Verdict", "Reason"), rows)


def actions_table(record: Mapping[str, Any], *, whole: bool = False) -> str:
    """Actions by due date; `whole` says what kind each is, of which layer, and what it cuts."""
    return rows_table(
        ("No.", "Action", "Owner", "Due", "Counts as verified when"),
        (
            (
                one["ref"],
                _titled(one, whole=whole),
                f"{one['owner']}, {one['team']}".rstrip(", "),
                f"{one['due']} {one['due_year']}",
                one["verification"],
            )
            for one in present.actions(record)
        ),
    )


def _titled(action: Mapping[str, Any], *, whole: bool) -> str:
    state = f" ({action['status_label']})" if action["status_label"] != "Open" else ""
    cuts = f" Cuts: {action['cuts_text']}" if action["cuts_text"] else ""
    more = f" – {action['kind_label']}, {action['layer_label']}.{cuts}" if whole else ""
    return f"{action['title']}{state}{more}"


def _proposed(layer: Mapping[str, Any]) -> str:
    """What the attribution proposed, where people have not said the same."""
    open_to_say = layer["statistics"] and (layer["differs"] or not layer["verdict"])
    return f" ({layer['statistics']})" if open_to_say else ""


def _first(pieces: list[dict[str, Any]]) -> str:
    more = f" (+{len(pieces) - 1} more)" if len(pieces) > 1 else ""
    return f"{pieces[0]['text']}{more}" if pieces else "None recorded."
