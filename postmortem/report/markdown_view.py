"""A record as CommonMark with pipe tables: survives where people paste it. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from postmortem.report import present
from postmortem.report.annex_view import annex_of
from postmortem.report.harmless import harmless_markdown
from postmortem.report.pattern_rows import pattern_rows

_SPECIAL = str.maketrans({character: "\\" + character for character in "\\`*_[]<>|#"})


def render_markdown_view(record: Mapping[str, Any], *, view: str, version: int | None, sha256: str) -> str:
    """The brief, the full report or the annex as Markdown. Imported text is escaped, so that it stays text."""
    incident = record["incident"]
    if view == "annex":
        return "\n\n".join(part for part in [*_annex(record, version, sha256), *_left_out(record)] if part) + "\n"
    parts = [f"# {escape(incident['title'])}", _head(record, version, sha256)]
    if incident["simulated"]:
        parts.append("**SIMULATED example: no person, company or model in it exists.**")
    parts += [harmless_markdown(record["text"]["summary"]) or "*No summary is written.*"]
    parts.append(_table(("Figure", "", "Note"), present.figures(record)))
    parts += ["## How sure we are", *map(escape, present.how_sure(record))]
    parts += ["## Four layers, four verdicts", _verdicts(record, whole=view == "full")]
    parts += ["## Who does what by when", _actions(record), escape(present.causes(record)["verdict"])]
    if asked := present.decisions(record):
        parts += [
            "## What we ask of you",
            "\n".join(f"{at}. {harmless_markdown(line)}" for at, line in enumerate(asked, 1)),
        ]
    if view == "full":
        parts += _full(record)
    parts += [escape(record.get("cut", "")), *_left_out(record)]
    parts.append(f"Signed: {escape(present.signatures(record)) or 'nobody yet'}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: object) -> str:
    """Text that Markdown leaves alone, on one line."""
    return " ".join(str(text).split()).translate(_SPECIAL)


def _head(record: Mapping[str, Any], version: int | None, sha256: str) -> str:
    incident = record["incident"]
    state = f"version {version}, sha256 `{sha256}`" if version else "DRAFT, not frozen"
    names = " · ".join(escape(incident[name]) for name in ("number", "severity", "feature"))
    return f"{names} · {state} · times in UTC"


def _annex(record: Mapping[str, Any], version: int | None, sha256: str) -> list[str]:
    annex = annex_of(record)
    parts = [f"# {annex['report_title']} of a serious incident", escape(annex["law"]), _head(record, version, sha256)]
    if record["incident"]["simulated"]:
        parts.append("**SIMULATED example: no person, company or model in it exists.**")
    if annex["missing"]:
        lead = "An initial report may be incomplete (Article 73(5)). " if annex["incomplete_allowed"] else ""
        parts.append(f"{lead}Not stated yet: {escape(', '.join(annex['missing']))}.")
    basis = "" if annex["aware_stated"] else " (the time of detection; the time of awareness is not stated)"
    parts += ["## Clocks", f"Counted from awareness: {escape(annex['aware'])}{basis}."]
    parts.append(
        _table(
            ("Period", "For", "Not later than", "State"),
            (
                (one["days"], f"{one['label']}, {one['article']}", one["deadline"], one["state"])
                for one in annex["clocks"]
            ),
        )
    )
    parts.append(
        escape(f"{annex['counting']} Article 73 applies from {annex['applies_from']}. {annex['applies_note']}")
    )
    for group in annex["groups"]:
        rows = ((row["label"], row["value"] or ("Not stated yet" if row["required"] else "–")) for row in group["rows"])
        parts += [f"## {group['title']}", _table(("Field", "Statement"), rows)]
    parts += ["## What happened, from the record", harmless_markdown(record["text"]["summary"]) or "*Not written.*"]
    parts += ["## Impact", harmless_markdown(record["text"]["impact"]) or "*Not written.*"]
    if record["finding"]:
        parts += ["## Causes found so far", escape(" ".join(present.opening(record)))]
    return [*parts, "## Four layers", _verdicts(record, whole=False), "## Corrective actions", _actions(record)]


def _differences(record: Mapping[str, Any]) -> list[str]:
    corrects = (record.get("publication") or {}).get("corrects") or {}
    if not corrects.get("differences"):
        return []
    rows = ((one["section"], one["what"], one["before"], one["after"]) for one in corrects["differences"]["rows"])
    count = corrects["differences"]["count"]
    title = f"## What this version changed: {count} difference{'' if count == 1 else 's'} from version"
    return [f"{title} {corrects['version']}", _table(("Part", "Field", "Before", "Now"), rows)]


def _left_out(record: Mapping[str, Any]) -> list[str]:
    audience = record.get("audience")
    if not audience:
        return []
    rows = ((one["what"], f"{one['count']:,}", one["instead"]) for one in audience["left_out"])
    return ["## What this copy leaves out", _table(("Left out", "How often", "In its place"), rows)]


def _full(record: Mapping[str, Any]) -> list[str]:
    text = record["text"]
    parts = [*_differences(record), "## Impact", harmless_markdown(text["impact"]) or "*Not written.*"]
    parts += ["## The five clocks", _table(("Clock", "Duration", "From where to where"), present.clocks(record))]
    parts += ["## Timeline"]
    parts.append(
        _table(
            ("When", "What", "From"),
            ((present.when(one["at"]), one["text"], one["source"]) for one in record["timeline"]),
        )
    )
    parts += ["## Hypotheses", *map(escape, present.told_apart(record))]
    parts.append(
        _table(
            ("#", "Hypothesis", "Probability", "Effect"),
            ((one["rank"], one["title"], one["probability"], one["effect"]) for one in present.hypotheses(record)),
        )
    )
    if patterns := pattern_rows(record):
        rows = (
            (one["title"], one["word"], " ".join(part for part in (one["sentence"], _more(one)) if part))
            for one in patterns
        )
        parts += ["## Failure patterns looked for", _table(("Pattern", "Answer", "What the traces and logs say"), rows)]
    parts += ["## Change ledger"]
    parts.append(
        _table(
            ("When", "Layer", "Change", "Exposed traces", "State", "P"),
            (
                (one["when"], one["layer_label"], one["summary"], one["exposure"], one["state"], one["probability"])
                for one in present.ledger(record)
            ),
        )
    )
    found = present.reconciliation(record)
    if found["never_logged"]:
        lines = (f"- {escape(row['text'])}: {escape(row['note'])}" for row in found["never_logged"])
        parts += ["## Observed but never logged", "\n".join(lines)]
    if found["never_observed"]:
        lines = (f"- {escape(row['text'])}: {escape(row['note'])}" for row in found["never_observed"])
        parts += ["## Logged but never observed", "\n".join(lines)]
    parts += ["## Contributing factors"]
    parts.append(
        "\n".join(
            f"{'  ' * line['depth']}- {line['kind']}: {escape(line['text'])}"
            + (f" (cut by {escape(line['cut_by'])})" if line["cut_by"] and not line["repeated"] else "")
            + (f" Risk: {escape(line['risk'])}" if line["risk"] and not line["repeated"] else "")
            for line in present.causes(record)["lines"]
        )
    )
    if text["detection_gap"].strip():
        parts += ["## Why nobody was told", harmless_markdown(text["detection_gap"])]
    if text["lessons"].strip():
        parts += ["## What we learned", harmless_markdown(text["lessons"])]
    parts += ["## Evidence"]
    parts.append(
        _table(
            ("From", "Origin", "When", "Traces", "SHA-256 of the first part"),
            (
                (one["kind"], one["origin"], present.when(one["at"]), one["traces"], (one["sha256"] or ["–"])[0])
                for one in record["evidence"]["imports"]
            ),
        )
    )
    return parts


def _verdicts(record: Mapping[str, Any], *, whole: bool) -> str:
    if not whole:
        rows = (
            (
                one["label"],
                one["word"],
                _first(one["evidence_for"]),
                _first(one["evidence_against"]),
                one["decided_by"] or "–",
            )
            for one in present.layers(record)
        )
        return _table(("Layer", "Verdict", "Evidence for", "Evidence against", "Decided by"), rows)
    blocks = []
    for one in present.layers(record):
        lines = [f"### {one['label']}: {one['word']}", escape(one["reason"])]
        if one["differs"]:
            lines.append(f"People and statistics differ. {escape(one['statistics'])}")
        for dissent in one.get("dissents", []):
            lines.append(f"{escape(dissent['by'])} dissents, {dissent['value'].upper()}: {escape(dissent['reason'])}")
        for title, pieces in (("For", one["evidence_for"]), ("Against", one["evidence_against"])):
            lines.append(f"{title}:\n\n" + ("\n".join(f"- {escape(piece['text'])}" for piece in pieces) or "- none"))
        blocks.append("\n\n".join(line for line in lines if line))
    return "\n\n".join(blocks)


def _actions(record: Mapping[str, Any]) -> str:
    rows = (
        (one["ref"], one["title"], f"{one['owner']}, {one['team']}".rstrip(", "), one["due_on"], one["verification"])
        for one in present.actions(record)
    )
    return _table(("", "Action", "Owner", "Due", "Counts as verified when"), rows)


def _more(pattern: Mapping[str, Any]) -> str:
    missing = f"To log next time: {pattern['missing']}." if pattern["missing"] else ""
    return " ".join(part for part in (f"{pattern['numbers']}." if pattern["numbers"] else "", missing) if part)


def _first(pieces: list[dict[str, Any]]) -> str:
    return pieces[0]["text"] if pieces else "none"


def _table(head: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    lines = [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows]
    if not lines:
        return "*None recorded.*"
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines])
