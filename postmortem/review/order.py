"""The order that fights bias: the first suspect is not examined first, and the model is not blamed first."""

from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYERS, Layer
from postmortem.review.models import Verdict


def refuse_suspect_first(incident: Incident, layer: Layer) -> None:
    """Raise UserError when `layer` is the team's first suspect and nobody has examined another layer yet."""
    if incident.suspected_layer != layer.value:
        return
    if incident.checklist_answers.exclude(layer=layer.value).exists():
        return
    if incident.verdicts.exclude(layer=layer.value).exists() or incident.checklist_answers.filter(layer=layer).exists():
        return
    raise UserError(
        f"{layer.label} is what the team suspected first, so it is not examined first: answer a question of another"
        " layer before."
    )


def refuse_out_of_order(incident: Incident, layer: Layer, value: str) -> None:
    """Raise UserError when a verdict comes too early.

    "The model did it" is decided after the other three; the team's first suspect is not decided first.
    """
    decided = set(incident.verdicts.values_list("layer", flat=True))
    if layer.value in decided:
        return  # it has its place already; changing it is free
    if layer is Layer.MODEL and value == Verdict.Value.IN:
        open_layers = [other.label.lower() for other in LAYERS if other is not layer and other.value not in decided]
        if open_layers:
            raise UserError(
                f"Decide {', '.join(open_layers)} first: that the model did it is decided after the other three layers."
            )
    if incident.suspected_layer == layer.value and not decided:
        raise UserError(f"{layer.label} is what the team suspected first, so it is not decided first: decide another.")


def blocked_by_order(incident: Incident, layer: Layer, decided: set[str]) -> str:
    """What the layer's page says while its verdict IN has to wait, "" when it need not."""
    if layer.value in decided:
        return ""
    if incident.suspected_layer == layer.value and not decided:
        return "The team suspected this layer first, so another one is decided before it."
    waiting = [other.label for other in LAYERS if other is not layer and other.value not in decided]
    if layer is Layer.MODEL and waiting:
        return f"IN can be decided after {', '.join(waiting)}: the model is blamed last."
    return ""
