"""The Attribution page: what explains the drop, in arithmetic that a reviewer can check."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from postmortem.attribution.comparing import compare_runs
from postmortem.attribution.measured import measured_clocks
from postmortem.attribution.models import Finding
from postmortem.attribution.replays import replay_results
from postmortem.attribution.selectors import finding_is_stale, findings, latest_finding, run_facts
from postmortem.changes.selectors import changes_for_incident
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import UserError
from postmortem.pipeline import services
from postmortem.pipeline.models import Run
from postmortem.report.aftermath import version_rows, versions_note
from postmortem.report.charts.patterns import pattern_chart
from postmortem.report.selectors import exposed_charts
from postmortem.traces.models import Connection
from postmortem.traces.selectors import trace_keys
from postmortem.web.runs import run_context
from postmortem.web.workspace import open_incident, render_stage

# Below this probability a hypothesis stands in the folded list.
_SHOWN_PROBABILITY = 0.02
_SHOWN_AT_LEAST = 5


@require_GET
def attribution(request: HttpRequest, number: str) -> HttpResponse:
    """The latest run, or the run asked for with ?run=."""
    incident = open_incident(request, number)
    runs = list(findings(incident)[:20])
    finding = latest_finding(incident)
    asked = request.GET.get("run", "")
    if asked:
        finding = next((one for one in runs if str(one.number) == asked), None)
        if finding is None:
            raise Http404(f"{number} has no run {asked[:20]}.")
    running = Run.objects.filter(
        incident=incident, kind=Run.Kind.ATTRIBUTE, state__in=[Run.State.QUEUED, Run.State.RUNNING]
    ).first()
    context: dict[str, object] = {
        "finding": finding,
        "runs": runs,
        "active": run_context(request, incident, running) if running else None,
        "through_form": ThroughForm(initial={"granularity": "minute"}),
        "connected": Connection.objects.filter(kind=Connection.Kind.LANGFUSE).exists(),
        "through": (finding.parameters or {}).get("through") if finding else None,
        "failed_run": Run.objects.filter(incident=incident, kind=Run.Kind.ATTRIBUTE).first(),
    }
    if finding is not None:
        hypotheses = finding.result["hypotheses"]
        shown = [
            one
            for rank, one in enumerate(hypotheses)
            if rank < _SHOWN_AT_LEAST or one["probability"] >= _SHOWN_PROBABILITY
        ]
        # The newest replay of each change: the query gives the newest first.
        replayed = {one.change.external_id: one.result for one in reversed(replay_results(incident))}
        summaries = dict(changes_for_incident(incident).values_list("external_id", "summary"))
        context |= {
            "result": finding.result,
            "unit": finding.result["signal"]["unit"],
            "shown": [(rank, one, replayed.get(next(iter(one["changes"]), ""))) for rank, one in enumerate(shown, 1)],
            "folded": list(enumerate(hypotheses[len(shown) :], len(shown) + 1)),
            "charts": exposed_charts(finding),
            "measured": measured_clocks(finding.result, detected=incident.detected_at, mitigated=incident.mitigated_at),
            **_patterns(incident, finding.result.get("patterns") or []),
            "disagreement": _disagreement(runs, finding),
            "stale": finding_is_stale(incident, finding),
            "summaries": summaries,
            "versions": version_rows(finding.result),
            "versions_note": versions_note(finding.result),
            "is_latest": runs and finding.number == runs[0].number,
        }
    return render_stage(request, "attribution/page.html", incident, "attribution", context)


@require_POST
def attribution_run(request: HttpRequest, number: str) -> HttpResponse:
    """Queue a run; the page follows it."""
    incident = open_incident(request, number, Capability.REVIEW)
    try:
        services.start_attribution(incident=incident, by=request.user)
    except UserError as error:
        messages.error(request, str(error))
    return redirect("attribution", incident.number)


class ThroughForm(forms.Form):
    """Whose server groups the window, and how finely."""

    connection = forms.ModelChoiceField(
        queryset=Connection.objects.filter(kind=Connection.Kind.LANGFUSE),
        empty_label="choose",
        label="Langfuse connection",
        error_messages={
            "required": "Choose a connection first.",
            "invalid_choice": "This connection is gone; choose another one.",
        },
    )
    granularity = forms.ChoiceField(
        label="Cells of",
        choices=[("minute", "one minute"), ("hour", "one hour")],
        help_text="Hours are read faster; take them for windows of weeks.",
        error_messages={"required": "Choose how long a cell is."},
    )


@require_POST
def attribution_through(request: HttpRequest, number: str) -> HttpResponse:
    """Queue a run on a window that Langfuse groups; the page follows it."""
    incident = open_incident(request, number, Capability.REVIEW)
    form = ThroughForm(request.POST)
    if not form.is_valid():
        messages.error(request, next(iter(form.errors.values()))[0])
        return redirect(f"{reverse('attribution', args=[incident.number])}#through")
    try:
        services.start_grouped_attribution(incident=incident, by=request.user, **form.cleaned_data)
    except UserError as error:
        messages.error(request, str(error))
    return redirect("attribution", incident.number)


def _disagreement(runs: list[Finding], finding: Finding) -> dict[str, object] | None:
    """What this run says otherwise than the one before it, and why; None if they agree."""
    before = next((run for run in runs if run.number < finding.number), None)
    if before is None:
        return None
    comparison = compare_runs(run_facts(before), run_facts(finding))
    if not comparison.disagrees:
        return None
    reasons = comparison.reasons or ("The inputs and the code are the same.",)
    return {"before": before.number, "reasons": reasons}


def _patterns(incident: Incident, patterns: list[dict[str, Any]]) -> dict[str, object]:
    """The cards of the failure patterns, with their pictures and the pages of their traces."""
    for one in patterns:
        one["missing_title"] = f"Log {'; '.join(one['missing'])}"[:200]
        one["missing_check"] = f"At least 95% of traces record {'; '.join(one['missing'])} for 7 days"
    ids = {external_id for one in patterns for external_id in one["traces"][:8]}
    return {
        "matched": [one for one in patterns if one["answer"] == "match"],
        "unmatched": [one for one in patterns if one["answer"] == "no_match"],
        "undecided": [one for one in patterns if one["answer"] == "not_enough_data"],
        "pattern_charts": {
            one["pattern"]: pattern_chart(one["picture"], one["title"]) for one in patterns if one["picture"]
        },
        "trace_pages": trace_keys(incident, ids),
    }


urlpatterns = [
    path("incidents/<str:number>/attribution/", attribution, name="attribution"),
    path("incidents/<str:number>/attribution/run/", attribution_run, name="attribution-run"),
    path("incidents/<str:number>/attribution/through/", attribution_through, name="attribution-through"),
]
