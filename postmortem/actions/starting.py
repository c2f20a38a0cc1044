"""What an action item begins with when it is made from a factor, a connection, a missing facet or a verdict."""

from typing import Any

from postmortem.actions.models import ActionItem
from postmortem.attribution.selectors import latest_finding
from postmortem.incidents.models import Incident
from postmortem.incidents.selectors import layer_lead
from postmortem.lib.layers import LAYERS, Layer
from postmortem.review.models import ContributingFactor
from postmortem.traces.signals import SIGNALS

Kind = ActionItem.Kind
_KINDS = {
    ContributingFactor.Kind.DETECTION_GAP: Kind.DETECT,
    ContributingFactor.Kind.AMPLIFIER: Kind.MITIGATE,
}
_DAYS = 7


def action_start(
    incident: Incident, *, cuts: str = "", edge: str = "", facet: str = "", verdict: str = "", layer: str = ""
) -> dict[str, Any]:
    """Values to start the form with; whatever names nothing of this incident is left out.

    `cuts` and `edge` are ids as text, `facet` a facet that traces lack, `verdict` the layer whose verdict is
    undecided or INSUFFICIENT, `layer` where a facet belongs.
    """
    if facet:
        title, shown = f"Log the facet {facet} on every trace", f"{facet} is on all traces for 7 days"
        return _instrument(incident, layer, title, shown)
    if verdict in LAYERS:
        name = Layer(verdict).label.lower()
        title = f"Log what it takes to decide the {name} layer next time"
        return _instrument(incident, verdict, title, f"The {name} layer can be decided from the traces for 7 days")
    factor = incident.factors.filter(pk=_number(cuts)).exclude(kind=ContributingFactor.Kind.IMPACT).first()
    arrow = incident.causal_edges.select_related("cause", "effect").filter(pk=_number(edge)).first()
    if factor is None and arrow is not None:
        factor = arrow.cause
    if factor is None:
        return {}
    start: dict[str, Any] = {
        "cuts_factor": factor.pk, "layer": factor.layer, "kind": _KINDS.get(factor.kind, Kind.PREVENT),
    } | _owner(incident, factor.layer) | _plan(incident)  # fmt: skip
    if arrow is not None:
        start["title"] = f"Keep “{arrow.cause.text[:70]}” from leading to “{arrow.effect.text[:70]}”"
    return start


def _instrument(incident: Incident, layer: str, title: str, verification: str) -> dict[str, Any]:
    start: dict[str, Any] = {"title": title[:200], "kind": Kind.INSTRUMENT, "verification": verification}
    return start | ({"layer": layer} | _owner(incident, layer) if layer in LAYERS else {})


def _owner(incident: Incident, layer: str) -> dict[str, Any]:
    lead = layer_lead(incident, layer)
    return {"owner": lead.pk} if lead is not None and lead.is_active else {}


def _plan(incident: Incident) -> dict[str, Any]:
    """The incident's own signal for a week, back within its baseline: the near end of the baseline's interval."""
    if not incident.signal:
        return {}
    worse = SIGNALS[incident.signal].worse if incident.signal in SIGNALS else incident.worse
    comparison = "at_most" if worse == "higher" else "at_least"
    start: dict[str, Any] = {"signal": incident.signal, "comparison": comparison, "days": _DAYS}
    finding = latest_finding(incident)
    interval = ((finding.result.get("windows") or {}).get("baseline") or {}).get("interval") if finding else None
    if interval:
        start["threshold"] = round(interval[comparison == "at_most"], 4)
    return start


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 19 else 0
