"""The sections of the full report in Markdown, in the order of its pages. Pure."""

from collections.abc import Mapping
from typing import Any

from postmortem.report import aftermath, present
from postmortem.report.charts import exposed, mix
from postmortem.report.charts.data import exposed_data
from postmortem.report.markdown_parts import actions_table, picture, rows_table
from postmortem.report.markdown_text import identifier, plain
from postmortem.report.markdown_writer import people_markdown
from postmortem.report.pattern_rows import pattern_rows
from postmortem.report.sections import is_leading, ledger_key, mix_words, role_of

_MOST_HASHES = 3


def full_sections(record: Mapping[str, Any]) -> list[str]:
    """Everything behind the opening of a full report, block by block."""
    text = record["text"]
    parts = [*_differences(record), "## Impact", people_markdown(text["impact"]) or "*Not written.*"]
    parts += ["## The five clocks", rows_table(("Clock", "Duration", "From where to where"), present.clocks(record))]
    parts += ["## What explains it", *_explanations(record), "## Four layers, four verdicts", *_verdicts(record)]
    parts += ["## Contributing factors", *_factors(record), "## Actions", actions_table(record, whole=True)]
    parts += ["## Why nobody was told sooner", people_markdown(text["detection_gap"]) or "*Not written.*"]
    if contained := aftermath.containment(record):
        parts += ["## How it was contained", *map(plain, contained)]
    if lessons := people_markdown(text["lessons"]):
        parts += ["## What we learned", lessons]
    residual = "\n".join(f"- {plain(line)}" for line in aftermath.residual_risk(record))
    parts += ["## What can still go wrong", residual or plain(aftermath.NOTHING_LEFT)]
    timeline = ((present.when(one["at"]), one["text"], one["source"]) for one in record["timeline"])
    parts += ["## Timeline", rows_table(("When, UTC", "What happened", "From"), timeline)]
    if versions := aftermath.versions(record):
        rows = ((one["facet"], one["before"], one["after"]) for one in versions)
        parts += ["## What the answers ran on", plain(aftermath.versions_note(record["finding"]["result"]))]
        parts.append(rows_table(("Version", "Before", "In the incident"), rows))
    return [*parts, *_ledger(record), *_answers(record), *_evidence(record), *_people(record)]


def _differences(record: Mapping[str, Any]) -> list[str]:
    corrects = (record.get("publication") or {}).get("corrects") or {}
    if not corrects.get("differences"):
        return []
    rows = (
        (one["section"], one["what"], one["before"] or "not there", one["after"] or "taken away")
        for one in corrects["differences"]["rows"]
    )
    count = corrects["differences"]["count"]
    told = f"{count} difference{'' if count == 1 else 's'} from version {corrects['version']}."
    return ["## What this version changed", told, rows_table(("Part", "Field", "Before", "Now"), rows)]


def _explanations(record: Mapping[str, Any]) -> list[str]:
    finding = record["finding"]
    if not finding:
        return ["No attribution was run."]
    headline, lede = present.opening(record)
    parts = [f"**{plain(headline)}** {plain(lede)}", *map(plain, present.told_apart(record))]
    shown = present.hypotheses(record)
    leading = [one for one in shown if is_leading(one)]
    for one in leading:
        effect = f", {one['effect']}" if one["effect"] != "–" else ""
        parts.append(f"### {one['rank']}. {plain(one['title'])}, P {plain(one['probability'] + effect)}")
        if one["cells"]:
            parts.append(rows_table(("Figure", "Value", "Note"), one["cells"]))
        parts.append(plain(one["sentence"]))
        data = exposed_data(finding["result"], one["raw"])
        if data and data.bins:
            parts.append(picture(exposed.alternative_text(data)))
    others = [_other(one) for one in shown if one not in leading]
    if others:
        head = ("No.", "Explanation", "Exposed", "Not exposed", "Difference", "Bayes, ln", "P")
        parts += ["### Other explanations", rows_table(head, others)]
    if split := mix.mix_data(finding["result"]):
        parts += ["### Did the requests change, or the answers?", picture(mix.alternative_text(split))]
    if told := mix_words(record):
        bounds = f" ({told['interval']})" if told["interval"] else ""
        parts.append(
            f"Of the whole change of {told['total']}{bounds}, {told['mix']} come from the traffic mix and "
            f"{told['within']} from within the groups (split by {plain(told['facet'])}, Kitagawa 1955)."
        )
    if patterns := pattern_rows(record):
        rows = ((one["title"], one["word"], _pattern(one)) for one in patterns)
        parts += ["### Failure patterns looked for"]
        parts.append(rows_table(("Pattern", "Answer", "What the traces and logs say"), rows))
    return parts


def _other(hypothesis: Mapping[str, Any]) -> tuple[object, ...]:
    rank, title, effect, probability = (hypothesis[name] for name in ("rank", "title", "effect", "probability"))
    cells = hypothesis["cells"]
    if not cells:
        return (rank, title, hypothesis["sentence"], "–", effect, "–", probability)
    sides = (f"{figure} ({note})" for _, figure, note in cells[:2])
    return (rank, title, *sides, effect, cells[3][1], probability)


def _pattern(row: Mapping[str, Any]) -> str:
    missing = f"To log next time: {row['missing']}." if row["missing"] else ""
    return " ".join(part for part in (row["sentence"], f"{row['numbers']}." if row["numbers"] else "", missing) if part)


