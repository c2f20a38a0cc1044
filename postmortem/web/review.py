"""Review: the four layers at a glance, contributing factors and their graph, the timeline."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from postmortem.actions import selectors as actions
from postmortem.actions import services as action_services
from postmortem.actions.graph_editing import adopt_suggestion, suggestions
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, may
from postmortem.lib.errors import EditConflict, UserError
from postmortem.report.charts.graph import graph_chart
from postmortem.review import selectors, services
from postmortem.review.assembling import short_timeline, timeline
from postmortem.review.causal_graph import CausalGraph, check_graph, outline
from postmortem.review.models import CausalEdge, ContributingFactor
from postmortem.web import review_layer
from postmortem.web.actions import uncut_paths
from postmortem.web.factor_forms import ConnectForm, FactorForm, NewFactorForm, RiskForm
from postmortem.web.workspace import open_incident, render_stage

_TIMELINE_SHOWN = 12
_MOST_DRAWN = 20


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """Where the review stands: verdicts, factors, graph, timeline."""
    return _render(request, open_incident(request, number))


@require_POST
def factor_add(request: HttpRequest, number: str) -> HttpResponse:
    """Add a contributing factor; without a factor that it led to, it leads to the impact."""
    incident = open_incident(request, number, Capability.REVIEW)
    form = NewFactorForm(request.POST, incident=incident, auto_id="factor_%s")
    if form.is_valid():
        fields = {name: form.cleaned_data[name] for name in ("kind", "layer", "text", "change", "leads_to")}
        try:
            factor = services.add_factor(incident=incident, by=request.user, **fields)
            impact = incident.factors.filter(kind=ContributingFactor.Kind.IMPACT).exclude(pk=factor.pk).first()
            if fields["leads_to"] is None and impact is not None:
                services.connect(cause=factor, effect=impact, by=request.user)
            return _back(incident, factor)
        except UserError as error:
            form.add_error("text", str(error))
    return _render(request, incident, new_form=form)


@require_POST
def factor_adopt(request: HttpRequest, number: str) -> HttpResponse:
    """Add a factor that the latest attribution run suggests."""
    incident = open_incident(request, number, Capability.REVIEW)
    try:
        return _back(incident, adopt_suggestion(incident=incident, by=request.user, key=request.POST.get("key", "")))
    except UserError as error:
        messages.error(request, str(error))
    return redirect(reverse("review", args=[incident.number]) + "#factors")


@require_POST
def factor_edit(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Change a factor; refuses to overwrite what somebody else saved."""
    incident = open_incident(request, number, Capability.REVIEW)
    factor = get_object_or_404(incident.factors, pk=pk)
    form = FactorForm(request.POST, incident=incident, prefix=f"edit-{pk}")
    conflict: EditConflict | None = None
    if form.is_valid():
        fields = {name: form.cleaned_data[name] for name in ("kind", "layer", "text", "change")}
        try:
            services.update_factor(
                factor=factor, by=request.user, revision=form.cleaned_data["revision"] or 0, **fields
            )
            return _back(incident, factor)
        except EditConflict as error:
            conflict = error
            form.data = form.data.copy()
            form.data[form.add_prefix("revision")] = str(error.revision)
        except UserError as error:
            form.add_error("text", str(error))
    return _render(request, incident, forms_of={pk: {"edit": form}}, conflict=conflict)


