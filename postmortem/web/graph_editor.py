"""The editor of the causal graph: the server is the truth, every edit is one POST that answers with the new graph."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from postmortem.actions import graph_editing as editing
from postmortem.actions import selectors as actions
from postmortem.actions import services as action_services
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import LAYERS
from postmortem.report.charts.graph import graph_chart
from postmortem.review import factors
from postmortem.review.causal_graph import check_graph, outline
from postmortem.review.models import ContributingFactor
from postmortem.web.actions import uncut_paths
from postmortem.web.workspace import open_incident, render_stage


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """The graph to edit by mouse and keyboard, with the same graph as an outline."""
    incident = open_incident(request, number)
    graph = actions.graph(incident)
    check = check_graph(graph)
    context = {
        "state": editing.graph_state(incident, request.user),
        "picture": SafeString(graph_chart(graph, check.uncut_paths, variant="screen")),
        "outline": outline(graph),
        "uncut": uncut_paths(graph),
        "layers": [(layer.value, layer.label, layer.glyph) for layer in LAYERS],
        "kinds": [choice for choice in ContributingFactor.Kind.choices if choice[0] != "impact"],
        "changes": incident.feature.changes.order_by("-at")[:200],
        "action_url": reverse("action-new", args=[incident.number]),
    }
    return render_stage(request, "review/graph.html", incident, "review", context)


@require_POST
def edit(request: HttpRequest, number: str) -> JsonResponse:
    """One edit; answers with the graph as it is now, or with a sentence (400, 409) and the graph."""
    incident = open_incident(request, number, Capability.REVIEW)
    act = _ACTS.get(request.POST.get("act", ""))
    status, said, selected = 200, "", 0
    try:
        if act is None:
            raise UserError("The editor knows no such step; reload the page.")
        said, selected = act(request, incident)
    except EditConflict as error:
        status, said = 409, str(error)
    except UserError as error:
        status, said = 400, str(error)
    shown = editing.graph_state(incident, request.user, editing.graph_view(request.POST))
    return JsonResponse({"said": said, "selected": selected, "state": shown}, status=status)


@require_GET
def state(request: HttpRequest, number: str) -> JsonResponse:
    """The graph as it is now, folded as asked: `hide`, `around`, `open`."""
    incident = open_incident(request, number)
    return JsonResponse(editing.graph_state(incident, request.user, editing.graph_view(request.GET)))


_Act = Callable[[HttpRequest, Incident], tuple[str, int]]


def _add(request: HttpRequest, incident: Incident) -> tuple[str, int]:
    data = request.POST
    leads_to = _factor(incident, data["leads_to"]) if data.get("leads_to") else None
    factor = editing.add_connected(
        incident=incident, by=request.user, kind=data.get("kind", ""), layer=data.get("layer", ""),
        text=data.get("text", ""), change=_change(incident, data.get("change", "")), leads_to=leads_to,
    )  # fmt: skip
    return "Added.", factor.pk


def _update(request: HttpRequest, incident: Incident) -> tuple[str, int]:
    data, factor = request.POST, _factor(incident, request.POST.get("id", ""))
    fields: dict[str, Any] = {"text": data.get("text", "")}
    if factor.kind != ContributingFactor.Kind.IMPACT:
        fields |= {"kind": data.get("kind", ""), "layer": data.get("layer", "")}
        fields["change"] = _change(incident, data.get("change", ""))
    factors.update_factor(factor=factor, by=request.user, revision=_number(data.get("revision")), **fields)
    return "Saved.", factor.pk


def _regroup(request: HttpRequest, incident: Incident) -> tuple[str, int]:
    chosen = [_factor(incident, pk) for pk in request.POST.getlist("id")[: factors.MOST_FACTORS]]
    kind, layer = request.POST.get("kind", ""), request.POST.get("layer", "")
    moved = factors.regroup(factors=chosen, by=request.user, layer=layer, kind=kind)
    return f"Moved {len(moved)}.", moved[0].pk


def _remove(request: HttpRequest, incident: Incident) -> tuple[str, int]:
    factor = _factor(incident, request.POST.get("id", ""))
    action_services.remove_factor(factor=factor, by=request.user)
    return f"“{factor.text}” is out of the graph.", 0


def _connect(request: HttpRequest, incident: Incident) -> tuple[str, int]:
    cause, effect = (_factor(incident, request.POST.get(name, "")) for name in ("cause", "effect"))
    factors.connect(cause=cause, effect=effect, by=request.user, claim=request.POST.get("claim", ""))
    return "Connected.", cause.pk


def _claim(request: HttpRequest, incident: Incident) -> tuple[str, int]:
    edges = incident.causal_edges.select_related("cause", "effect", "incident__feature")
    edge = get_object_or_404(edges, pk=_number(request.POST.get("id")))
    factors.set_claim(edge=edge, by=request.user, claim=request.POST.get("claim", ""))
    return "Saved.", 0


def _disconnect(request: HttpRequest, incident: Incident) -> tuple[str, int]:
    edges = incident.causal_edges.select_related("cause", "effect", "incident__feature")
    edge = get_object_or_404(edges, pk=_number(request.POST.get("id")))
    factors.disconnect(edge=edge, by=request.user)
    return "Disconnected.", edge.cause_id


def _adopt(request: HttpRequest, incident: Incident) -> tuple[str, int]:
    key = request.POST.get("key", "")
    return "Added.", editing.adopt_suggestion(incident=incident, by=request.user, key=key).pk


def _undo(request: HttpRequest, incident: Incident) -> tuple[str, int]:
    return f"Undone: {editing.undo_step(incident=incident, by=request.user)}", 0


def _redo(request: HttpRequest, incident: Incident) -> tuple[str, int]:
    return f"Done again: {editing.redo_step(incident=incident, by=request.user)}", 0


_ACTS: dict[str, _Act] = {
    "add": _add, "update": _update, "regroup": _regroup, "remove": _remove, "connect": _connect, "claim": _claim,
    "disconnect": _disconnect, "adopt": _adopt, "undo": _undo, "redo": _redo,
}  # fmt: skip


def _factor(incident: Incident, pk: str) -> ContributingFactor:
    factor = incident.factors.select_related("incident__feature").filter(pk=_number(pk)).first()
    if factor is None:
        raise UserError("Somebody removed this factor meanwhile.")
    return factor


def _change(incident: Incident, external_id: str) -> Any:
    if not external_id:
        return None
    change = incident.feature.changes.filter(external_id=external_id).first()
    if change is None:
        raise UserError("That change is not in the logs any more; choose another.")
    return change


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 19 else 0


urlpatterns = [
    path("incidents/<str:number>/graph/", page, name="graph-editor"),
    path("incidents/<str:number>/graph/state/", state, name="graph-state"),
    path("incidents/<str:number>/graph/edit/", edit, name="graph-edit"),
]
