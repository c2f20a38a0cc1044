"""Evidence: paste a link, upload a file, see what came in and what it can and cannot tell."""

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from postmortem.incidents import services as incident_services
from postmortem.incidents.models import Incident, Worse
from postmortem.incidents.permissions import Capability
from postmortem.incidents.windows import suggest_windows
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import EditConflict, UserError
from postmortem.pipeline import services as pipeline
from postmortem.pipeline.import_upload import said_of_import
from postmortem.pipeline.models import Run
from postmortem.traces import selectors
from postmortem.traces.logging_score import FACET_WORTH
from postmortem.traces.models import Connection, EvidenceBlob, EvidenceImport
from postmortem.traces.uploads import refused_upload
from postmortem.web.fields import MomentField
from postmortem.web.runs import run_context, shown_runs
from postmortem.web.window_form import FilteredWindowForm
from postmortem.web.workspace import open_incident, render_stage

FACET_COSTS = {name: worth.cost for name, worth in FACET_WORTH.items()}
_WINDOW_FIELDS = ("baseline_start", "baseline_end", "incident_start", "incident_end")
_IMPORT_KINDS = (Run.Kind.IMPORT_LINK, Run.Kind.IMPORT_WINDOW, Run.Kind.IMPORT_FILE)


class LinkForm(forms.Form):
    """One pasted trace link."""

    link = forms.CharField(
        label="Trace link",
        max_length=4000,
        help_text="The address of a trace, an observation or a session in Langfuse, Phoenix or MLflow, as copied from "
        "the browser.",
        widget=forms.TextInput(
            attrs={
                "inputmode": "url",
                "autocomplete": "off",
                "spellcheck": "false",
                "placeholder": "https://cloud.langfuse.com/project/…/traces/…",
            }
        ),
        error_messages={"required": "Paste the link of a trace first."},
    )


class UploadForm(forms.Form):
    """One evidence file."""

    file = forms.FileField(
        label="Evidence file",
        help_text="Trace download JSON, table or blob export as JSONL, CSV or Parquet, OTLP JSON, the body of "
        "GET /api/public/traces/{id}, "
        "or traces.jsonl in the open format, plain or gzipped.",
        error_messages={
            "required": "Choose a file first.",
            "empty": "This file is empty; export it again and upload the new one.",
        },
        widget=forms.ClearableFileInput(attrs={"accept": ".json,.jsonl,.ndjson,.csv,.parquet,.gz"}),
    )

    faults = forms.ChoiceField(
        label="Rows that cannot be read",
        choices=[("refuse", "refuse the whole file"), ("skip", "are left out and told")],
        required=False,
        initial="refuse",
    )


class WindowForm(forms.Form):
    """Which signal got worse, in which direction, and the two windows that are compared."""

    signal = forms.ChoiceField(
        label="Signal that got worse", error_messages={"required": "Choose the signal that got worse."}
    )
    worse = forms.ChoiceField(label="Direction", choices=Worse.choices)
    trace_name = forms.CharField(
        required=False, max_length=200, help_text="Only traces of this name are pulled. Empty: all."
    )
    environment = forms.CharField(required=False, max_length=120, help_text="Empty: all environments.")
    baseline_start = MomentField(required=False, label="Baseline from (UTC)")
    baseline_end = MomentField(required=False, label="Baseline to (UTC)")
    incident_start = MomentField(required=False, label="Incident from (UTC)")
    incident_end = MomentField(required=False, label="Incident to (UTC)")
    revision = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, signals: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["signal"].choices = [("", "choose"), *signals]

    def clean(self) -> dict[str, Any]:
        """Both ends of a window or none, in order."""
        data = super().clean()
        for first, last, name in (
            ("baseline_start", "baseline_end", "baseline"),
            ("incident_start", "incident_end", "incident window"),
        ):
            if first in self.errors or last in self.errors:
                continue
            start, end = data.get(first), data.get(last)
            if (start is None) != (end is None):
                self.add_error(last if end is None else first, f"Give both ends of the {name}, or neither.")
            elif start and end and start >= end:
                self.add_error(last, f"The {name} must end after it begins.")
        return data


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """Everything about the incident's evidence."""
    return _render(request, open_incident(request, number))


