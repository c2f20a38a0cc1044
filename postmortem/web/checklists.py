"""Versions of the checklist: what they ask, a new one made from another, and which one an incident is answered by."""

import json

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, may, require
from postmortem.incidents.selectors import get_incident
from postmortem.lib.errors import UserError
from postmortem.review.question_sets import (
    pin_version,
    publish_version,
    question_data,
    question_set,
    version_of,
    versions,
)
from postmortem.web.workspace import open_incident


class VersionForm(forms.Form):
    """A new version of the questions, as JSON."""

    version = forms.CharField(max_length=20, help_text="Letters, digits, dots and dashes, for example 2026-3.")
    note = forms.CharField(max_length=300, required=False, label="What changed")
    questions = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 28, "class": "mono", "spellcheck": "false"}),
        max_length=400_000,
        help_text="“when” says on which evidence a question appears: changes, gradual, rollback, signal, facet:name.",
    )

    def clean_questions(self) -> object:
        """The JSON object."""
        try:
            return json.loads(self.cleaned_data["questions"])
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is not JSON: {error}.") from error


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Every version; for an incident also which one it is answered by."""
    incident = _incident(request)
    context = {
        "lines": versions(),
        "incident": incident,
        "pinned": version_of(incident) if incident else "",
        "may_pin": incident is not None and may(request.user, Capability.MANAGE, incident),
        "may_make": may(request.user, Capability.CONFIGURE),
    }
    return render(request, "review/checklists.html", context)


@require_GET
def show(request: HttpRequest, version: str) -> HttpResponse:
    """The questions of one version."""
    try:
        checklist = question_set(version)
    except ValueError as error:
        raise Http404(str(error)) from error
    sections = [(layer.label, questions) for layer, questions in checklist.sections.items()]
    if checklist.detection:
        sections.append(("Detection", checklist.detection))
    context = {"version": version, "sections": sections, "may_make": may(request.user, Capability.CONFIGURE)}
    return render(request, "review/checklist_version.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Administrators make a version from another one."""
    require(request.user, Capability.CONFIGURE)
    if request.method == "POST":
        form = VersionForm(request.POST)
        if form.is_valid():
            data = form.cleaned_data
            try:
                publish_version(by=request.user, version=data["version"], data=data["questions"], note=data["note"])
                messages.success(request, f"{data['version']} is what new incidents are answered by.")
                return redirect("checklists")
            except UserError as error:
                form.add_error("questions", str(error))
    else:
        start = request.GET.get("from", "")[:20] or versions()[0].version
        try:
            shown = json.dumps(question_data(start), ensure_ascii=False, indent=1)
        except ValueError as error:
            raise Http404(str(error)) from error
        form = VersionForm(initial={"questions": shown})
    return render(request, "review/checklist_new.html", {"form": form}, status=400 if form.errors else 200)


@require_POST
def pin(request: HttpRequest, number: str) -> HttpResponse:
    """Answer an incident by another version from now on."""
    incident = open_incident(request, number, Capability.MANAGE)
    try:
        version = pin_version(incident=incident, by=request.user, version=request.POST.get("version", "")[:20])
        messages.success(request, f"{incident.number} is answered by {version}.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect(reverse("checklists") + f"?incident={incident.number}")


def _incident(request: HttpRequest) -> Incident | None:
    try:
        return get_incident(request.user, request.GET.get("incident", "")[:20])
    except Incident.DoesNotExist:
        return None


urlpatterns = [
    path("checklists/", index, name="checklists"),
    path("checklists/new/", new, name="checklist-new"),
    path("checklists/<str:version>/", show, name="checklist-version"),
    path("incidents/<str:number>/review/checklist/pin/", pin, name="checklist-pin"),
]
