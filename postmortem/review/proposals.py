"""What a finding's JSON proposes for a layer. No Django here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postmortem.lib.layers import Layer

_VERDICTS = {"ruled_in": "in", "ruled_out": "out", "open": "insufficient"}


@dataclass(frozen=True, slots=True)
class ProposedEvidence:
    """A sentence of the attribution for ("for") or against ("against") a layer; `change_id` may be ""."""

    direction: str
    text: str
    change_id: str


def proposed_verdict(result: Mapping[str, Any] | None, layer: Layer) -> tuple[str, float | None]:
    """The verdict that a finding proposes ("in", "out", "insufficient", "" before a run) and the probability."""
    row = _row(result, layer)
    probability = row.get("probability")
    return _VERDICTS.get(str(row.get("verdict")), ""), None if probability is None else float(probability)


def proposed_evidence(result: Mapping[str, Any] | None, layer: Layer) -> list[ProposedEvidence]:
    """The finding's sentences for and against a cause in `layer`; empty texts are left out."""
    row = _row(result, layer)
    return [
        ProposedEvidence(direction, str(entry["text"]), str(entry.get("change") or ""))
        for direction in ("for", "against")
        for entry in row.get(direction) or []
        if entry.get("text")
    ]


def _row(result: Mapping[str, Any] | None, layer: Layer) -> Mapping[str, Any]:
    rows = (result or {}).get("layers") or []
    return next((row for row in rows if row.get("layer") == layer.value), {})
