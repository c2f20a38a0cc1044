"""Manifests of corpora and training data: upload, what two differ in, and the change that they make."""

import json
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from postmortem.changes.manifests import selectors, services
from postmortem.changes.manifests.reading import MAX_UPLOAD_BYTES
from postmortem.changes.manifests.training import TrainingDifference
from postmortem.changes.models import Change, Manifest
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.web.fields import MomentField
from postmortem.web.workspace import open_incident, render_stage

EXAMPLES = 20
_MOST_CHANGES = 200
_DAYS_SHOWN = 12
_SAMPLES = {
    "corpus.jsonl": """\
{"index": "help-centre", "version": "2026-03-09", "at": "2026-03-09T06:00:00Z", "encoder": "helix-3", "chunking": {"size": 400, "overlap": 40}, "source": "https://git.example.org/kb"}
{"id": "refunds/eu.md", "hash": "9f2c…", "embedded_at": "2026-03-09T05:10:00Z", "gold": true}
{"id": "refunds/us.md", "hash": "77ab…", "embedded_at": "2026-01-12T05:10:00Z"}""",  # noqa: E501
    "training.jsonl": """\
{"dataset": "support-tickets", "version": "8", "at": "2026-03-08T20:00:00Z", "model_version": "ft-2026-03-08", "topic_facet": "intent"}
{"id": "t-10441", "hash": "1be0…", "source": "tickets-2026-02", "author": "Support EU", "reviewer": "R. Okafor", "licence": "internal", "topic": "refund"}
{"id": "t-10442", "hash": "c2d1…", "source": "vendor-batch-7", "topic": "refund"}""",  # noqa: E501
}  # fmt: skip


class ManifestForm(forms.Form):
    """One manifest, and what its file does not say."""

    file = forms.FileField(
        label="Manifest",
        help_text="JSON or JSON Lines, plain or gzipped; up to 64 MB and 500,000 entries.",
        error_messages={
            "required": "Choose a file first.",
            "empty": "This file is empty; export it again and upload the new one.",
        },
        widget=forms.ClearableFileInput(attrs={"accept": ".json,.jsonl,.ndjson,.gz"}),
    )
    kind = forms.ChoiceField(
        required=False, choices=[("", "what the file says"), *Manifest.Kind.choices], label="What it lists"
    )
    name = forms.CharField(required=False, max_length=120, label="Index or data set")
    version = forms.CharField(required=False, max_length=200)
    at = MomentField(required=False, label="Live since (UTC)")
    faults = forms.ChoiceField(
        choices=[("refuse", "refuse the whole file"), ("skip", "are left out and told")],
        label="Entries that cannot be read",
        initial="refuse",
    )
    log = forms.BooleanField(required=False, initial=True, label="Write what changed to the ledger")

    def given(self) -> dict[str, str]:
        """What the person says besides the file."""
        data = self.cleaned_data
        told = {name: data[name] for name in ("kind", "name", "version") if data[name]}
        return told | ({"at": format_moment(data["at"])} if data["at"] else {})


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """All manifests of the feature, and the form for one more."""
    return _render_list(request, open_incident(request, number), ManifestForm())


@require_POST
def upload(request: HttpRequest, number: str) -> HttpResponse:
    """Keep one manifest, and log what it changed."""
    incident = open_incident(request, number, Capability.IMPORT)
    form = ManifestForm(request.POST, request.FILES)
    if not form.is_valid():
        return _render_list(request, incident, form, 400)
    file = form.cleaned_data["file"]
    try:
        if file.size > MAX_UPLOAD_BYTES:
            raise UserError(f"{file.name} has more than 64 MB; gzip it, or split it.")
        made, is_new = services.store_manifest(
            incident=incident, by=request.user, filename=file.name, data=file.read(), given=form.given(),
            keep_good=form.cleaned_data["faults"] == "skip",
        )  # fmt: skip
    except UserError as error:
        form.add_error("file", str(error))
        return _render_list(request, incident, form, 400)
    told = f"{made}: {made.entry_count:,} {_noun(made)}" if is_new else f"{made} was there already"
    if is_new and made.fault_count:
        first = f"line {made.faults[0][0]}: {made.faults[0][1]}"
        messages.warning(request, f"{told}, {made.fault_count:,} left out, {first}.")
    else:
        messages.success(request, f"{told}.")
    if is_new and form.cleaned_data["log"] and selectors.earlier_manifest(made) is not None:
        _log(request, incident, made, None)
    return redirect("manifest", incident.number, made.pk)


