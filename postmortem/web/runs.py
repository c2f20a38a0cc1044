"""Background runs as people see them: progress, cancel, try again."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, may, require
from postmortem.lib.errors import UserError
from postmortem.pipeline import background
from postmortem.pipeline.models import Run
from postmortem.web.workspace import open_incident

ACTIVE = (Run.State.QUEUED, Run.State.RUNNING)
_STAGE_OF = {
    Run.Kind.IMPORT_LINK: "evidence",
    Run.Kind.IMPORT_WINDOW: "evidence",
    Run.Kind.IMPORT_FILE: "evidence",
    Run.Kind.READ_TEXTS: "label",
    Run.Kind.IMPORT_PROMPTS: "changes",
    Run.Kind.ATTRIBUTE: "attribution",
    Run.Kind.RENDER: "report",
    Run.Kind.DRAFT: "report-proposals",
    Run.Kind.PREPARE: "incident-overview",
}


_NEEDED = {
    Run.Kind.RENDER: Capability.VIEW,
    Run.Kind.PREPARE: Capability.VIEW,
    Run.Kind.DRAFT: Capability.REVIEW,
}


def shown_runs(incident: Incident, kinds: tuple[str, ...]) -> list[Run]:
    """Runs of these kinds that somebody should see: those at work, and the latest one if it did not end well."""
    recent = list(incident.runs.filter(kind__in=kinds).select_related("started_by")[:10])
    at_work = [run for run in recent if run.state in ACTIVE]
    if not at_work and recent and recent[0].state in (Run.State.FAILED, Run.State.CANCELLED):
        return [recent[0]]
    return at_work


def run_context(request: HttpRequest, incident: Incident, run: Run) -> dict[str, Any]:
    """What `web/_run.html` draws."""
    return {
        "run": run,
        "incident": incident,
        "active": run.state in ACTIVE,
        "may_import": may(request.user, _NEEDED.get(Run.Kind(run.kind), Capability.IMPORT), incident),
        "stage_url": reverse(_STAGE_OF[Run.Kind(run.kind)], args=[incident.number]),
    }


@require_GET
def status(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """One run's progress; the page asks every second while it works, and is told when it has ended."""
    incident = open_incident(request, number)
    run = get_object_or_404(incident.runs.select_related("started_by"), pk=pk)
    context = run_context(request, incident, run)
    if not request.htmx:
        return redirect(context["stage_url"])
    response = render(request, "web/_run.html", context)
    if not context["active"]:
        response["HX-Trigger"] = "run-ended"
    return response


@require_POST
def cancel(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Stop a run at its next step; what it has stored stays."""
    return _act(request, number, pk, background.cancel)


@require_POST
def retry(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Put a run that ended badly back in the queue; it goes on where it broke off."""
    return _act(request, number, pk, background.retry)


def _act(request: HttpRequest, number: str, pk: int, act: Any) -> HttpResponse:
    incident = open_incident(request, number)
    run = get_object_or_404(incident.runs.select_related("started_by"), pk=pk)
    require(request.user, _NEEDED.get(Run.Kind(run.kind), Capability.IMPORT), incident)
    try:
        act(run, request.user)
    except UserError as error:
        messages.error(request, str(error))
    run.refresh_from_db()
    context = run_context(request, incident, run)
    if request.htmx:
        return render(request, "web/_run.html", context)
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
        target = context["stage_url"]
    return redirect(target)


urlpatterns = [
    path("incidents/<str:number>/runs/<int:pk>/", status, name="run-status"),
    path("incidents/<str:number>/runs/<int:pk>/cancel/", cancel, name="run-cancel"),
    path("incidents/<str:number>/runs/<int:pk>/retry/", retry, name="run-retry"),
]
