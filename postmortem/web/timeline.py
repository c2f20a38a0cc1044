"""The timeline: assembled entries and notes, pinned, corrected, hidden; its gaps and the five clocks."""

import re
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from postmortem.incidents import services
from postmortem.incidents.clocks import five_clocks
from postmortem.incidents.models import Incident, TimelineEntry
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import local_to_utc
from postmortem.lib.errors import EditConflict, UserError
from postmortem.review.assembling import timeline, timeline_gaps
from postmortem.review.timeline import TimelineItem
from postmortem.web.fields import MomentField
from postmortem.web.workspace import open_incident, render_stage

_ZONE_GIVEN = re.compile(r"(Z|[+-]\d\d:?\d\d)\s*$", re.IGNORECASE)


class EntryForm(forms.Form):
    """When and what. What is typed without a zone is on the clock that `zone` names."""

    at = MomentField(label="When")
    zone = forms.ChoiceField(label="On which clock", required=False)
    text = forms.CharField(max_length=5000, label="What happened", widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, *args: Any, own_zone: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["zone"].choices = [("UTC", "UTC"), (own_zone, own_zone)]
        if own_zone in ("", "UTC"):
            del self.fields["zone"]
            self.fields["at"].label = "When (UTC)"

    def clean(self) -> dict[str, Any]:
        """The moment in UTC."""
        data = super().clean()
        zone = data.get("zone") or "UTC"
        typed = str(self.data.get(self.add_prefix("at"), ""))
        if data.get("at") and zone != "UTC" and not _ZONE_GIVEN.search(typed):
            try:
                data["at"] = local_to_utc(data["at"].replace(tzinfo=None), zone)
            except ValueError as error:
                self.add_error("at", str(error))
        return data


class NoteForm(EntryForm):
    """A note, an alert, a report or a response."""

    kind = forms.ChoiceField(choices=TimelineEntry.Kind.choices, initial=TimelineEntry.Kind.NOTE)


@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest, number: str) -> HttpResponse:
    """Everything that happened, in order; what is missing; the five clocks. POST adds a note."""
    incident = open_incident(request, number)
    if request.method != "POST":
        return _render(request, incident)
    require(request.user, Capability.REVIEW, incident)
    form = NoteForm(request.POST, own_zone=request.user.time_zone)
    if form.is_valid():
        try:
            fields = {name: form.cleaned_data[name] for name in ("at", "text", "kind")}
            entry = services.add_timeline_entry(incident=incident, by=request.user, **fields)
            return redirect(reverse("incident-timeline", args=[incident.number]) + f"#note.{entry.pk}")
        except UserError as error:
            form.add_error(None, str(error))
    return _render(request, incident, form=form, status=400)


@require_POST
def mark(request: HttpRequest, number: str, key: str) -> HttpResponse:
    """Pin, unpin, hide or bring back one entry."""
    incident = open_incident(request, number, Capability.REVIEW)
    item = _item(incident, key)
    act = request.POST.get("act", "")
    try:
        if item.is_note:
            _mark_note(request, incident, item, act)
        else:
            wanted = {"pin": {"pinned": True}, "unpin": {"pinned": False}, "hide": {"hidden": True}}
            fields = wanted.get(act) or {"hidden": False}
            services.mark_timeline_item(incident=incident, by=request.user, key=key, subject=item.text, **fields)
    except UserError as error:
        messages.error(request, str(error))
    # What was hidden has no line any more: who works by keyboard goes on at the one after it.
    at = _beside(incident, item) if act == "hide" else key
    return redirect(reverse("incident-timeline", args=[incident.number]) + f"#{at}")


def _beside(incident: Incident, item: TimelineItem) -> str:
    shown = timeline(incident)
    return next((one.key for one in shown if one.at >= item.at and one.key != item.key), shown[-1].key if shown else "")


