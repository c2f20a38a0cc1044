"""The meeting: the facilitator's view for the shared screen, its agenda and clock, decisions and concerns."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, may
from postmortem.lib.errors import UserError
from postmortem.review import meeting as meetings
from postmortem.review.models import Meeting, MeetingNote
from postmortem.review.selectors import layer_summaries, review_order
from postmortem.review.shared_text import MEETING_NOTES, read_text, save_text
from postmortem.web.workspace import open_incident, render_stage

_MINUTES = (30, 45, 60, 90, 120)


class ConcernForm(forms.Form):
    """What somebody would rather not say aloud."""

    text = forms.CharField(max_length=600, error_messages={"required": "Write what worries you, in a sentence."})
    named = forms.BooleanField(required=False)


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """The meeting that is going on, or how to start one and what earlier ones decided."""
    return _render(request, open_incident(request, number))


@require_POST
def start(request: HttpRequest, number: str) -> HttpResponse:
    """Open a meeting of the chosen length."""
    incident = open_incident(request, number, Capability.MANAGE)
    length = request.POST.get("minutes", "60")
    layers = [summary.layer for summary in review_order(layer_summaries(incident), incident.suspected_layer)]
    minutes = int(length) if length.isdecimal() and len(length) < 5 else 0
    return _tried(
        request,
        incident,
        lambda: meetings.start_meeting(incident=incident, by=request.user, layers=layers, minutes=minutes),
    )


@require_POST
def move(request: HttpRequest, number: str) -> HttpResponse:
    """Go to another agenda item, or end the meeting."""
    incident = open_incident(request, number, Capability.MANAGE)
    revision, position = _number(request.POST.get("revision")), _number(request.POST.get("position"))

    def step() -> None:
        meeting = _running(incident)
        if request.POST.get("end"):
            meetings.end_meeting(meeting=meeting, by=request.user, revision=revision)
        else:
            meetings.move_to(meeting=meeting, by=request.user, position=position, revision=revision)

    return _tried(request, incident, step)


@require_POST
def decision(request: HttpRequest, number: str) -> HttpResponse:
    """Note a decision as it falls."""
    incident = open_incident(request, number, Capability.REVIEW)
    text = request.POST.get("text", "")
    return _tried(
        request, incident, lambda: meetings.note_decision(meeting=_running(incident), by=request.user, text=text)
    )


@require_POST
def strike(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Strike a decision that was noted in error; the history keeps it and takes the striking back."""
    incident = open_incident(request, number, Capability.REVIEW)
    decisions = MeetingNote.objects.select_related("meeting__incident").filter(kind=MeetingNote.Kind.DECISION)
    note = get_object_or_404(decisions, pk=pk, meeting__incident=incident)
    return _tried(request, incident, lambda: meetings.take_back_decision(note=note, by=request.user))


@require_POST
def notes(request: HttpRequest, number: str) -> HttpResponse:
    """Save the meeting's notes without a script; what others wrote meanwhile is merged."""
    incident = open_incident(request, number, Capability.REVIEW)
    text, base = request.POST.get("text", ""), request.POST.get("text_base", "")
    return _tried(
        request,
        incident,
        lambda: save_text(incident=incident, by=request.user, key=MEETING_NOTES, base=base, text=text),
    )


@require_POST
def concern(request: HttpRequest, number: str) -> HttpResponse:
    """Raise a concern quietly."""
    incident = open_incident(request, number)
    form = ConcernForm(request.POST)
    if not form.is_valid():
        return _render(request, incident, concern_form=form, status=400)
    data = form.cleaned_data

    def tell() -> None:
        meetings.raise_concern(meeting=_running(incident), by=request.user, text=data["text"], named=data["named"])
        messages.success(request, "Only those who lead the review see your concern.")

    return _tried(request, incident, tell)


@require_POST
def settle(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Mark a concern as dealt with, or as open again."""
    incident = open_incident(request, number, Capability.MANAGE)
    note = get_object_or_404(MeetingNote.objects.select_related("meeting__incident"), pk=pk, meeting__incident=incident)
    settled = not request.POST.get("again")
    return _tried(request, incident, lambda: meetings.settle_concern(note=note, by=request.user, settled=settled))


def _render(
    request: HttpRequest, incident: Incident, *, concern_form: ConcernForm | None = None, status: int = 200
) -> HttpResponse:
    meeting = meetings.open_meeting(incident)
    context: dict[str, Any] = {
        "meeting": meeting,
        "lengths": _MINUTES,
        "concern_form": concern_form or ConcernForm(initial={"named": True}),
        "on_screen": bool(request.GET.get("screen")),
        "may_lead": may(request.user, Capability.MANAGE, incident),
        "earlier": _earlier(incident, request),
        "summaries": review_order(layer_summaries(incident), incident.suspected_layer),
    }
    if meeting is not None:
        state = meetings.meeting_state(meeting)
        notes = list(meetings.meeting_notes(meeting, request.user))
        context |= {
            "state": state,
            "current": state.current,
            "decisions": [note for note in notes if note.kind == MeetingNote.Kind.DECISION],
            "concerns": [note for note in notes if note.kind == MeetingNote.Kind.CONCERN],
            "notes": read_text(incident, MEETING_NOTES),
        }
    return render_stage(request, "review/meeting.html", incident, "review", context, status=status)


def _earlier(incident: Incident, request: HttpRequest) -> list[dict[str, Any]]:
    past: list[Meeting] = list(incident.meetings.filter(ended_at__isnull=False).select_related("started_by")[:10])
    return [
        {
            "meeting": meeting,
            "state": meetings.meeting_state(meeting),
            "notes": list(meetings.meeting_notes(meeting, request.user)),
        }
        for meeting in past
    ]


def _tried(request: HttpRequest, incident: Incident, act: Callable[[], object]) -> HttpResponse:
    try:
        act()
    except UserError as error:
        messages.error(request, str(error))
    screen = "?screen=1" if "screen=1" in request.headers.get("referer", "")[-200:] else ""
    return redirect(reverse("meeting", args=[incident.number]) + screen)


def _running(incident: Incident) -> Meeting:
    meeting = meetings.open_meeting(incident)
    if meeting is None:
        raise UserError("No meeting is going on; start one first.")
    return meeting


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 9 else -1


_ROOT = "incidents/<str:number>/meeting/"
urlpatterns = [
    path(_ROOT, page, name="meeting"),
    path(_ROOT + "start/", start, name="meeting-start"),
    path(_ROOT + "move/", move, name="meeting-move"),
    path(_ROOT + "decision/", decision, name="meeting-decision"),
    path(_ROOT + "decision/<int:pk>/strike/", strike, name="meeting-strike"),
    path(_ROOT + "notes/", notes, name="meeting-notes"),
    path(_ROOT + "concern/", concern, name="meeting-concern"),
    path(_ROOT + "concern/<int:pk>/settle/", settle, name="meeting-settle"),
]