@require_POST
def factor_remove(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Take a factor and its arrows out of the graph."""
    incident = open_incident(request, number, Capability.REVIEW)
    factor = get_object_or_404(incident.factors, pk=pk)
    try:
        action_services.remove_factor(factor=factor, by=request.user)
        messages.success(request, f"“{factor.text}” is out of the graph.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect(reverse("review", args=[incident.number]) + "#factors")


@require_POST
def factor_connect(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Say that a factor led to another one."""
    incident = open_incident(request, number, Capability.REVIEW)
    factor = get_object_or_404(incident.factors.select_related("incident"), pk=pk)
    form = ConnectForm(request.POST, factor=factor, prefix=f"connect-{pk}")
    if form.is_valid():
        try:
            services.connect(
                cause=factor, effect=form.cleaned_data["effect"], by=request.user, claim=form.cleaned_data["claim"]
            )
            return _back(incident, factor)
        except UserError as error:
            form.add_error("effect", str(error))
    return _render(request, incident, forms_of={pk: {"connect": form}})


@require_POST
def edge_remove(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Take an arrow out of the graph."""
    incident = open_incident(request, number, Capability.REVIEW)
    edge = get_object_or_404(CausalEdge.objects.select_related("incident", "cause"), pk=pk, incident=incident)
    try:
        services.disconnect(edge=edge, by=request.user)
    except UserError as error:
        messages.error(request, str(error))
    return _back(incident, edge.cause)


@require_POST
def risk_accept(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Leave a factor as it is, on purpose and by name."""
    incident = open_incident(request, number)
    factor = get_object_or_404(incident.factors.select_related("incident"), pk=pk)
    form = RiskForm(request.POST, prefix=f"risk-{pk}")
    if form.is_valid():
        try:
            services.accept_risk(factor=factor, by=request.user, reason=form.cleaned_data["reason"])
            return _back(incident, factor)
        except UserError as error:
            form.add_error("reason", str(error))
    return _render(request, incident, forms_of={pk: {"risk": form}})


@require_POST
def risk_withdraw(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Take an accepted risk back."""
    incident = open_incident(request, number)
    factor = get_object_or_404(incident.factors.select_related("incident"), pk=pk)
    try:
        services.withdraw_risk(factor=factor, by=request.user)
    except UserError as error:
        messages.error(request, str(error))
    return _back(incident, factor)


@require_POST
def sign_whole(request: HttpRequest, number: str) -> HttpResponse:
    """Sign the whole review as its facilitator."""
    incident = open_incident(request, number, Capability.SIGN)
    try:
        services.sign_off(incident=incident, by=request.user, content_sha256=request.POST.get("content") or None)
        messages.success(request, "You signed the review.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect(reverse("review", args=[incident.number]) + "#sign-off")


def _render(
    request: HttpRequest,
    incident: Incident,
    *,
    new_form: NewFactorForm | None = None,
    forms_of: dict[int, dict[str, forms.Form]] | None = None,
    conflict: EditConflict | None = None,
) -> HttpResponse:
    refused = new_form is not None or bool(forms_of)
    summaries = selectors.layer_summaries(incident)
    graph = actions.graph(incident)
    check = check_graph(graph)
    items = timeline(incident)
    factors = _factor_rows(request, incident, graph, forms_of or {})
    if new_form is None:
        new_form = NewFactorForm(
            incident=incident, auto_id="factor_%s", initial={"layer": request.GET.get("layer", "")[:20]}
        )
    context = {
        "summaries": selectors.review_order(summaries, incident.suspected_layer),
        "factors": factors,
        "a_factor_is_open": any(row.get("open") for row in factors),
        "graph": graph,
        "check": check,
        "uncut": uncut_paths(graph),
        # Of many factors a picture without search and zoom says nothing.
        "picture": SafeString(graph_chart(graph, check.uncut_paths, variant="screen"))
        if len(graph.nodes) <= _MOST_DRAWN
        else "",
        "outline": outline(graph),
        "new_form": new_form,
        "suggestions": suggestions(incident) if may(request.user, Capability.REVIEW, incident) else [],
        "next_layer": selectors.review_order(summaries, incident.suspected_layer)[0].layer.value,
        "conflict": conflict,
        "timeline": short_timeline(items, _TIMELINE_SHOWN),
        "timeline_more": max(0, len(items) - _TIMELINE_SHOWN),
        "sign": selectors.facilitator_sign(incident),
        "may_sign": may(request.user, Capability.SIGN, incident),
        "decided": sum(summary.verdict is not None for summary in summaries),
    }
    status = 409 if conflict else 400 if refused else 200
    return render_stage(request, "review/review.html", incident, "review", context, status=status)


def _factor_rows(
    request: HttpRequest, incident: Incident, graph: CausalGraph, given: dict[int, dict[str, forms.Form]]
) -> list[dict[str, Any]]:
    """Each factor with what it led to and what cuts it; only the one being changed carries its forms."""
    factors = list(selectors.factors(incident))
    names = {factor.pk: factor for factor in factors}
    asked = request.GET.get("factor", "")
    rows = []
    for factor in factors:
        row: dict[str, Any] = {
            "factor": factor,
            "is_impact": factor.kind == ContributingFactor.Kind.IMPACT,
            "effects": [
                (edge, names[edge.effect]) for edge in graph.edges if edge.cause == factor.pk and edge.effect in names
            ],
            "cut_by": graph.cut.get(factor.pk, ()),
        }
        if factor.pk in given or asked == str(factor.pk):
            row |= {"open": True} | _factor_forms(request, incident, factor, given.get(factor.pk, {}))
        rows.append(row)
    return rows


def _factor_forms(
    request: HttpRequest, incident: Incident, factor: ContributingFactor, given: dict[str, forms.Form]
) -> dict[str, Any]:
    """The forms of one factor; one that was refused comes in `given` and keeps what was typed."""
    initial = {name: getattr(factor, name) for name in ("text", "kind", "layer", "revision")}
    initial["change"] = factor.change_id
    edit = given.get("edit") or FactorForm(incident=incident, prefix=f"edit-{factor.pk}", initial=initial)
    return {
        "edit": edit,
        "connect": given.get("connect") or ConnectForm(factor=factor, prefix=f"connect-{factor.pk}"),
        "risk": given.get("risk") or RiskForm(prefix=f"risk-{factor.pk}"),
        "may_accept": may(request.user, Capability.DECIDE, incident, factor.layer),
    }


def _back(incident: Incident, factor: ContributingFactor) -> HttpResponse:
    return redirect(reverse("review", args=[incident.number]) + f"#factor-{factor.pk}")


urlpatterns = [
    path("incidents/<str:number>/review/", page, name="review"),
    path("incidents/<str:number>/review/sign/", sign_whole, name="review-sign"),
    path("incidents/<str:number>/review/factors/add/", factor_add, name="factor-add"),
    path("incidents/<str:number>/review/factors/adopt/", factor_adopt, name="factor-adopt"),
    path("incidents/<str:number>/review/factors/<int:pk>/edit/", factor_edit, name="factor-edit"),
    path("incidents/<str:number>/review/factors/<int:pk>/remove/", factor_remove, name="factor-remove"),
    path("incidents/<str:number>/review/factors/<int:pk>/connect/", factor_connect, name="factor-connect"),
    path("incidents/<str:number>/review/factors/<int:pk>/accept/", risk_accept, name="risk-accept"),
    path("incidents/<str:number>/review/factors/<int:pk>/withdraw/", risk_withdraw, name="risk-withdraw"),
    path("incidents/<str:number>/review/edges/<int:pk>/remove/", edge_remove, name="edge-remove"),
    *review_layer.urlpatterns,
]
