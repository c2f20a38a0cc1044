"""Factors that the findings suggest for the causal graph, as a start that people edit. No Django here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from postmortem.attribution.wording import facet_title, probability_text
from postmortem.lib.clock import describe_duration

_LEAST = 0.05  # probability from which a change is worth a node
_MOST = 8
_LATE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A factor to add. `key` names it; `change` is the logged change's external id, "" without one.

    `leads_to` is the key of the suggestion that it brought about, "" for the impact. `why` says what suggests it.
    """

    key: str
    kind: str
    layer: str
    text: str
    why: str
    change: str = ""
    leads_to: str = ""


@dataclass(frozen=True, slots=True)
class ChangeSketch:
    """What is known of a logged change: words, layer, rollout."""

    id: str
    layer: str
    summary: str
    rollout: str


def suggest_factors(
    result: Mapping[str, Any],
    changes: Mapping[str, ChangeSketch],
    *,
    there: Collection[str],
    texts: Collection[str],
    onset: datetime | None,
    detected: datetime | None,
) -> list[Suggestion]:
    """What a finding suggests and the graph does not hold yet.

    `there` are ids of changes that have a factor, `texts` the factors' words.
    """
    found = [*_changes(result, changes, there), *_moves(result), *_detection(onset, detected)]
    return [one for one in found if one.text not in texts][:_MOST]


def _changes(
    result: Mapping[str, Any], changes: Mapping[str, ChangeSketch], there: Collection[str]
) -> list[Suggestion]:
    found = []
    rows: Sequence[Mapping[str, Any]] = result.get("hypotheses") or []
    for row in sorted(rows, key=lambda one: -float(one.get("probability") or 0)):
        probability = float(row.get("probability") or 0)
        if row.get("kind") != "change" or probability < _LEAST or not row.get("changes"):
            continue
        change = changes.get(str(row["changes"][0]))
        if change is None:
            continue
        key, why = f"change-{change.id}", f"{probability_text(probability)} in the latest run"
        if change.id not in there:
            found.append(Suggestion(key, "trigger", change.layer, change.summary[:300], why, change=change.id))
        if change.rollout == "instant":
            text = f"It reached all traffic at once: {change.summary}"[:300]
            found.append(Suggestion(f"instant-{change.id}", "amplifier", change.layer, text, "its rollout was instant"))
    return found


def _moves(result: Mapping[str, Any]) -> list[Suggestion]:
    moves = (result.get("reconciliation") or {}).get("never_logged") or []
    return [
        Suggestion(
            f"unlogged-{move['facet']}-{move['at']}", "latent_condition", str(move["layer"]),
            f"{facet_title(move['facet'])} moved from {move['from']} to {move['to']}, and no log mentioned it"[:300],
            f"{move.get('count', 0):,} traces show it",
        )
        for move in moves[:3]
    ]  # fmt: skip


def _detection(onset: datetime | None, detected: datetime | None) -> list[Suggestion]:
    if onset is None or detected is None or detected - onset < _LATE:
        return []
    text = f"Nothing told anybody for {describe_duration(detected - onset)}"
    return [Suggestion("detection", "detection_gap", "infrastructure", text, "onset and detection")]
