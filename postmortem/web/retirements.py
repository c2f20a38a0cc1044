"""The calendar of model retirements, and the models of an incident's traces that it concerns."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from postmortem.attribution.calendar import selectors, services
from postmortem.attribution.models import ModelRetirement
from postmortem.attribution.patterns.retirements import MAX_BYTES, Retirement, read_retirement
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, may, require
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.web.workspace import open_incident, render_stage

PAGE_SIZE = 100
_SAMPLE = "model,retires_on,source,replacement\ngpt-x-2025,2027-01-31,https://provider.example.org/deprecations,gpt-y"
_MOVED_BEFORE = timedelta(days=14)  # of its retirement, so that there is time to see whether it works


class RetirementForm(forms.Form):
    """One entry of the calendar."""

    model = forms.CharField(
        max_length=200, label="Model id", error_messages={"required": "Give the model's id as the provider writes it."}
    )
    retires_on = forms.DateField(
        label="Retires on (UTC)",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"required": "Give the day.", "invalid": "Write the day like 2026-09-30."},
    )
    source = forms.CharField(
        max_length=1000,
        label="Source",
        help_text="The link to where the provider says so.",
        error_messages={"required": "Give the link to where the provider says so."},
    )
    replacement = forms.CharField(required=False, max_length=200, help_text="What the provider names instead.")

    def entry(self) -> Retirement:
        """The entry. Raises UserError for what the calendar refuses."""
        return read_retirement(self.cleaned_data)


class CalendarForm(forms.Form):
    """A file of entries."""

    file = forms.FileField(
        label="Or many from a file",
        help_text="CSV with the columns model, retires_on, source, replacement; or JSON with a list “models”.",
        error_messages={"required": "Choose a file first.", "empty": "This file is empty."},
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.json"}),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """All of the calendar; POST adds an entry."""
    form = RetirementForm(request.POST or None, initial={"model": request.GET.get("model", "")[:200]})
    if request.method == "POST":
        require(request.user, Capability.IMPORT)
        if form.is_valid():
            try:
                entry = form.entry()
                moved, _ = services.add_retirements(by=request.user, entries=[entry])
                told = "is in the calendar" if moved else "stood there already"
                messages.success(request, f"{entry.model} {told}.")
                return redirect("retirements")
            except UserError as error:
                form.add_error(None, str(error)[:1].upper() + str(error)[1:])
    return _render(request, form, CalendarForm(), 400 if form.errors and request.method == "POST" else 200)


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Entries from a file, all or nothing."""
    require(request.user, Capability.IMPORT)
    form = CalendarForm(request.POST, request.FILES)
    if form.is_valid():
        file = form.cleaned_data["file"]
        try:
            if file.size > MAX_BYTES:
                raise UserError(f"{file.name} has more than {MAX_BYTES // 1024 // 1024} MB; a calendar is smaller.")
            moved, same = services.import_calendar(by=request.user, filename=file.name, data=file.read())
            messages.success(request, f"{file.name}: {moved} added or changed, {same} stood there already.")
            return redirect("retirements")
        except UserError as error:
            form.add_error("file", str(error))
    return _render(request, RetirementForm(), form, 400)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Correct an entry of one's own, withdraw it, or take it back; with its history."""
    retirement = get_object_or_404(ModelRetirement.objects.select_related("added_by"), pk=pk)
    form = RetirementForm(request.POST or None, initial=_initial(retirement))
    status = 200
    if request.method == "POST":
        require(request.user, Capability.IMPORT)
        form.data = form.data.copy()
        form.data["model"] = retirement.model
        if form.is_valid():
            try:
                revision = request.POST.get("revision", "")
                services.change_retirement(
                    retirement=retirement, by=request.user, entry=form.entry(),
                    revision=int(revision) if revision.isdecimal() and len(revision) < 10 else 0,
                    withdrawn=request.POST.get("do") == "withdraw",
                )  # fmt: skip
                messages.success(request, f"{retirement.model} is changed.")
                return redirect("retirement", pk)
            except EditConflict as error:
                form.add_error(None, str(error))
                status = 409
            except UserError as error:
                form.add_error(None, str(error)[:1].upper() + str(error)[1:])
        status = status if status == 409 else 400
        retirement.refresh_from_db()
    context = {
        "retirement": retirement,
        "form": form,
        "history": retirement.revisions.select_related("by"),
        "may_change": may(request.user, Capability.IMPORT),
    }
    return render(request, "attribution/retirement.html", context, status=status)


@require_GET
def ahead(request: HttpRequest, number: str) -> HttpResponse:
    """The models that the traces of the incident, or of its feature's incidents, record, and when they retire."""
    incident = open_incident(request, number)
    of_feature = request.GET.get("of") == "feature"
    incidents = selectors.incidents_of_feature(incident, request.user) if of_feature else [incident]
    rows = selectors.seen_models(incidents)
    dated = [(row, _action_url(incident, row)) for row in rows if row.entry is not None]
    context = {
        "dated": dated,
        "ahead_count": sum(row.entry is not None and row.entry.days_left >= 0 for row in rows),
        "undated": [row for row in rows if row.entry is None],
        "of_feature": of_feature,
        "incident_count": len(incidents),
        "has_traces": incident.traces.exists(),
    }
    return render_stage(request, "attribution/retirements_ahead.html", incident, "attribution", context)


def _render(request: HttpRequest, form: RetirementForm, file_form: CalendarForm, status: int) -> HttpResponse:
    text = request.GET.get("q", "").strip().lower()[:200]
    entries = [one for one in selectors.calendar() if not text or text in one.retirement.model.lower()]
    # The nearest ahead first; what is gone already after it, the latest first.
    entries.sort(key=lambda one: (one.days_left < 0, abs(one.days_left)))
    context = {
        "rows": Paginator(entries, PAGE_SIZE).get_page(request.GET.get("page")),
        "count": len(entries),
        "ahead": sum(one.days_left >= 0 for one in entries),
        "withdrawn": ModelRetirement.objects.filter(withdrawn=True),
        "text": request.GET.get("q", "")[:200],
        "form": form,
        "file_form": file_form,
        "sample": _SAMPLE,
        "may_change": may(request.user, Capability.IMPORT),
    }
    return render(request, "attribution/retirements.html", context, status=status)


def _initial(retirement: ModelRetirement) -> dict[str, Any]:
    return {name: getattr(retirement, name) for name in ("model", "retires_on", "source", "replacement")}


def _action_url(incident: Incident, row: selectors.SeenModel) -> str:
    """A new action item: move off the model in time."""
    if row.entry is None:
        return ""
    one = row.entry.retirement
    due = max(one.retires_on - _MOVED_BEFORE, utc_now().date() + timedelta(days=1))
    query = {
        "layer": "model",
        "kind": "prevent" if row.entry.days_left >= 0 else "mitigate",
        "title": f"Move every call from {row.model} to {one.replacement or 'a supported model'}"[:200],
        "verification": f"No trace requests {row.model} for 7 days before {one.retires_on:%-d %B %Y}",
        "due_on": due.isoformat(),
    }
    return reverse("action-new", args=[incident.number]) + "?" + urlencode(query)


urlpatterns = [
    path("retirements/", page, name="retirements"),
    path("retirements/upload/", upload, name="retirements-upload"),
    path("retirements/<int:pk>/", edit, name="retirement"),
    path("incidents/<str:number>/retirements/", ahead, name="retirements-ahead"),
]
