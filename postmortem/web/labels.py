"""Label traces failing or fine, one after another, by keyboard."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from postmortem.attribution.labels import label_levels
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import UserError
from postmortem.pipeline import services as pipeline
from postmortem.pipeline.models import Run
from postmortem.traces.labelling import label_counts, label_history, next_to_label, sample_to_label
from postmortem.traces.labels import label_trace, withdraw_label
from postmortem.traces.models import Trace
from postmortem.traces.reading import masked_reading
from postmortem.traces.signals import LABEL
from postmortem.traces.tree import flatten
from postmortem.web.runs import run_context, shown_runs
from postmortem.web.workspace import open_incident, render_stage

_SHOWN = 6_000
_STEPS = 12
_HISTORY = 12
_TEXTS_AHEAD = 40


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """The next trace of the sample, without what could lead the eye: no time, no versions, no scores."""
    incident = open_incident(request, number)
    return _render(request, incident)


@require_POST
def label(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Label one trace, then show the next."""
    incident = open_incident(request, number, Capability.REVIEW)
    trace = get_object_or_404(incident.traces.select_related("incident__feature"), pk=pk)
    refused = ""
    try:
        label_trace(trace=trace, by=request.user, value=request.POST.get("value", ""))
    except UserError as error:
        refused = str(error)
    return _after(request, incident, trace, refused)


@require_POST
def withdraw(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Take back the newest label of one's own on a trace."""
    incident = open_incident(request, number, Capability.REVIEW)
    trace = get_object_or_404(incident.traces, pk=pk)
    newest = trace.labels.filter(by=request.user, withdrawn_at=None).order_by("-at", "-id").first()
    refused = "" if newest else "You have no label on this trace."
    try:
        if newest:
            withdraw_label(label=newest, by=request.user)
    except UserError as error:
        refused = str(error)
    return _after(request, incident, trace, refused, again=trace if newest else None)


@require_POST
def read_texts(request: HttpRequest, number: str) -> HttpResponse:
    """Have the texts read of one trace, or of those that the sample asks for next."""
    incident = open_incident(request, number, Capability.IMPORT)
    chosen = request.POST.get("trace", "")
    if chosen.isdecimal() and len(chosen) < 19:
        found = incident.traces.select_related("evidence_import").filter(pk=int(chosen))
        back = reverse("trace-detail", args=[number, int(chosen)])
    else:
        found = sample_to_label(incident, _place(request), _TEXTS_AHEAD)
        back = f"{reverse('label', args=[number])}?place={_place(request)}"
    try:
        pipeline.start_reading_texts(incident=incident, by=request.user, traces=list(found))
    except UserError as error:
        messages.error(request, str(error))
    return redirect(back)


def _after(
    request: HttpRequest, incident: Incident, trace: Trace, refused: str, again: Trace | None = None
) -> HttpResponse:
    if request.htmx:
        return _render(request, incident, refused=refused, again=again)
    if refused:
        messages.error(request, refused)
    back = request.POST.get("back", "")
    if back == "trace":
        return redirect("trace-detail", incident.number, trace.pk)
    return redirect(f"{reverse('label', args=[incident.number])}?place={_place(request)}")


def _place(request: HttpRequest) -> int:
    asked = request.POST.get("place") or request.GET.get("place") or ""
    return int(asked) if asked.isdecimal() and len(asked) < 7 else 0


def _render(request: HttpRequest, incident: Incident, *, refused: str = "", again: Trace | None = None) -> HttpResponse:
    place = _place(request)
    trace = again or next_to_label(incident, place)
    history = list(label_history(incident)[:_HISTORY])
    mine = next((row for row in history if row.by_id == request.user.pk and row.withdrawn_at is None), None)
    context: dict[str, Any] = {
        "trace": trace,
        "place": place,
        "next_place": place + 1,
        "levels": label_levels(label_counts(incident)),
        "history": history,
        "mine": mine,
        "refused": refused,
        "is_signal": incident.signal == LABEL,
        "incident": incident,
    }
    if trace:
        context |= _texts(trace)
        context["could_read"] = trace.evidence_import.connection_id is not None
    context["runs"] = [run_context(request, incident, run) for run in shown_runs(incident, (Run.Kind.READ_TEXTS,))]
    if request.htmx and request.htmx.target == "label-card":
        return render_stage(request, "traces/_label_card.html", incident, "evidence", context)
    return render_stage(request, "traces/label.html", incident, "evidence", context)


def _texts(trace: Trace) -> dict[str, Any]:
    """What was asked and answered, and the steps between; the preview where the bytes hold no more."""
    try:
        reading = masked_reading(trace, range(60))
    except UserError as error:
        return {"unreadable": str(error)}
    nodes = [node.observation for node in flatten(reading.roots)]
    asked = reading.input or next((item.input for item in nodes if item.input), "") or trace.input_preview
    answers = [item.output for item in nodes if item.output]
    root = nodes[0].output if nodes else ""
    answered = reading.output or root or (answers[-1] if answers else "") or trace.output_preview
    steps = [item for item in nodes if item.output and item.output != answered][:_STEPS]
    return {"asked": asked[:_SHOWN], "answered": answered[:_SHOWN], "steps": steps, "cut": len(answered) > _SHOWN}


urlpatterns = [
    path("incidents/<str:number>/label/", page, name="label"),
    path("incidents/<str:number>/label/texts/", read_texts, name="read-texts"),
    path("incidents/<str:number>/traces/<int:pk>/label/", label, name="trace-label"),
    path("incidents/<str:number>/traces/<int:pk>/label/withdraw/", withdraw, name="trace-label-withdraw"),
]
