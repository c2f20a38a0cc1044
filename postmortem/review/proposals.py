"""What a finding's JSON proposes for a layer. No Django here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postmortem.lib.layers import LAYERS, Layer

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


def proposed_reason(result: Mapping[str, Any] | None, layer: Layer, most: int = 2) -> str:
    """A draft of the verdict's reason: the first sentences that speak the way the proposal goes, "" without any."""
    value, _ = proposed_verdict(result, layer)
    said: dict[str, list[str]] = {"for": [], "against": []}
    for one in proposed_evidence(result, layer):
        said[one.direction].append(one.text)
    chosen = {"in": said["for"], "out": said["against"]}.get(value, said["for"][:1] + said["against"][:1])
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in chosen[:most])


def heard_order(probabilities: Mapping[str, float | None], suspected: str = "") -> list[Layer]:
    """The layers so that the most suspected ones are heard last: who begins with them stops looking.

    Last comes `suspected`, the layer that the team named first, before it the attribution's favourite. A model that
    the attribution favours comes after both: that the model did it is decided after the other three.
    """
    known = {layer: value for layer in LAYERS if (value := probabilities.get(layer.value)) is not None}
    favourite = max(known, key=lambda layer: known[layer], default=None)

    def place(layer: Layer) -> tuple[bool, bool, bool]:
        return layer is favourite is Layer.MODEL, layer.value == suspected, layer is favourite

    return sorted(LAYERS, key=place)


def _row(result: Mapping[str, Any] | None, layer: Layer) -> Mapping[str, Any]:
    rows = (result or {}).get("layers") or []
    return next((row for row in rows if row.get("layer") == layer.value), {})