def _verdicts(record: Mapping[str, Any]) -> list[str]:
    blocks = []
    for one in present.layers(record):
        blocks += [f"### {one['label']}: {one['word']}", plain(one["reason"]) or "No verdict yet."]
        by = f"{one['decided_by']}, {one['decided_on']}." if one["decided_by"] else ""
        differs = "People decided otherwise; both stand here." if one["differs"] else ""
        answered = f"{len(one['answers'])} of {one['question_count']} questions answered."
        signed = f"Signed by {one['signed']}." if one["signed"] else ""
        told = " ".join(part for part in (by, one["statistics"], differs, answered, signed) if part)
        blocks.append(plain(told[:1].upper() + told[1:]))
        for dissent in one.get("dissents", []):
            lead = plain(f"{dissent['by']} dissents, {dissent['value'].upper()}:")
            blocks.append(f"**{lead}** {plain(dissent['reason'])}")
        for title, pieces in (("For", one["evidence_for"]), ("Against", one["evidence_against"])):
            blocks += [f"{title}:", "\n".join(f"- {_piece(piece)}" for piece in pieces) or "- None recorded"]
    return blocks


def _piece(piece: Mapping[str, Any]) -> str:
    trace = f" (trace {identifier(piece['trace'])})" if piece.get("trace") else ""
    change = f" ({plain(piece['change'])})" if piece.get("change") else ""
    return f"{plain(piece['text'])}{trace}{change}"


def _factors(record: Mapping[str, Any]) -> list[str]:
    causes = present.causes(record)
    lines = []
    for one in causes["lines"]:
        line = f"{'  ' * one['depth']}- {one['number']} · {one['kind']}: {plain(one['text'])}"
        line += f" ({plain(one['claim'])})" if one["claim"] else ""
        if one["repeated"]:
            line += " (see above)"
        else:
            line += f" **Cut by {plain(one['cut_by'])}.**" if one["cut_by"] else ""
            line += f" Risk accepted: {plain(one['risk'])}" if one["risk"] else ""
        lines.append(line)
    return [f"**{plain(causes['verdict'])}**", "\n".join(lines)]


def _ledger(record: Mapping[str, Any]) -> list[str]:
    rows = (
        (
            one["when"], one["layer_label"], f"{one['summary']} ({one['id']})", one["rollout"], one["exposure"],
            one["state"], one["probability"],
        )
        for one in present.ledger(record)
    )  # fmt: skip
    head = ("When, UTC", "Layer", "Change", "Rollout", "Exposed traces", "State", "P")
    parts = ["## Change ledger", *([plain(ledger_key(record))] if record["changes"] else []), rows_table(head, rows)]
    found = present.reconciliation(record)
    if not found["never_logged"] and not found["never_observed"]:
        return parts
    parts.append("## Logs against traces")
    for title, name, none in (
        ("Observed but never logged", "never_logged", "Every version in the traces stands in a log."),
        ("Logged but never observed", "never_observed", "Every logged change reached a trace."),
    ):
        lines = [f"- {plain(row['text'])}: {plain(row['note'])}" for row in found[name]]
        parts += [f"### {title}", "\n".join(lines) or none]
    return parts


def _answers(record: Mapping[str, Any]) -> list[str]:
    answers = present.answers(record)
    if not answers:
        return []
    with_notes = not record.get("audience")
    head = ("Question", "Answer", *(("Note",) if with_notes else ()), "By")
    rows = (
        (one["question"], one["word"], *((one["note"],) if with_notes else ()), _begun(one["by"])) for one in answers
    )
    return ["## Checklist answers", rows_table(head, rows)]


def _evidence(record: Mapping[str, Any]) -> list[str]:
    kept = record["evidence"]
    count = f"{kept['traces']:,} traces and {kept['scores']:,} scores. Imported bytes are never edited."
    if finding := record["finding"]:
        method, inputs = plain(finding["method"]), identifier(finding["inputs_sha256"])
        count += f" Attribution: run {finding['number']}, method {method}, inputs sha256 {inputs}."
    rows = (
        (
            f"{one['kind']} {one['origin']}".strip() + (" (cut at the cap)" if one.get("truncated_at_cap") else ""),
            f"{_begun(one.get('by') or 'the product')}, {present.when(one['at'])}",
            f"{one['traces']:,}",
            _hashes(one),
        )
        for one in kept["imports"]
    )
    return ["## Evidence and its hashes", count, rows_table(("From", "By, when", "Traces", "SHA-256"), rows)]


def _hashes(one: Mapping[str, Any]) -> str:
    shown = one["sha256"][:_MOST_HASHES]
    more = one.get("sha256_count", len(one["sha256"])) - _MOST_HASHES
    return " ".join([*shown, *([f"and {more} more"] if more > 0 else [])]) or "–"


def _people(record: Mapping[str, Any]) -> list[str]:
    told = []
    for one in record["participants"]:
        team = f", {one['team']}" if one.get("team") else ""
        told.append(f"{one['name']}{team}" + ("" if record.get("audience") else f" ({role_of(one)})"))
    signed = f"Signed: {plain(present.signatures(record)) or 'nobody yet'}."
    return ["## Who took part and who signed", plain(_begun("; ".join(told))), signed]


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]