@require_POST
def correct(request: HttpRequest, number: str, key: str) -> HttpResponse:
    """Correct when or what; "as assembled" takes a correction back."""
    incident = open_incident(request, number, Capability.REVIEW)
    item = _item(incident, key)
    form = (NoteForm if item.is_note else EntryForm)(request.POST, own_zone=request.user.time_zone, prefix="correct")
    typed = request.POST.get("revision", "")
    revision = int(typed) if typed.isdecimal() and len(typed) < 9 else 0
    conflict: EditConflict | None = None
    if "as_assembled" in request.POST and not item.is_note:
        services.mark_timeline_item(
            incident=incident, by=request.user, key=key, subject=item.text, at="", text="", revision=revision
        )
        return redirect(reverse("incident-timeline", args=[incident.number]) + f"#{key}")
    if form.is_valid():
        data = form.cleaned_data
        try:
            _correct(request, incident, item, data, revision)
            return redirect(reverse("incident-timeline", args=[incident.number]) + f"#{key}")
        except EditConflict as error:
            conflict = error
        except UserError as error:
            form.add_error("text", str(error))
    return _render(
        request, incident, correcting=key, correct_form=form, conflict=conflict, status=409 if conflict else 400
    )


def _correct(request: HttpRequest, incident: Incident, item: TimelineItem, data: dict[str, Any], revision: int) -> None:
    if item.is_note:
        note = get_object_or_404(incident.timeline_entries.select_related("incident__feature"), pk=item.note_id)
        fields = {name: data[name] for name in ("at", "text", "kind")}
        services.correct_timeline_entry(entry=note, by=request.user, revision=revision, **fields)
        return
    at, text = data["at"], data["text"].strip()
    # The picker shows whole seconds: the same second is no correction.
    same = at == item.at.replace(microsecond=0)
    services.mark_timeline_item(
        incident=incident, by=request.user, key=item.key, subject=item.text, revision=revision,
        at=None if same else at, text=None if text == item.text else text,
    )  # fmt: skip


def _mark_note(request: HttpRequest, incident: Incident, item: TimelineItem, act: str) -> None:
    note = get_object_or_404(incident.timeline_entries.select_related("incident__feature"), pk=item.note_id)
    if act in ("pin", "unpin"):
        services.pin_timeline_entry(entry=note, by=request.user, pinned=act == "pin")
    elif act == "hide":
        services.hide_timeline_entry(entry=note, by=request.user)
    else:
        services.restore_timeline_entry(entry=note, by=request.user)


def _item(incident: Incident, key: str) -> TimelineItem:
    items = timeline(incident, include_hidden=True)
    item = next((one for one in items if one.key == key and not one.is_time), None)
    if item is None:
        raise Http404("The timeline has no such entry.")
    return item


def _render(
    request: HttpRequest,
    incident: Incident,
    *,
    form: NoteForm | None = None,
    correcting: str = "",
    correct_form: EntryForm | None = None,
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    everything = timeline(incident, include_hidden=True)
    items = [item for item in everything if not item.hidden]
    correcting = correcting or request.GET.get("correct", "")[:80]
    item = next((one for one in everything if one.key == correcting and not one.is_time), None)
    if item is not None and correct_form is None:
        initial = {"at": item.at, "text": item.text, "kind": item.kind}
        kind = NoteForm if item.is_note else EntryForm
        correct_form = kind(initial=initial, own_zone=request.user.time_zone, prefix="correct")
    only_pinned = request.GET.get("only") == "pinned"
    context = {
        "items": [one for one in items if one.pinned or one.is_time] if only_pinned else items,
        "all_count": len(items),
        "only_pinned": only_pinned,
        "hidden": [one for one in everything if one.hidden],
        "gaps": timeline_gaps(incident, items),
        "clocks": five_clocks(
            incident.latent_since,
            incident.onset_at,
            incident.detected_at,
            incident.mitigated_at,
            incident.recovered_at,
            incident.users_recovered_at,
        ),
        "form": form or NoteForm(own_zone=request.user.time_zone, initial={"at": request.GET.get("at", "")[:40]}),
        "form_open": form is not None or "at" in request.GET,
        "correcting": item.key if item else "",
        "correct_form": correct_form,
        "correct_revision": conflict.revision if conflict else item.revision if item else 0,
        "conflict": conflict,
        "zone": request.user.time_zone,
    }
    return render_stage(request, "incidents/timeline.html", incident, "overview", context, status=status)


_ROOT = "incidents/<str:number>/timeline/"
urlpatterns = [
    path(_ROOT, page, name="incident-timeline"),
    path(_ROOT + "<str:key>/mark/", mark, name="timeline-mark"),
    path(_ROOT + "<str:key>/correct/", correct, name="timeline-correct"),
]