@require_GET
def detail(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """One manifest against another of the same thing, the one before it unless asked."""
    incident = open_incident(request, number)
    manifest = _manifest(incident, pk)
    others = list(selectors.same_thing(manifest))
    older, refused = _asked(request, manifest, others), ""
    found: Any = None
    try:
        if older is not None or manifest.kind == Manifest.Kind.TRAINING:
            found = selectors.difference(older, manifest)
    except UserError as error:
        refused = str(error)
    days = found.embedded_by_day if manifest.kind == Manifest.Kind.CORPUS and found else ()
    models = incident.feature.changes.filter(layer=Layer.MODEL.value, merged_into=None).order_by("-at")
    context = {
        "manifest": manifest,
        "later": None if manifest.is_logged else selectors.later_logged(manifest),
        "noun": _noun(manifest),
        "others": others,
        "older": older,
        "refused": refused,
        "found": found,
        "lists": _lists(found),
        "shares": _shares(found),
        "embedded_days": days[: -_DAYS_SHOWN - 1 : -1],
        "more_days": len(days) > _DAYS_SHOWN,
        "models": models[:_MOST_CHANGES] if manifest.kind == Manifest.Kind.TRAINING else [],
    }
    return render_stage(request, "changes/manifest.html", incident, "changes", context)


@require_GET
def whole_difference(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """All that differs, one id a line as JSON, for what a page has no room for."""
    incident = open_incident(request, number)
    manifest = _manifest(incident, pk)
    older = _asked(request, manifest, list(selectors.same_thing(manifest)))
    try:
        found = selectors.difference(older, manifest)
    except UserError as error:
        messages.error(request, str(error))
        return redirect("manifest", incident.number, pk)
    lines = (
        json.dumps({"difference": title.lower(), "id": name}, ensure_ascii=False) + "\n"
        for title, ids in _named(found)
        for name in ids
    )
    answer = StreamingHttpResponse(lines, content_type="application/x-ndjson")
    answer["Content-Disposition"] = f'attachment; filename="difference-{manifest.pk}.jsonl"'
    return answer


@require_POST
def log(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Make the difference an entry of the ledger, or put it on a model change that is there already."""
    incident = open_incident(request, number, Capability.IMPORT)
    manifest = _manifest(incident, pk)
    others = list(selectors.same_thing(manifest))
    older = next((other for other in others if str(other.pk) == request.POST.get("with")), None)
    chosen = request.POST.get("change", "")
    if not chosen:
        _log(request, incident, manifest, older)
        return redirect("manifest", incident.number, pk)
    change = get_object_or_404(Change, feature=incident.feature_id, pk=chosen if chosen.isdecimal() else 0)
    try:
        services.attach_provenance(manifest=manifest, change=change, by=request.user, incident=incident, older=older)
        messages.success(request, f"“{change.summary}” carries the provenance of {manifest} now.")
        return redirect("change", incident.number, change.pk)
    except UserError as error:
        messages.error(request, str(error))
    return redirect("manifest", incident.number, pk)


@require_POST
def delete(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Forget a manifest that nothing rests on."""
    incident = open_incident(request, number, Capability.IMPORT)
    manifest = _manifest(incident, pk)
    try:
        services.delete_manifest(manifest=manifest, by=request.user, incident=incident)
        messages.success(request, f"{manifest} is forgotten.")
    except UserError as error:
        messages.error(request, str(error))
        return redirect("manifest", incident.number, pk)
    return redirect("manifests", incident.number)


def _log(request: HttpRequest, incident: Incident, manifest: Manifest, older: Manifest | None) -> None:
    later = selectors.later_logged(manifest)
    try:
        change = services.log_manifest(manifest=manifest, by=request.user, incident=incident, older=older)
        messages.success(request, f"In the ledger: {change.summary}.")
        if later is not None:
            messages.warning(
                request,
                f"The entry of {later} is corrected: it is compared with {manifest} now, which lies before it.",
            )
    except UserError as error:
        messages.warning(request, str(error))


def _render_list(request: HttpRequest, incident: Incident, form: ManifestForm, status: int = 200) -> HttpResponse:
    context = {"rows": selectors.manifests_of(incident.feature), "form": form, "samples": _SAMPLES}
    return render_stage(request, "changes/manifests.html", incident, "changes", context, status=status)


def _asked(request: HttpRequest, manifest: Manifest, others: list[Manifest]) -> Manifest | None:
    """Which one it is set against: as asked, else as it was logged, else the one before it."""
    asked = request.GET.get("with", "")
    if asked == "none" and manifest.kind == Manifest.Kind.TRAINING:
        return None
    wanted = int(asked) if asked.isdecimal() else manifest.compared_with_id
    return next((one for one in others if one.pk == wanted), None) or next(
        (one for one in others if one.at <= manifest.at), None
    )


def _lists(found: Any) -> list[tuple[str, int, tuple[str, ...]]]:
    """What differs as lists of ids: title, how many, the first of them."""
    return [(title, len(ids), ids[:EXAMPLES]) for title, ids in _named(found)] if found else []


def _named(found: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Every list of ids that has any, with its title."""
    named = [("Added", found.added), ("Removed", found.removed), ("Changed", found.changed)]
    if isinstance(found, TrainingDifference):
        named.append(("Added without author or reviewer", found.unaccounted))
    else:
        named += [
            ("Embedded again", found.re_embedded),
            ("Still embedded by another encoder", found.stale),
            ("Gold documents that moved", found.gold_changed),
        ]
    return [(title, ids) for title, ids in named if ids]


def _shares(found: Any) -> list[tuple[str, int, int, int, int]]:
    """Of training data: what is missing, in how many added rows of how many, in how many of all."""
    if not isinstance(found, TrainingDifference):
        return []
    added, whole = found.of_added, found.of_all
    return [
        (f"No {word}", getattr(added, name), added.rows, getattr(whole, name), whole.rows)
        for word, name in (
            ("author", "without_author"),
            ("reviewer", "without_reviewer"),
            ("licence", "without_licence"),
            ("source", "without_source"),
        )
    ]


def _noun(manifest: Manifest) -> str:
    return "documents" if manifest.kind == Manifest.Kind.CORPUS else "rows"


def _manifest(incident: Incident, pk: int) -> Manifest:
    rows = Manifest.objects.select_related("change", "added_by", "compared_with", "raw")
    return get_object_or_404(rows.defer("raw__compressed"), feature=incident.feature_id, pk=pk)


_ROOT = "incidents/<str:number>/manifests/"
urlpatterns = [
    path(_ROOT, page, name="manifests"),
    path(_ROOT + "upload/", upload, name="manifest-upload"),
    path(_ROOT + "<int:pk>/", detail, name="manifest"),
    path(_ROOT + "<int:pk>/difference.jsonl", whole_difference, name="manifest-difference"),
    path(_ROOT + "<int:pk>/log/", log, name="manifest-log"),
    path(_ROOT + "<int:pk>/delete/", delete, name="manifest-delete"),
]
