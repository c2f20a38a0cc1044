"""Correct a change of the log, merge two entries that tell one change, and take both back."""

from dataclasses import replace

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from postmortem.changes import corrections
from postmortem.changes.models import Change, ChangeRevision
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import EditConflict, UserError
from postmortem.web.change_form import ChangeForm
from postmortem.web.workspace import open_incident, render_stage

_MOST_OTHERS = 60


class CorrectionForm(ChangeForm):
    """A change as it should stand in the log, and why."""

    reason = forms.CharField(
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2}),
        label="Why the log is wrong",
        help_text="And how you know: the deployment's own clock, a message, the traces.",
        error_messages={"required": "Say why the log is wrong and how you know."},
    )
    revision = forms.IntegerField(widget=forms.HiddenInput)


@require_http_methods(["GET", "HEAD", "POST"])
def correct(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Correct one entry."""
    incident = open_incident(request, number, Capability.IMPORT)
    change = _change(incident, pk)
    conflict: EditConflict | None = None
    form = CorrectionForm(request.POST) if request.method == "POST" else CorrectionForm(initial=_initial(change))
    if request.method == "POST":
        form.data = form.data.copy()
        form.data["external_id"] = change.external_id
        if form.is_valid():
            try:
                corrections.correct_change(
                    change=change,
                    by=request.user,
                    incident=incident,
                    record=replace(form.record(), details=change.details),
                    reason=form.cleaned_data["reason"],
                    revision=form.cleaned_data["revision"],
                )
                messages.success(request, f"“{change.summary}” is corrected; the log's own words are kept.")
                return redirect("change", incident.number, change.pk)
            except EditConflict as error:
                conflict = error
                form.data["revision"] = str(error.revision)
            except UserError as error:
                form.add_error(None, str(error))
    context = {"form": form, "change": change, "conflict": conflict, "others": _nearest(change)}
    status = 409 if conflict else 400 if form.errors else 200
    return render_stage(request, "changes/correct.html", incident, "changes", context, status=status)


@require_POST
def undo(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Take the latest correction of a change back."""
    incident = open_incident(request, number, Capability.IMPORT)
    revision = get_object_or_404(ChangeRevision, pk=pk, change__feature=incident.feature_id)
    try:
        corrections.undo_correction(revision=revision, by=request.user, incident=incident)
        messages.success(request, "The correction is taken back.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect("change", incident.number, revision.change_id)


@require_POST
def merge(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Merge an entry into another one."""
    incident = open_incident(request, number, Capability.IMPORT)
    into = request.POST.get("into", "")
    if not into.isdecimal() or len(into) > 18:
        messages.error(request, "Choose the entry that tells the same change.")
        return redirect("changes", incident.number)
    duplicate, kept = _change(incident, pk), _change(incident, int(into))
    try:
        corrections.merge_changes(duplicate=duplicate, into=kept, by=request.user, incident=incident)
        messages.success(request, f"“{duplicate.summary}” stands under “{kept.summary}” now and counts once.")
    except UserError as error:
        messages.error(request, str(error))
    if request.POST.get("from") == "duplicates":
        return redirect(reverse("changes", args=[incident.number]) + "#duplicates")
    return redirect("change", incident.number, kept.pk)


@require_POST
def merge_all(request: HttpRequest, number: str) -> HttpResponse:
    """Merge every pair that tells the same version, link or words in two feeds; each can be taken apart again."""
    incident = open_incident(request, number, Capability.IMPORT)
    merged, left = corrections.merge_sure_duplicates(by=request.user, incident=incident)
    told = f"{merged} merged; each can be taken apart on the page of the entry that it stands under."
    messages.success(request, told + (f" {left} wait for another look." if left else ""))
    return redirect(reverse("changes", args=[incident.number]) + "#changes")


@require_POST
def unmerge(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Take a merge apart."""
    incident = open_incident(request, number, Capability.IMPORT)
    try:
        change = corrections.unmerge_change(duplicate=_change(incident, pk), by=request.user, incident=incident)
        messages.success(request, f"“{change.summary}” stands in the log by itself again.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect("change", incident.number, pk)


def _nearest(change: Change) -> list[Change]:
    """The changes of its layer that are nearest in time, in order: one of them may tell the same."""
    others = Change.objects.filter(feature=change.feature_id, layer=change.layer, merged_into=None).exclude(
        pk=change.pk
    )
    before = others.filter(at__lt=change.at).order_by("-at")[:_MOST_OTHERS]
    after = others.filter(at__gte=change.at).order_by("at")[:_MOST_OTHERS]
    nearest = sorted([*before, *after], key=lambda other: abs(other.at - change.at))[:_MOST_OTHERS]
    return sorted(nearest, key=lambda other: other.at)


def _change(incident: Incident, pk: int) -> Change:
    return get_object_or_404(Change, feature=incident.feature_id, pk=pk)


def _initial(change: Change) -> dict[str, object]:
    same = (
        "layer",
        "summary",
        "at",
        "until",
        "rollout",
        "facet",
        "from_version",
        "to_version",
        "is_rollback",
        "revision",
    )
    return {name: getattr(change, name) for name in same} | {
        "canary_share": None if change.canary_share is None else round(100 * change.canary_share, 6),
        "stage_facet": change.stages.get("facet", ""),
        "stage_order": ", ".join(change.stages.get("order", [])),
        "scope": "\n".join(f"{facet} = {', '.join(values)}" for facet, values in change.scope.items()),
    }


_ROOT = "incidents/<str:number>/changes/<int:pk>/"
urlpatterns = [
    path(_ROOT + "correct/", correct, name="change-correct"),
    path(_ROOT + "merge/", merge, name="change-merge"),
    path("incidents/<str:number>/changes/merge-all/", merge_all, name="changes-merge-all"),
    path(_ROOT + "unmerge/", unmerge, name="change-unmerge"),
    path("incidents/<str:number>/changes/corrections/<int:pk>/undo/", undo, name="change-correction-undo"),
]
