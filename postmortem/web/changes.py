"""Changes: the four logs joined with the traces, and what is missing on either side."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from postmortem.changes import selectors, services
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYER_CHOICES, LAYERS
from postmortem.pipeline import services as pipeline
from postmortem.pipeline.models import Run
from postmortem.traces.grouped import latest_grouped
from postmortem.traces.models import Connection, GroupedCells
from postmortem.traces.selectors import evidence_counts
from postmortem.web.change_form import ChangeForm, prefill
from postmortem.web.fields import MomentField
from postmortem.web.runs import run_context, shown_runs
from postmortem.web.workspace import build_workspace, open_incident, render_stage

PAGE_SIZE = 100
_MAX_FILE_BYTES = 20 * 2**20
_MOVES_SHOWN = 60
_PAIRS_SHOWN = 50
_FAULTS_SHOWN = 20
_SAMPLE = """\
{"id": "prompt-43", "layer": "prompt", "at": "2026-03-09T07:30:00Z", "until": "2026-03-09T07:30:00Z", "rollout": "instant", "scope": {"prompt": ["refund"]}, "facet": "prompt_version", "from_version": "v42", "to_version": "v43", "summary": "Refund examples v42 → v43", "actor": "Conversation design"}
{"id": "encoder-3", "layer": "retrieval", "at": "2026-03-09T09:20:00Z", "until": "2026-03-11T06:40:00Z", "rollout": "staged", "stages": {"facet": "region", "order": ["eu-west", "us-east"]}, "scope": {}, "facet": "encoder", "to_version": "helix-3", "summary": "Query encoder helix-2 → helix-3"}
{"id": "release-2026.10.1", "layer": "infrastructure", "at": "2026-03-08T20:00:00Z", "until": "2026-03-09T14:00:00Z", "rollout": "canary", "canary_share": 0.1, "scope": {}, "facet": "release", "to_version": "2026.10.1"}"""  # noqa: E501


class UploadForm(forms.Form):
    """One change log."""

    file = forms.FileField(
        label="Change log",
        help_text="JSONL or CSV in the open format, plain or gzipped; up to 20 MB.",
        error_messages={
            "required": "Choose a file first.",
            "empty": "This file is empty; export it again and upload the new one.",
        },
        widget=forms.ClearableFileInput(attrs={"accept": ".jsonl,.ndjson,.json,.csv,.gz"}),
    )
    faults = forms.ChoiceField(
        label="Entries that cannot be read",
        choices=[("refuse", "refuse the whole file"), ("skip", "are left out and told")],
        required=False,
        initial="refuse",
    )


class PullForm(forms.Form):
    """Whose prompt versions to pull."""

    connection = forms.ModelChoiceField(
        queryset=Connection.objects.filter(kind=Connection.Kind.LANGFUSE),
        empty_label="choose",
        error_messages={
            "required": "Choose a connection first.",
            "invalid_choice": "This connection is gone; choose another one.",
        },
    )


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """The ledger, both sides of the reconciliation, and the ways to add changes."""
    incident = open_incident(request, number)
    if request.htmx and request.htmx.target == "ledger":
        frame = {"incident": incident, "workspace": build_workspace(incident, request.user)}
        read = _grouped(request, incident)[1]
        context = _ledger(request, incident, selectors.ledger(incident, read)) | frame
        return render(request, "changes/_ledger.html", context)
    return _render(request, incident)


@require_POST
def upload(request: HttpRequest, number: str) -> HttpResponse:
    """Read one change log; all of it or nothing, and nothing twice."""
    incident = open_incident(request, number, Capability.IMPORT)
    form = UploadForm(request.POST, request.FILES)
    if form.is_valid():
        file = form.cleaned_data["file"]
        try:
            if file.size > _MAX_FILE_BYTES:
                raise UserError(f"{file.name} has more than 20 MB; split it and upload the parts.")
            outcome = services.import_changes(
                feature=incident.feature, by=request.user, filename=file.name, data=file.read(), incident=incident,
                keep_good=form.cleaned_data["faults"] == "skip",
            )  # fmt: skip
        except UserError as error:
            form.add_error("file", str(error))
        else:
            messages.success(request, f"{file.name}: {outcome.added} added, {outcome.unchanged} were there already.")
            for note in [*outcome.notes, *_left_out(outcome)]:
                messages.warning(request, note)
            if outcome.conflicting:
                names = ", ".join(outcome.conflicting[:8])
                messages.error(
                    request,
                    f"{len(outcome.conflicting)} entries differ from what is stored under the same id and were left "
                    f"as they are: {names}. Give them new ids if both happened.",
                )
            return redirect("changes", incident.number)
    return _render(request, incident, upload_form=form)


def _left_out(outcome: services.FileOutcome) -> list[str]:
    """One sentence for each entry that could not be read, as far as a page has room."""
    if not outcome.left_out:
        return []
    entries = f"{outcome.left_out:,} entries were" if outcome.left_out > 1 else "One entry was"
    more = outcome.left_out - min(len(outcome.faults), _FAULTS_SHOWN)
    rest = [f"And {more:,} more; the command import_changes lists up to 200."] if more > 0 else []
    return [f"{entries} left out:", *(sentence for _, sentence in outcome.faults[:_FAULTS_SHOWN]), *rest]


@require_POST
def pull(request: HttpRequest, number: str) -> HttpResponse:
    """Start pulling prompt versions from a connection."""
    incident = open_incident(request, number, Capability.IMPORT)
    form = PullForm(request.POST)
    if form.is_valid():
        try:
            pipeline.start_prompt_pull(incident=incident, by=request.user, connection=form.cleaned_data["connection"])
            return redirect("changes", incident.number)
        except UserError as error:
            form.add_error("connection", str(error))
    return _render(request, incident, pull_form=form)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, number: str) -> HttpResponse:
    """Add one change by hand; the address may bring values along."""
    incident = open_incident(request, number, Capability.IMPORT)
    form = ChangeForm(request.POST) if request.method == "POST" else ChangeForm(initial=prefill(request.GET))
    if request.method == "POST" and form.is_valid():
        try:
            change = services.add_change(
                feature=incident.feature, by=request.user, incident=incident, record=form.record()
            )
        except UserError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"“{change.summary}” is in the log.")
            return redirect("changes", incident.number)
    context = {"form": form, "open_scope": bool(form.errors) or form.initial.get("scope")}
    status = 400 if form.errors else 200
    return render_stage(request, "changes/new.html", incident, "changes", context, status=status)


@require_POST
def delete(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Take back an entry that was typed by hand and that nothing refers to."""
    incident = open_incident(request, number, Capability.IMPORT)
    change = get_object_or_404(incident.feature.changes, pk=pk)
    try:
        services.delete_change(change=change, by=request.user, incident=incident)
        messages.success(request, f"“{change.summary}” is out of the log.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect("changes", incident.number)


class LedgerForm(forms.Form):
    """What narrows the ledger; what an address has wrong narrows nothing."""

    q = forms.CharField(required=False, max_length=200)
    layer = forms.ChoiceField(required=False, choices=LAYER_CHOICES)
    state = forms.ChoiceField(required=False, choices=[(state, state) for state in selectors.STATES])
    feed = forms.RegexField(r"^([a-z]+|feed:[0-9]{1,18})$", required=False)  # a way in, or one feed by its key
    span = forms.CharField(required=False, max_length=40)
    start = MomentField(required=False)
    end = MomentField(required=False)
    order = forms.ChoiceField(required=False, choices=[("exposure", "exposure")])


def _ledger(request: HttpRequest, incident: Incident, rows: list[selectors.LedgerRow]) -> dict[str, Any]:
    """Rows of the ledger after the filters, one page of them, with what was merged and corrected."""
    form = LedgerForm(request.GET)
    form.is_valid()
    asked = form.cleaned_data
    spans = _spans(incident)
    start, end = spans.get(asked.get("span", ""), (None, None))
    span = asked["span"] if start else ""
    start, end = asked.get("start") or start, asked.get("end") or end
    source, _, feed = asked.get("feed", "").partition(":")
    sources = dict(Change.Source.choices)
    wanted = selectors.LedgerFilter(
        text=asked.get("q", ""), layer=asked.get("layer", ""), state=asked.get("state", ""),
        source=source if source in sources else "", feed=int(feed) if feed else None,
        start=start, end=end, by_exposure=bool(asked.get("order")),
    )  # fmt: skip
    shown = selectors.narrowed(rows, wanted)
    pages = Paginator(shown, PAGE_SIZE).get_page(request.GET.get("page"))
    on_page = [row.change for row in pages]
    return {
        "rows": pages,
        "merged": selectors.merged_changes(incident, on_page),
        "corrections": selectors.corrections_of(on_page),
        "wanted": wanted,
        "span": span,
        "start": _picked(asked.get("start")),
        "end": _picked(asked.get("end")),
        "spans": list(spans),
        "states": sorted({row.state for row in rows}),
        "feed": asked.get("feed", ""),
        "feeds": [(source, sources[source]) for source in sorted({row.change.source for row in rows})],
        "single_feeds": [(f"feed:{key}", name) for key, name in selectors.feeds_in(rows)],
        "row_count": len(rows),
        "shown_count": len(shown),
        "layer_counts": [(each, sum(row.change.layer == each for row in rows)) for each in LAYERS],
        "filtered": wanted.narrows,
    }


def _grouped(request: HttpRequest, incident: Incident) -> tuple[GroupedCells | None, GroupedCells | None]:
    """The window that a server grouped last, and the same if the ledger is to be read from it.

    That is so when somebody asks for it, and while no trace is imported.
    """
    latest = latest_grouped(incident)
    if latest is None:
        return None, None
    asked = request.GET.get("evidence") == "grouped" or not incident.traces.exists()
    return latest, latest if asked else None


def _picked(moment: datetime | None) -> str:
    """A moment as the browser's picker writes it, UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M") if moment else ""


def _spans(incident: Incident) -> dict[str, tuple[datetime, datetime]]:
    """The stretches of time that the ledger can be narrowed to, as far as their ends are known."""
    spans = {}
    onset = incident.onset_at or incident.incident_start
    if onset:
        spans["3 days before the onset"] = (onset - timedelta(days=3), onset + timedelta(hours=1))
    for name, start, end in (
        ("baseline", incident.baseline_start, incident.baseline_end),
        ("incident", incident.incident_start, incident.incident_end),
    ):
        if start and end:
            spans[name] = (start, end)
    return spans


def _render(
    request: HttpRequest,
    incident: Incident,
    *,
    upload_form: UploadForm | None = None,
    pull_form: PullForm | None = None,
) -> HttpResponse:
    grouped, read = _grouped(request, incident)
    join = selectors.read_join(incident, read)
    rows, found = join.ledger, join.reconciliation
    runs = shown_runs(incident, (Run.Kind.IMPORT_PROMPTS,))
    context = _ledger(request, incident, rows)
    pairs = selectors.duplicate_pairs(rows)
    context |= {
        "duplicates": pairs[:_PAIRS_SHOWN],
        "pair_count": len(pairs),
        "sure_count": sum(is_sure for *_, is_sure in pairs),
        "unseen_count": len(found.never_observed),
        "unlogged_count": len(found.never_logged),
    }
    summaries = {row.change.external_id: row.change for row in rows}
    context |= {
        "never_observed": [
            (each, summaries.get(each.change_id), _action_url(incident, each, summaries.get(each.change_id)))
            for each in found.never_observed[:_MOVES_SHOWN]
        ],
        "never_logged": [
            (move, _log_url(incident, move), _instrument_url(incident, move))
            for move in found.never_logged[:_MOVES_SHOWN]
        ],
        "more_observed": max(0, len(found.never_observed) - _MOVES_SHOWN),
        "more_logged": max(0, len(found.never_logged) - _MOVES_SHOWN),
        "upload_form": upload_form or UploadForm(),
        "pull_form": pull_form or PullForm(),
        "sample": _SAMPLE,
        "has_traces": read is not None or incident.traces.exists(),
        "grouped": grouped,
        "by_grouped": read is not None,
        "imported": evidence_counts(incident).traces if grouped else 0,
        "connected": Connection.objects.filter(kind=Connection.Kind.LANGFUSE).exists(),
        "runs": [run_context(request, incident, run) for run in runs],
    }
    status = 400 if upload_form or pull_form else 200
    return render_stage(request, "changes/changes.html", incident, "changes", context, status=status)


def _log_url(incident: Incident, move: Any) -> str:
    """The hand form, filled with an observed move that no log mentions."""
    query = {
        "layer": str(move.layer),
        "summary": f"{move.facet} {move.from_version} → {move.to_version}",
        "at": format_moment(move.at),
        "facet": move.facet,
        "from_version": move.from_version,
        "to_version": move.to_version,
        "scope": "\n".join(f"{facet} = {value}" for facet, value in move.scope.items()),
    }
    return reverse("change-new", args=[incident.number]) + "?" + urlencode({k: v for k, v in query.items() if v})


def _instrument_url(incident: Incident, move: Any) -> str:
    """A new action item: find who moved this version and make the log say so."""
    query = {
        "layer": str(move.layer),
        "kind": "instrument",
        "title": f"Log every move of {move.facet}: {move.from_version or 'none'} → {move.to_version} was in no log",
        "verification": f"The next move of {move.facet} is in the change log within an hour.",
    }
    return reverse("action-new", args=[incident.number]) + "?" + urlencode(query)


def _action_url(incident: Incident, entry: Any, change: Any) -> str:
    """A new action item: find out why a logged change reached no trace."""
    name = change.summary if change else entry.change_id
    query = {
        "layer": str(entry.layer),
        "kind": "learn",
        "title": f"Find out why “{name}” reached no trace",
        "verification": "The log entry is corrected, or traces show the change.",
    }
    return reverse("action-new", args=[incident.number]) + "?" + urlencode(query)


urlpatterns = [
    path("incidents/<str:number>/changes/", page, name="changes"),
    path("incidents/<str:number>/changes/upload/", upload, name="changes-upload"),
    path("incidents/<str:number>/changes/pull/", pull, name="changes-pull"),
    path("incidents/<str:number>/changes/new/", new, name="change-new"),
    path("incidents/<str:number>/changes/<int:pk>/delete/", delete, name="change-delete"),
]
