"""The words of the e-mail that a brief is attached to: enough to know whether to open it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

from postmortem.lib.markdown import render_markdown
from postmortem.report import present
from postmortem.report.external import for_outside, left_out_sentence
from postmortem.report.harmless import harmless

_MOST_TEXT, _MOST_DECISIONS = 500, 6
_PAGE = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
    '<body style="font-family: sans-serif; font-size: 16px; line-height: 1.5; max-width: 42em">\n{body}\n'
    "</body></html>\n"
)


@dataclass(frozen=True, slots=True)
class Letter:
    """The same words twice: as plain text and as HTML without anything to load."""

    text: str
    html: str


def covering_letter(
    record: Mapping[str, Any], *, sender: str, version: int, sha256: str, audience: str, note: str = "", link: str = ""
) -> Letter:
    """Who sends what, what happened, what was found, what is asked, where the rest is."""
    told = harmless(for_outside(record, sha256=sha256) if audience == "external" else dict(record))
    incident = told["incident"]
    simulated = " (a SIMULATED example)" if incident["simulated"] else ""
    summary = _words(told["text"]["summary"])
    if len(summary) > _MOST_TEXT:
        summary = summary[:_MOST_TEXT].rsplit(" ", 1)[0] + "…"
    before = [
        f"{sender} sends you the leadership brief of {incident['number']}, version {version}: two pages, attached.",
        note.strip(),
        f"{incident['title']}{simulated}",
        summary,
        f"Found: {present.opening(told)[0]}" if told["finding"] else "",
    ]
    asked = [line for text in present.decisions(told)[:_MOST_DECISIONS] if (line := _words(text))]
    rest = f"The full report: {link}" if link else left_out_sentence(told)
    after = [rest, f"SHA-256 of the record that the brief shows: {sha256}"]
    listed = "\n".join(f"{at}. {line}" for at, line in enumerate(asked, 1))
    blocks = [*before, f"What we ask of you:\n{listed}" if asked else "", *after]
    return Letter(
        text="\n\n".join(block for block in blocks if block) + "\n",
        html=_PAGE.format(title=escape(incident["number"]), body=_html(before, asked, after, link)),
    )


def _html(before: list[str], asked: list[str], after: list[str], link: str) -> str:
    def paragraphs(lines: list[str]) -> list[str]:
        shown = (escape(line).replace("\n", "<br>") for line in lines if line)
        return [f"<p>{line}</p>" for line in shown]

    items = "".join(f"<li>{escape(line)}</li>" for line in asked)
    question = [f"<p>What we ask of you:</p>\n<ol>{items}</ol>"] if asked else []
    told = "\n".join([*paragraphs(before), *question, *paragraphs(after)])
    anchor = f'<a href="{escape(link)}">{escape(link)}</a>'
    return told.replace(escape(link), anchor) if link else told


def _words(markdown: str) -> str:
    """What people wrote, without the signs of Markdown."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", render_markdown(markdown))).replace(" .", ".").split())
