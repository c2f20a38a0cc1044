"""Counterfactual replay: a set of failing traces to run again, and what the results say of a change."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from postmortem.attribution import replays
from postmortem.attribution.comparing import compare_runs
from postmortem.attribution.models import Finding, ReplayResult
from postmortem.attribution.selectors import findings, latest_finding, run_facts
from postmortem.changes.selectors import changes_for_incident
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import UserError
from postmortem.review import services as review
from postmortem.web.fields import ChangeField
from postmortem.web.workspace import open_incident, render_stage

_FORMS = {"jsonl": "replay.jsonl", "dataset": "langfuse-dataset-items.jsonl"}
_DEFAULT_COUNT = 40


class ResultsForm(forms.Form):
    """The results of a replay."""

    change = ChangeField(
        empty_label="choose",
        label="Replayed with and without",
        error_messages={"required": "Choose the change that was left out of the replay."},
    )
    file = forms.FileField(
        label="Results",
        help_text='JSONL: {"id": "…", "arm": "with" or "without", "good": true or false}',
        error_messages={"required": "Choose the file of results.", "empty": "This file is empty."},
    )

    def __init__(self, *args: object, incident: Incident, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["change"].offer(changes_for_incident(incident))


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """What to replay, and what came back."""
    return _render(request, open_incident(request, number))


@require_POST
def export(request: HttpRequest, number: str) -> HttpResponse:
    """The replay set as a download."""
    incident = open_incident(request, number, Capability.REVIEW)
    form = request.POST.get("form", "jsonl")
    typed = request.POST.get("count", "")
    count = int(typed) if typed.isdecimal() and len(typed) < 5 else _DEFAULT_COUNT
    try:
        lines = replays.replay_set(incident=incident, by=request.user, count=count, clear="clear" in request.POST)
    except UserError as error:
        messages.error(request, str(error))
        return redirect("replay", incident.number)
    body = replays.as_dataset_items(lines, incident) if form == "dataset" else replays.as_jsonl(lines)
    response = StreamingHttpResponse(body, content_type="application/x-ndjson")
    name = f"{incident.number}-{_FORMS.get(form, _FORMS['jsonl'])}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_POST
def results(request: HttpRequest, number: str) -> HttpResponse:
    """Read results back."""
    incident = open_incident(request, number, Capability.REVIEW)
    form = ResultsForm(request.POST, request.FILES, incident=incident)
    if form.is_valid():
        try:
            replays.add_replay_results(
                incident=incident,
                by=request.user,
                change=form.cleaned_data["change"],
                data=form.cleaned_data["file"].read(replays.MAX_RESULT_BYTES + 1),
            )
            messages.success(request, "The results are read.")
            return redirect("replay", incident.number)
        except UserError as error:
            form.add_error("file", str(error))
    return _render(request, incident, form)


@require_POST
def cite(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Put a result into the review as evidence for or against its layer."""
    incident = open_incident(request, number, Capability.REVIEW)
    found = get_object_or_404(ReplayResult.objects.select_related("change"), pk=pk, incident=incident)
    direction = found.result["direction"]
    try:
        if direction == "undecided":
            raise UserError("This replay cannot tell, so it speaks neither for nor against; replay more traces.")
        review.add_evidence(
            incident=incident,
            by=request.user,
            layer=found.change.layer,
            direction=direction,
            text=found.result["sentence"],
            change=found.change,
        )
        messages.success(request, f"It stands as evidence {direction} {found.change.get_layer_display().lower()}.")
        return redirect("review-layer", incident.number, found.change.layer)
    except UserError as error:
        messages.error(request, str(error))
    return redirect("replay", incident.number)


@require_GET
def compare(request: HttpRequest, number: str) -> HttpResponse:
    """Two runs of the attribution side by side."""
    incident = open_incident(request, number)
    runs = list(findings(incident)[:50])
    chosen = [_run(runs, request.GET.get(name, ""), place) for place, name in enumerate(("b", "a"))]
    after, before = chosen
    comparison = compare_runs(run_facts(before), run_facts(after)) if before and after else None
    context = {"runs": runs, "before": before, "after": after, "comparison": comparison}
    return render_stage(request, "attribution/compare.html", incident, "attribution", context)


def _run(runs: list[Finding], asked: str, place: int) -> Finding | None:
    found = next((run for run in runs if str(run.number) == asked), None)
    return found or (runs[place] if len(runs) > place else None)


def _render(request: HttpRequest, incident: Incident, form: ResultsForm | None = None) -> HttpResponse:
    finding = latest_finding(incident)
    planned = [one for one in (finding.result.get("settle") or [] if finding else []) if one["kind"] == "replay"]
    context = {
        "results_form": form or ResultsForm(incident=incident),
        "results": list(replays.replay_results(incident)[:50]),
        "count": planned[0]["traces"] if planned else _DEFAULT_COUNT,
        "planned": planned,
        "most": replays.MOST_TRACES,
    }
    return render_stage(
        request, "attribution/replay.html", incident, "attribution", context, status=400 if form else 200
    )


_ROOT = "incidents/<str:number>/attribution/"
urlpatterns = [
    path(_ROOT + "replay/", page, name="replay"),
    path(_ROOT + "replay/export/", export, name="replay-export"),
    path(_ROOT + "replay/results/", results, name="replay-results"),
    path(_ROOT + "replay/results/<int:pk>/cite/", cite, name="replay-cite"),
    path(_ROOT + "compare/", compare, name="runs-compare"),
]
