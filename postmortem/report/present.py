"""A record in words: every number of it as the report writes it. No Django, no database: a record is enough."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from postmortem.attribution.wording import facet_title
from postmortem.lib.clock import describe_duration, parse_moment
from postmortem.lib.layers import Layer
from postmortem.report import picture_data
from postmortem.report.charts import wording
from postmortem.review.causal_graph import check_graph, outline

Record = Mapping[str, Any]
_VERDICTS = {"in": "IN", "out": "OUT", "insufficient": "INSUFFICIENT"}
_STATUSES = {"open": "Open", "done": "Done, not verified", "verified": "Verified", "dropped": "Dropped"}
_ARITHMETIC_FROM = 0.02
_BULLET = re.compile(r"^(\d{1,3}[.)]|[-*+•])\s+")
_CLOCKS_IN_FIGURES = ("detect",)
_EXPLAINED_BY = {"change": "Cause", "unlogged": "Unlogged", "mix": "Traffic mix", "none": "Chance"}


def when(text: str | None) -> str:
    """ "9 Mar 2026 09:40" (UTC) of an RFC 3339 moment, "" of none."""
    if not text:
        return ""
    at = parse_moment(text)
    return f"{at.day} {at:%b %Y %H:%M}"


def on_day(text: str) -> str:
    """ "27 Mar" of an ISO date."""
    day = date.fromisoformat(text)
    return f"{day.day} {day:%b}"


def figures(record: Record) -> list[tuple[str, str, str]]:
    """The band of key figures: (label, figure, note)."""
    found: list[tuple[str, str, str]] = []
    incident, finding = record["incident"], record["finding"]
    if incident["affected_people"] is not None:
        found.append(("People affected", f"{incident['affected_people']:,}", "counted by the team"))
    if finding:
        result, unit = finding["result"], finding["result"]["signal"]["unit"]
        window = result["windows"].get("incident")
        if window:
            note = f"{wording.interval(window['interval'], unit)}, n {window['count']:,}"
            found.append((wording.label(result["signal"]["label"]), wording.level(window["mean"], unit), note))
        drop = result.get("drop")
        if drop:
            text = wording.change(drop["estimate"], unit).replace(" points", "")
            note = ("points, " if unit == "share" else "") + wording.interval(drop["interval"], unit)
            found.append(("Change from before", text, note))
    for clock in record["clocks"]:
        if clock["key"] in _CLOCKS_IN_FIGURES and clock["seconds"] is not None:
            found.append((clock["label"], _span(clock["seconds"]), clock["sentence"]))
    if finding and finding["result"]["hypotheses"]:
        first, *rest = finding["result"]["hypotheses"]
        note = f"next best {wording.probability(rest[0]['probability'])}" if rest else ""
        label = f"{_EXPLAINED_BY.get(first['kind'], 'Best')}, probability"
        found.append((label, wording.probability(first["probability"]), note))
    return found


def clocks(record: Record) -> list[tuple[str, str, str]]:
    """The five clocks: (label, duration, from where to where)."""
    return [
        (one["label"], "not known" if one["seconds"] is None else _span(one["seconds"]), one["sentence"])
        for one in record["clocks"]
    ]


def opening(record: Record) -> tuple[str, str]:
    """What the attribution found: one bold sentence, and what follows it."""
    result = record["finding"]["result"] if record["finding"] else {"headline": "", "lede": ""}
    headline, lede = result["headline"].strip(), result["lede"].strip()
    first, blank, rest = lede.partition(" ")
    return headline + ("." if headline and headline[-1] not in ".?!" else ""), wording.label(first) + blank + rest


def layers(record: Record) -> list[dict[str, Any]]:
    """The four verdicts with evidence for and against, the ones that are IN first."""
    order = {"in": 0, "insufficient": 1, "": 2, "out": 3}
    found = []
    for one in sorted(record["layers"], key=lambda layer: order[layer["verdict"]]):
        layer = Layer(one["layer"])
        proposed = _VERDICTS.get(one["proposed"], "")
        decided = _VERDICTS.get(one["verdict"], "No verdict")
        differs = bool(proposed and one["verdict"] and proposed != decided)
        probability = wording.p_text(one["probability"]) if one["probability"] is not None else ""
        found.append(
            one
            | {
                "layer": layer.value,
                "label": layer.label,
                "glyph": layer.glyph,
                "word": decided,
                "css": one["verdict"] or "none",
                "proposed_word": proposed,
                "probability_text": probability,
                "differs": differs,
                "decided_on": when(one["decided_at"]),
                "signed": f"{one['sign_off']['name']}, {when(one['sign_off']['at'])}" if one["sign_off"] else "",
                "statistics": f"The attribution propose{'d' if one['verdict'] else 's'} {proposed}, {probability}."
                if proposed
                else "",
            }
        )
    return found


def actions(record: Record) -> list[dict[str, Any]]:
    """Actions by due date, dropped ones last, each with what it cuts in words."""
    words = {one["id"]: one["text"] for one in record["factors"]}
    rows = sorted(record["actions"], key=lambda one: (one["status"] == "dropped", one["due_on"], one["number"]))
    published = ((record.get("publication") or {}).get("published_at") or "")[:10]
    return [
        one
        | {
            "ref": f"A-{one['number']}",
            "glyph": Layer(one["layer"]).glyph,
            "layer_label": Layer(one["layer"]).label,
            "kind_label": one["kind"].capitalize(),
            "due": on_day(one["due_on"]),
            "due_year": one["due_on"][:4],
            "status_label": "Overdue"
            if one["status"] == "open" and one["due_on"] < published
            else _STATUSES[one["status"]],
            "cuts_text": words.get(one["cuts"], ""),
        }
        for one in rows
    ]


def decisions(record: Record) -> list[str]:
    """What leadership is asked, one line each, without the numbers that people type before them."""
    lines = [line.strip() for line in record["text"]["decisions_requested"].splitlines()]
    return [_BULLET.sub("", line).strip() or line for line in lines if line]


def ledger(record: Record) -> list[dict[str, Any]]:
    """All changes in order of time with exposure and probability."""
    chance = {}
    if record["finding"]:
        for one in record["finding"]["result"]["hypotheses"]:
            if one["kind"] == "change":
                chance[one["changes"][0]] = one["probability"]
    return [
        one
        | {
            "glyph": Layer(one["layer"]).glyph,
            "layer_label": Layer(one["layer"]).label,
            "when": when(one["at"]),
            "exposure": f"{one['exposed_count']:,} ({one['exposed_share']:.0%})",
            "probability": wording.probability(chance[one["id"]]) if one["id"] in chance else "–",
            "is_cause": chance.get(one["id"], 0.0) >= 0.5,
        }
        for one in record["changes"]
    ]


def hypotheses(record: Record) -> list[dict[str, Any]]:
    """Hypotheses worth a row, each with its arithmetic in words."""
    if not record["finding"]:
        return []
    result = record["finding"]["result"]
    unit = result["signal"]["unit"]
    rows = []
    for rank, one in enumerate(result["hypotheses"], 1):
        if rank > 1 and one["probability"] < _ARITHMETIC_FROM:
            break
        row = {
            "rank": rank,
            "title": one["title"],
            "layer": one["layer"] or "",
            "glyph": Layer(one["layer"]).glyph if one["layer"] else "",
            "sentence": one["sentence"],
            "probability": wording.probability(one["probability"]),
            "p_text": wording.p_text(one["probability"]),
            "effect": "–",
            "effect_value": "–",
            "effect_bounds": "",
            "cells": [],
            "raw": one,
        }
        if one.get("effect") and one["effect"].get("interval"):
            bounds = wording.interval(one["effect"]["interval"], unit)
            row |= {"effect_value": wording.change(one["effect"]["estimate"], unit), "effect_bounds": bounds}
            row["effect"] = f"{row['effect_value']} ({bounds})"
        if one.get("arithmetic"):
            row["cells"] = _arithmetic(one, unit)
        rows.append(row)
    return rows


def _arithmetic(hypothesis: Mapping[str, Any], unit: str) -> list[tuple[str, str, str]]:
    found = hypothesis["arithmetic"]

    def side(one: Mapping[str, Any]) -> tuple[str, str]:
        bounds = wording.interval(one["interval"], unit) if one.get("interval") else "no interval"
        mean = wording.level(one["mean"], unit) if one.get("mean") is not None else "–"
        return mean, f"{bounds}, n\u00a0{one['count']:,.0f}"

    difference = found["difference"]
    bounds = wording.interval(difference["interval"], unit) if difference.get("interval") else ""
    return [
        ("Exposed", *side(found["exposed"])),
        ("Not exposed", *side(found["unexposed"])),
        (
            "Difference",
            wording.change(difference["estimate"], unit).replace(" points", ""),
            f"{'points, ' if unit == 'share' else ''}{bounds}, {found['strata']:,}\u00a0strata",
        ),
        ("Bayes factor, ln", f"{found['log_bayes_factor']:,.1f}".replace("-", "−"), "for harm"),
        (
            "Prior",
            f"{found['prior']:.3f}",
            "by age of the change" if hypothesis["changes"] else "for what no log mentions",
        ),
        ("Probability", wording.probability(hypothesis["probability"]), "that it did harm"),
    ]


def told_apart(record: Record) -> list[str]:
    """A sentence for each credible set that holds more than one explanation; the lede speaks of the others."""
    result = record["finding"]["result"] if record["finding"] else {}
    return [one["sentence"] for one in result.get("told_apart", ()) if len(one["changes"]) + len(one["beside"]) > 1]


def causes(record: Record) -> dict[str, Any]:
    """The causal graph in words: outline lines from the impact upwards, and whether every path is cut."""
    graph = picture_data.graph_of(record)
    reasons = {one["id"]: one["risk_accepted_reason"] for one in record["factors"]}
    if not graph.nodes:
        return {"lines": [], "uncut": [], "numbers": {}, "verdict": "No contributing factor is recorded."}
    check = check_graph(graph)
    found = outline(graph)
    numbers: dict[int, int] = {}
    for line in found:
        numbers.setdefault(line.node.id, len(numbers) + 1)
    lines = [
        {
            "number": numbers[line.node.id],
            "depth": line.depth,
            "kind": line.node.kind.replace("_", " ").capitalize(),
            "layer": line.node.layer,
            "glyph": Layer(line.node.layer).glyph if line.node.layer else "",
            "text": line.node.text,
            "claim": line.claim,
            "cut_by": ", ".join(line.cut_by),
            "risk": reasons.get(line.node.id, ""),
            "repeated": line.repeated,
        }
        for line in found
    ]
    uncut = list(check.uncut_paths)
    texts = {node.id: node.text for node in graph.nodes}
    verdict = (
        "Together the actions and accepted risks cut every path from a cause to the impact."
        if not uncut
        else _still_open(uncut, texts, more=check.more_uncut_paths)
    )
    return {"lines": lines, "uncut": uncut, "verdict": verdict, "numbers": numbers}


def _still_open(uncut: Sequence[tuple[int, ...]], words: Mapping[int, str], *, more: bool) -> str:
    starts = list(dict.fromkeys(words[path[0]] for path in uncut))
    named = "; ".join(f"“{text.strip().rstrip('.')}”" for text in starts[:2]) + (" and others" if starts[2:] else "")
    count = f"{'more than ' if more else ''}{len(uncut)} paths" if len(uncut) > 1 else "one path"
    return f"Still open: {count} to the impact that no action or accepted risk cuts, from {named}."


def reconciliation(record: Record) -> dict[str, list[dict[str, str]]]:
    """The join read the other way: versions that no log mentions, and changes that reached no trace."""
    if not record["finding"]:
        return {"never_logged": [], "never_observed": []}
    found = record["finding"]["result"]["reconciliation"]
    summaries = {one["id"]: one["summary"] for one in record["changes"]}
    # The finding compared only the traces of its windows; the ledger knows all.
    reached = {one["id"] for one in record["changes"] if one["exposed_count"]}
    return {
        "never_logged": [
            {
                "glyph": Layer(row["layer"]).glyph,
                "layer": row["layer"],
                "text": f"{facet_title(row['facet'])} {row['from'] or 'none'} → {row['to']}",
                "note": f"{when(row['at'])}, {row['count']:,} traces" + (f", {row['scope']}" if row["scope"] else ""),
            }
            for row in found["never_logged"]
        ],
        "never_observed": [
            {
                "glyph": Layer(row["layer"]).glyph,
                "layer": row["layer"],
                "text": summaries.get(row["change"], row["change"]),
                "note": row["reason"],
            }
            for row in found["never_observed"]
            if row["change"] not in reached
        ],
    }


def answers(record: Record) -> list[dict[str, Any]]:
    """All answers of the checklist, layer by layer."""
    words = {"yes": "Yes", "no": "No", "cannot_tell": "Cannot tell"}
    return [
        answer | {"layer": one["layer"], "glyph": Layer(one["layer"]).glyph, "word": words[answer["value"]]}
        for one in record["layers"]
        for answer in one["answers"]
    ]


def signatures(record: Record) -> str:
    """Who signed, in one line."""
    signed = [(one["sign_off"]["name"], Layer(one["layer"]).label) for one in record["layers"] if one["sign_off"]]
    if record["facilitator_sign_off"]:
        signed.append((record["facilitator_sign_off"]["name"], "facilitator"))
    # Outside a person is their part already: "the prompt lead", "the facilitator".
    return ", ".join(name if record.get("audience") else f"{name} ({part})" for name, part in signed)


def _span(seconds: float) -> str:
    return describe_duration(timedelta(seconds=seconds))