@require_POST
def import_link(request: HttpRequest, number: str) -> HttpResponse:
    """Start importing a pasted link: the trace first, then the window around it."""
    incident = open_incident(request, number, Capability.IMPORT)
    form = LinkForm(request.POST)
    if form.is_valid():
        try:
            pipeline.start_link_import(incident=incident, by=request.user, link=form.cleaned_data["link"])
            return redirect("evidence", incident.number)
        except UserError as error:
            form.add_error("link", str(error))
    return _render(request, incident, link_form=form)


@require_POST
def upload(request: HttpRequest, number: str) -> HttpResponse:
    """Read one evidence file; all of it or nothing."""
    incident = open_incident(request, number, Capability.IMPORT)
    form = UploadForm(request.POST, request.FILES)
    if sentence := refused_upload(request):
        form.fields["file"].required = False  # it came, but was not kept
        form.add_error("file", sentence)
    elif form.is_valid():
        file = form.cleaned_data["file"]
        try:
            done = pipeline.import_uploaded(
                incident=incident,
                by=request.user,
                filename=file.name,
                file=file,
                keep_good=form.cleaned_data["faults"] == "skip",
            )
            tell_import(request, file.name, done)
            return redirect("evidence", incident.number)
        except UserError as error:
            form.add_error("file", str(error))
    return _render(request, incident, upload_form=form)


def tell_import(request: HttpRequest, filename: str, done: EvidenceImport | Run) -> None:
    """Say what came of a file; a run says it by itself."""
    if isinstance(done, EvidenceImport):
        tell = messages.warning if done.left_out or done.notes else messages.success
        tell(request, f"{filename}: {said_of_import(done)}")


@require_POST
def filtered(request: HttpRequest, number: str) -> HttpResponse:
    """Read a window with filters through one connection."""
    incident = open_incident(request, number, Capability.IMPORT)
    form = FilteredWindowForm(request.POST, incident=incident)
    if form.is_valid():
        try:
            pipeline.start_window_import(incident=incident, by=request.user, **form.asked())
            return redirect("evidence", incident.number)
        except UserError as error:
            form.add_error(None, str(error))
    return _render(request, incident, filter_form=form)


