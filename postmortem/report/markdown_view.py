"""A record as Markdown that reads the same on GitHub, in Confluence and in Google Docs. Pure.

Of CommonMark it uses headings, paragraphs, lists, links, emphasis and code, and pipe tables: what all three take.
A picture stands as its alternative text, which holds its numbers. There are no anchors and no table of contents:
each of the three makes an outline of the headings, and none knows the anchors of another.
"""

from collections.abc import Mapping
from typing import Any

from postmortem.report import present
from postmortem.report.annex_view import annex_of
from postmortem.report.certainty import how_sure
from postmortem.report.charts.captions import alternative_text
from postmortem.report.markdown_full import full_sections
from postmortem.report.markdown_parts import actions_table, picture, reasons, rows_table, simulated, verdicts_table
from postmortem.report.markdown_text import identifier, plain
from postmortem.report.markdown_writer import people_line, people_markdown
from postmortem.report.picture_data import picture_of
from postmortem.report.sections import VERDICT_KEY
from postmortem.report.unfinished import unfinished


def render_markdown_view(record: Mapping[str, Any], *, view: str, version: int | None, sha256: str) -> str:
    """The brief, the full report or the annex as Markdown. Imported text is escaped, so that it stays text."""
    parts = {"brief": _brief, "full": _full, "annex": _annex}[view](record, version, sha256)
    parts += [plain(record.get("cut", "")), *_left_out(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _brief(record: Mapping[str, Any], version: int | None, sha256: str) -> list[str]:
    parts = [*_opening(record, version, sha256), "## Why, and how sure we are", *map(plain, how_sure(record))]
    parts += ["## The five clocks", rows_table(("Clock", "Duration", "From where to where"), present.clocks(record))]
    parts += ["## Four layers, four verdicts", VERDICT_KEY, verdicts_table(record)]
    parts += ["## Who does what by when", actions_table(record), plain(present.causes(record)["verdict"])]
    if version is None and (lacks := unfinished(record)):
        parts.append(f"**This draft still lacks:** {plain('; '.join(lacks))}.")
    parts += _decisions(record)
    return [*parts, f"Signed: {plain(present.signatures(record)) or 'nobody yet'}."]


def _full(record: Mapping[str, Any], version: int | None, sha256: str) -> list[str]:
    return [*_opening(record, version, sha256), *_decisions(record), *full_sections(record)]


def _opening(record: Mapping[str, Any], version: int | None, sha256: str) -> list[str]:
    """What the brief and the full report begin with: title, summary, figures, the signature picture."""
    data = picture_of(record)
    return [
        f"# {plain(record['incident']['title'])}",
        _head(record, version, sha256),
        simulated(record),
        _correction(record),
        people_markdown(record["text"]["summary"], under=1) or "*No summary is written.*",
        rows_table(("Figure", "Value", "Note"), present.figures(record)),
        picture(alternative_text(data)) if data else "",
    ]


def _head(record: Mapping[str, Any], version: int | None, sha256: str) -> str:
    incident, publication = record["incident"], record.get("publication") or {}
    team = f", {plain(incident['team'])}" if incident.get("team") else ""
    parts = [*(plain(incident[name]) for name in ("number", "severity", "feature"))]
    parts[-1] += team
    parts.append(f"opened by {plain(incident['opened_by'])}")
    if version:
        by = plain(publication.get("published_by", ""))
        told = f" published by {by}, {present.when(publication.get('published_at'))}" if by else ""
        parts += [f"version {version}{told}", f"sha256 {identifier(sha256)}"]
    else:
        parts.append("**DRAFT, not frozen**")
    if record["organisation"]:
        parts.append(plain(record["organisation"]))
    return " · ".join([*parts, "times in UTC"])


def _correction(record: Mapping[str, Any]) -> str:
    publication = record.get("publication") or {}
    corrects = publication.get("corrects")
    if not corrects:
        return ""
    reason = plain(publication.get("correction_reason", ""))
    return f"**Corrects version {corrects['version']}** (sha256 {identifier(corrects['sha256'])}): {reason}"


def _decisions(record: Mapping[str, Any]) -> list[str]:
    asked = [line for text in present.decisions(record) if (line := people_line(text))]
    lines = "\n".join(f"{at}. {line}" for at, line in enumerate(asked, 1))
    return ["## What we ask of you", lines] if asked else []


def _annex(record: Mapping[str, Any], version: int | None, sha256: str) -> list[str]:
    annex, text = annex_of(record), record["text"]
    parts = [f"# {plain(annex['report_title'])} of a serious incident"]
    parts += [f"{plain(annex['law'])} · {plain(record['incident']['title'])}", _head(record, version, sha256)]
    parts += [simulated(record), _correction(record)]
    if annex["missing"]:
        lead = "An initial report may be incomplete (Article 73(5)); the complete one follows. "
        lead = lead if annex["incomplete_allowed"] else "Not complete. "
        parts.append(f"{lead}Not stated yet: {plain('; '.join(annex['missing']))}")
    basis = "" if annex["aware_stated"] else " (the time of detection; the time of awareness is not stated)"
    first = annex["first"]
    told = (
        f"The first deadline is the **{plain(first['deadline'])}**, {plain(first['article'])}."
        if first
        else "Which period applies is open until the kind of incident is stated."
    )
    parts += ["## Clocks", f"Counted from awareness: **{plain(annex['aware'])}**{basis}. {told}"]
    clocks = (
        (one["days"], f"{one['label']}, {one['article']}", one["deadline"], one["state"]) for one in annex["clocks"]
    )
    parts.append(rows_table(("Period", "For", "Not later than", "State"), clocks))
    parts.append(plain(f"{annex['counting']} Article 73 applies from {annex['applies_from']}. {annex['applies_note']}"))
    for group in annex["groups"]:
        rows = ((row["label"], _statement(row)) for row in group["rows"])
        parts += [f"## {plain(group['title'])}", rows_table(("Field", "Statement"), rows)]
    parts += ["## What happened, from the record", plain(annex["times"])]
    parts += [people_markdown(text["summary"]) or "*Not written.*"]
    parts += ["### Impact", people_markdown(text["impact"], under=3) or "*Not written.*"]
    parts += ["### Clocks of the incident"]
    parts += [rows_table(("Clock", "Duration", "From where to where"), present.clocks(record))]
    parts += ["## Causes found so far"]
    parts.append(_found(record) or "No attribution was run yet.")
    parts += [reasons(record), "## Corrective actions and who carries them out", actions_table(record, whole=True)]
    parts.append(plain(present.causes(record)["verdict"]))
    if gap := people_markdown(text["detection_gap"]):
        parts += ["## Why it was not found sooner", gap]
    fields = f"Fields of this annex: revision {annex['revision']}, {annex['edited']}. " if annex["revision"] else ""
    kept = f"Evidence: {record['evidence']['traces']:,} traces, kept unchanged under their SHA-256."
    return [*parts, plain(fields + kept)]


def _statement(row: Mapping[str, Any]) -> str:
    stated = row["value"] or ("Not stated yet" if row["required"] else "–")
    return f"{stated} {row['note']}".rstrip()


def _found(record: Mapping[str, Any]) -> str:
    headline, lede = present.opening(record)
    return f"**{plain(headline)}** {plain(lede)}" if headline else ""


def _left_out(record: Mapping[str, Any]) -> list[str]:
    audience = record.get("audience")
    if not audience:
        return []
    made = audience.get("made_from_sha256")
    whole = f"The whole record is kept{f', sha256 {identifier(made)}' if made else ''}."
    rows = ((one["what"], f"{one['count']:,}", one["instead"]) for one in audience["left_out"])
    told = f"Prepared for readers outside by fixed rules; counted over the whole record. {whole}"
    parts = ["## What this copy leaves out", told]
    return [*parts, rows_table(("Left out", "How often", "In its place"), rows)]
