"""Facets: what the traces say about themselves, what was not logged, and the house's own facets by path."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.traces import own_facets
from postmortem.traces.logging_score import FACET_WORTH, Gap, logging_score
from postmortem.traces.models import FacetRule
from postmortem.traces.selectors import facet_coverage
from postmortem.traces.texts import unread_count
from postmortem.web.workspace import open_incident, render_stage

_PLACES = 4


class RuleForm(forms.Form):
    """A facet by path."""

    name = forms.CharField(
        max_length=40,
        help_text="Small letters, digits and _, for example customer_tier; a known name such as region fills its gaps.",
        error_messages={"required": "Name the facet."},
    )
    path = forms.CharField(
        max_length=300,
        help_text="Where rows hold it: metadata.customer.tier, userId, input.locale, tags.plan.",
        error_messages={"required": "Say where the rows hold it."},
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
    )


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """Every facet with where it was found and in what share; `try` shows what a path would find."""
    incident = open_incident(request, number)
    initial = {name: request.GET.get(name, "")[:300] for name in ("name", "path")}
    return _render(request, incident, RuleForm(initial=initial), tried=initial["path"])


@require_POST
def add(request: HttpRequest, number: str) -> HttpResponse:
    """Add a facet of the house; stored traces are read again in the background."""
    incident = open_incident(request, number, Capability.CONFIGURE)
    form = RuleForm(request.POST)
    if form.is_valid():
        try:
            rule = own_facets.add_rule(by=request.user, **form.cleaned_data)
            messages.success(request, f"{rule.name} is read from all stored traces now, in the background.")
            return redirect("facets", incident.number)
        except UserError as error:
            form.add_error(None, str(error))
    return _render(request, incident, form, status=400)


@require_POST
def retire(request: HttpRequest, number: str, rule: int) -> HttpResponse:
    """Retire a facet of the house; what it gave to stored traces is taken back."""
    incident = open_incident(request, number, Capability.CONFIGURE)
    require(request.user, Capability.CONFIGURE)
    row = get_object_or_404(FacetRule, pk=rule, retired_at=None)
    own_facets.retire_rule(rule=row, by=request.user)
    messages.success(request, f"{row.name} is retired; workers take its values back from stored traces.")
    return redirect("facets", incident.number)


def _render(
    request: HttpRequest, incident: Incident, form: RuleForm, *, tried: str = "", status: int = 200
) -> HttpResponse:
    coverage = facet_coverage(incident)
    score = logging_score({facet.name: facet.share for facet in coverage})
    places: dict[str, list[own_facets.FacetPlace]] = {}
    for place in own_facets.facet_places(incident):
        places.setdefault(place.facet, []).append(place)
    rules = own_facets.rules_in_force()
    for rule in rules:
        places.setdefault(rule.name, []).append(own_facets.FacetPlace(rule.name, f"own rule: {rule.path}", 0.0))
    trial, refused = None, ""
    if tried:
        try:
            trial = own_facets.try_path(incident, tried)
        except UserError as error:
            refused = str(error)
    context = {
        "score": score,
        "gaps": [(gap, _action_link(incident, gap)) for gap in score.gaps],
        "rows": [
            (facet, places.get(facet.name, [])[:_PLACES], FACET_WORTH.get(facet.name))
            for facet in sorted(coverage, key=lambda facet: -facet.share)
        ],
        "has_traces": any(facet.count for facet in coverage),
        "rules": rules,
        "form": form,
        "tried": tried,
        "trial": trial,
        "refused": refused,
        "unread": unread_count(incident),
    }
    return render_stage(request, "traces/facets.html", incident, "evidence", context, status=status)


def _action_link(incident: Incident, gap: Gap) -> str:
    """The form of a new action item, filled in."""
    values: dict[str, Any] = {
        "title": f"Record {gap.facet} on every trace",
        "layer": gap.worth.layer.value,
        "kind": "instrument",
        "verification": f"{gap.worth.remedy} Verified when {gap.facet} is found on at least 95 % of one day's traces.",
    }
    return f"{reverse('action-new', args=[incident.number])}?{urlencode(values)}"


urlpatterns = [
    path("incidents/<str:number>/facets/", page, name="facets"),
    path("incidents/<str:number>/facets/add/", add, name="facet-add"),
    path("incidents/<str:number>/facets/<int:rule>/retire/", retire, name="facet-retire"),
]