@require_POST
def pull_again(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Read what is new since an import."""
    incident = open_incident(request, number, Capability.IMPORT)
    evidence_import = get_object_or_404(incident.evidence_imports.select_related("connection"), pk=pk)
    try:
        pipeline.start_pull_again(incident=incident, by=request.user, evidence_import=evidence_import)
    except UserError as error:
        messages.error(request, str(error))
    return redirect("evidence", incident.number)


@require_POST
def window(request: HttpRequest, number: str) -> HttpResponse:
    """Choose signal, direction and windows; refuses to overwrite what somebody else saved."""
    incident = open_incident(request, number, Capability.REVIEW)
    form = WindowForm(request.POST, signals=_signal_choices(incident, selectors.signals(incident)))
    conflict: EditConflict | None = None
    if form.is_valid():
        fields = dict(form.cleaned_data)
        revision = fields.pop("revision")
        try:
            incident_services.update_incident(incident=incident, by=request.user, revision=revision, **fields)
            messages.success(request, "Signal and windows are saved.")
            return redirect("evidence", incident.number)
        except EditConflict as error:
            conflict = error
            form.data = form.data.copy()
            form.data["revision"] = str(error.revision)
        except UserError as error:
            form.add_error(None, str(error))
    return _render(request, incident, window_form=form, conflict=conflict)


def _render(
    request: HttpRequest,
    incident: Incident,
    *,
    link_form: LinkForm | None = None,
    upload_form: UploadForm | None = None,
    window_form: WindowForm | None = None,
    filter_form: FilteredWindowForm | None = None,
    conflict: EditConflict | None = None,
) -> HttpResponse:
    counts = selectors.evidence_counts(incident)
    signals = selectors.signals(incident)
    coverage = _coverage(incident) if counts.traces else []
    refused = any(form is not None for form in (link_form, upload_form, window_form, filter_form))
    status = 409 if conflict else 400 if refused else 200
    if link_form is None:
        # The first thing anybody does here is to paste.
        link_form = LinkForm()
        if not counts.traces:
            link_form.fields["link"].widget.attrs["autofocus"] = True
    runs = shown_runs(incident, _IMPORT_KINDS)
    suggested = False
    if window_form is None and counts.traces:
        window_form, suggested = _window_form(incident, signals)
    context = {
        "counts": counts,
        "link_form": link_form,
        "upload_form": upload_form or UploadForm(),
        "window_form": window_form,
        "filter_form": filter_form or FilteredWindowForm(incident=incident),
        "pulled_kinds": EvidenceImport.FROM_SERVERS,
        "windows_suggested": suggested,
        "conflict": conflict,
        "theirs": _differences(window_form, conflict),
        "runs": [run_context(request, incident, run) for run in runs],
        # Hashes and sizes only: the bytes themselves may be hundreds of megabytes.
        "imports": selectors.evidence_imports(incident).prefetch_related(
            Prefetch("blobs", EvidenceBlob.objects.only("sha256", "size_bytes").order_by("stored_at", "sha256"))
        ),
        "coverage": coverage,
        "signals": signals,
        "signal_label": next((choice.label for choice in signals if choice.name == incident.signal), incident.signal),
        "connected": Connection.objects.exists(),
        "cap": settings.IMPORT_WINDOW_MAX_TRACES,
    }
    return render_stage(request, "traces/evidence.html", incident, "evidence", context, status=status)


def _signal_choices(incident: Incident, signals: list[Any]) -> list[tuple[str, str]]:
    choices = [(choice.name, f"{choice.label} ({choice.count:,} traces)") for choice in signals]
    if incident.signal and incident.signal not in {name for name, _ in choices}:
        choices.append((incident.signal, f"{incident.signal} (no trace has it yet)"))
    return choices


def _window_form(incident: Incident, signals: list[Any]) -> tuple[WindowForm, bool]:
    initial = {name: getattr(incident, name) for name in ("signal", "worse", "trace_name", "environment", "revision")}
    initial |= {name: getattr(incident, name) for name in _WINDOW_FIELDS}
    suggested = False
    if not any(initial[name] for name in _WINDOW_FIELDS) and (incident.onset_at or incident.detected_at):
        proposal = suggest_windows(onset=incident.onset_at, detected_at=incident.detected_at, end=incident.mitigated_at)
        initial |= {name: getattr(proposal, name) for name in _WINDOW_FIELDS}
        suggested = True
    return WindowForm(initial=initial, signals=_signal_choices(incident, signals)), suggested


def _coverage(incident: Incident) -> list[dict[str, Any]]:
    found = {facet.name: facet for facet in selectors.facet_coverage(incident)}
    names = [*FACET_COSTS, *sorted(set(found) - set(FACET_COSTS))]
    rows = []
    for name in names:
        facet = found.get(name)
        rows.append(
            {
                "name": name,
                "count": facet.count if facet else 0,
                "share": facet.share if facet else 0.0,
                "values": facet.values if facet else [],
                "cost": FACET_COSTS.get(name, "Changes of it cannot be seen on these traces."),
            }
        )
    return sorted(rows, key=lambda row: -row["share"])


def _differences(form: WindowForm | None, conflict: EditConflict | None) -> list[tuple[str, Any, Any]]:
    """Fields where the stored and the typed value differ: (label, stored, typed)."""
    if form is None or conflict is None:
        return []
    rows = []
    for name, stored in conflict.current.items():
        typed = form.cleaned_data.get(name)
        typed = format_moment(typed) if isinstance(typed, datetime) else typed
        if name in form.fields and (stored or "") != (typed or ""):
            rows.append((form.fields[name].label or name.replace("_", " "), stored, typed))
    return rows


urlpatterns = [
    path("incidents/<str:number>/evidence/", page, name="evidence"),
    path("incidents/<str:number>/evidence/link/", import_link, name="evidence-link"),
    path("incidents/<str:number>/evidence/upload/", upload, name="evidence-upload"),
    path("incidents/<str:number>/evidence/filtered/", filtered, name="evidence-filtered"),
    path("incidents/<str:number>/evidence/imports/<int:pk>/again/", pull_again, name="evidence-again"),
    path("incidents/<str:number>/evidence/window/", window, name="evidence-window"),
]
