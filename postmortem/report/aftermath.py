"""What the answers ran on, how the incident was contained, and what can still go wrong, from the record alone. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from postmortem.attribution.measured import measured_clocks
from postmortem.attribution.wording import facet_words
from postmortem.changes.reconcile import VERSION_FACETS
from postmortem.lib.clock import parse_moment
from postmortem.lib.layers import Layer
from postmortem.report import present

Record = Mapping[str, Any]

NOTHING_LEFT = "No risk was accepted, no layer stays open, and every action is verified."
_TITLED = 4
_CLEANING = ("mitigate", "recover")


def versions(record: Record) -> list[dict[str, Any]]:
    """Rows of `version_rows` of the record's finding."""
    return version_rows(record["finding"]["result"]) if record["finding"] else []


def version_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The version tuple: one row a facet, with its values before and in the incident, the changed ones first."""
    found = [
        {
            "layer": row["layer"],
            "glyph": Layer(row["layer"]).glyph,
            "facet": _begun(facet_words(row["facet"])) if row["facet"] in VERSION_FACETS else row["facet"],
            "before": _window_text(row["before"]),
            "after": _window_text(row["after"]),
            "moved": _has_moved(row["before"]["values"], row["after"]["values"]),
        }
        for row in result.get("versions", ())
    ]
    return sorted(found, key=lambda row: not row["moved"])


def versions_note(result: Mapping[str, Any]) -> str:
    """How many traces the two columns speak of, "" without any."""
    rows = result.get("versions", ())
    if not rows:
        return ""
    return (
        f"Of the traces that carry {result['signal']['label']}: {rows[0]['before']['traces']:,} in the baseline "
        f"window, {rows[0]['after']['traces']:,} in the incident's."
    )


def _has_moved(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a version came or went, or another one leads."""
    one, other = ([row["value"] for row in rows] for rows in (before, after))
    return set(one) != set(other) or one[:1] != other[:1]


def _window_text(window: Mapping[str, Any]) -> str:
    total = max(window["traces"], 1)
    parts = [f"{one['value']} ({_percent(one['count'], total)})" for one in window["values"]]
    if window["more"]:
        parts.append(f"{window['more']} more")
    if window["unrecorded"]:
        parts.append(f"not recorded ({_percent(window['unrecorded'], total)})")
    return ", ".join(parts) or "–"


def _percent(count: int, total: int) -> str:
    share = 100 * count / total
    if 0 < share < 1:
        return "under 1%"
    return f"{min(round(share), 99) if count < total else 100}%"


def containment(record: Record) -> list[str]:
    """How it ended, in sentences: when people acted, when the signal and its users came back, what was cleaned up."""
    incident, finding = record["incident"], record["finding"]
    told = []
    times = {name: parse_moment(incident[name]) if incident[name] else None for name in ("detected_at", "mitigated_at")}
    clocks = measured_clocks(
        finding["result"] if finding else {}, detected=times["detected_at"], mitigated=times["mitigated_at"]
    )
    measured = {one.label: one for one in clocks}
    if mitigated := measured.get("Detection to mitigation"):
        told.append(f"{_begun(mitigated.note)}, {mitigated.value} after detection.")
    elif times["mitigated_at"] is None:
        told.append("No mitigation is recorded.")
    if (back := measured.get("Signal back")) and (gone := measured.get("Harm gone since")):
        when = f"The signal came back {back.value} ({back.note})"
        share = finding["result"]["recovery"]["share"]["estimate"]
        gone_text = (
            f"all of the harm ({gone.value}, {gone.note})" if share >= 1 else f"{gone.value} ({gone.note}) of the harm"
        )
        told.append(f"{when}; {gone_text} is gone since then.")
    elif back:
        told.append(f"Whether the signal came back is not measured: {back.note}.")
    if incident["users_recovered_at"]:
        moment = parse_moment(incident["users_recovered_at"])
        told.append(f"The people affected were put right by {moment.day} {moment:%b %Y %H:%M} UTC.")
    cleaning = [one for one in _standing(record) if one["kind"] in _CLEANING]
    if cleaning:
        told.append(f"Actions that mitigate or recover: {_listed(cleaning)}.")
    return told


def residual_risk(record: Record) -> list[str]:
    """What can still go wrong: accepted risks, layers that stay open, actions that are not verified; one line each."""
    told = [
        f"Accepted by {one['risk_accepted_by']}: {_sentence(one['text'])} {one['risk_accepted_reason']}".strip()
        for one in record["factors"]
        if one["risk_accepted_by"]
    ]
    told += [
        f"{Layer(one['layer']).label} stays open: {one['reason'] or 'no reason is recorded.'}"
        for one in record["layers"]
        if one["verdict"] == "insufficient"
    ]
    undecided = [Layer(one["layer"]).label for one in record["layers"] if not one["verdict"]]
    if undecided:
        told.append(f"No verdict yet: {', '.join(undecided)}.")
    standing = _standing(record)
    if not standing:
        told.append("No action is recorded.")
    waiting = [one for one in standing if one["status"] != "verified"]
    if waiting:
        last = max(date.fromisoformat(one["due_on"]) for one in waiting)
        told.append(
            f"{_not_verified(len(waiting), len(standing))} verified yet; the last is due {last.day} {last:%B %Y}."
        )
    return told


def _not_verified(waiting: int, count: int) -> str:
    if waiting == count:
        return "The only action is not" if count == 1 else f"None of the {count} actions is"
    return f"{waiting} of {count} actions {'is' if waiting == 1 else 'are'} not"


def _listed(actions: Sequence[Mapping[str, Any]]) -> str:
    """A few with their titles, more by their numbers."""
    if len(actions) <= _TITLED:
        return "; ".join(f"{one['ref']} {one['title']} ({one['status_label'].lower()})" for one in actions)
    verified = sum(one["status"] == "verified" for one in actions)
    numbers = ", ".join(one["ref"] for one in actions)
    return f"{numbers} ({verified} of {len(actions)} verified)"


def _standing(record: Record) -> list[dict[str, Any]]:
    return [one for one in present.actions(record) if one["status"] != "dropped"]


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."
