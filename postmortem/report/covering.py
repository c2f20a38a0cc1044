"""The words of the e-mail that a brief is attached to: enough to know whether to open it. Pure."""

from collections.abc import Mapping
from typing import Any

from postmortem.report import present
from postmortem.report.external import for_outside, left_out_sentence
from postmortem.report.harmless import harmless

_MOST_TEXT, _MOST_DECISIONS = 500, 6


def covering_letter(
    record: Mapping[str, Any], *, sender: str, version: int, sha256: str, audience: str, note: str = "", link: str = ""
) -> str:
    """Plain text: who sends what, what happened, what was found, what is asked, where the rest is."""
    told = harmless(for_outside(record, sha256=sha256) if audience == "external" else dict(record))
    incident = told["incident"]
    simulated = " (a SIMULATED example)" if incident["simulated"] else ""
    summary = " ".join(told["text"]["summary"].split())
    if len(summary) > _MOST_TEXT:
        summary = summary[:_MOST_TEXT].rsplit(" ", 1)[0] + "…"
    asked = present.decisions(told)
    lines = [
        f"{sender} sends you the leadership brief of {incident['number']}, version {version}: two pages, attached.",
        note.strip(),
        f"{incident['title']}{simulated}",
        summary,
        f"Found: {present.opening(told)[0]}" if told["finding"] else "",
    ]
    if asked:
        listed = "\n".join(f"{at}. {line}" for at, line in enumerate(asked[:_MOST_DECISIONS], 1))
        lines.append(f"What we ask of you:\n{listed}")
    lines += [
        f"The full report: {link}" if link else left_out_sentence(told),
        f"SHA-256 of the record that the brief shows: {sha256}",
    ]
    return "\n\n".join(line for line in lines if line) + "\n"
