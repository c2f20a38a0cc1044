"""Traces: find them, read one with everything it holds, cite it."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from postmortem.changes.selectors import version_records
from postmortem.changes.versions import version_tuple
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import UserError
from postmortem.pipeline.models import Run
from postmortem.review import services as review
from postmortem.review.models import Evidence
from postmortem.traces import reading as readings
from postmortem.traces import selectors
from postmortem.traces.facets import FACETS, VERSION_FACETS
from postmortem.traces.finding import TraceFilter, find_traces
from postmortem.traces.models import Score, Trace
from postmortem.traces.records import ObservationRecord, TraceRecord
from postmortem.traces.signals import LABEL, SIGNALS
from postmortem.traces.texts import masked_kinds, unread_count
from postmortem.traces.tree import ObservationNode, flatten
from postmortem.web.evidence_form import EvidenceForm
from postmortem.web.runs import run_context, shown_runs
from postmortem.web.trace_form import FACET_FILTERS, TraceFilterForm
from postmortem.web.workspace import open_incident, render_stage

PAGE_SIZE = 50
OBSERVATIONS_AT_ONCE = 200
_SCORE_COLUMNS = 4
_PREVIEW = 1500
_DEEPEST = 8
_FAILED_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ObservationRow:
    """One line of the observation tree, with the bar that says when it ran (0 to 100 of the trace's span)."""

    place: int
    observation: ObservationRecord
    depth: int
    bar_start: float
    bar_width: float


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """Traces narrowed by words, facets, score, label and time, in pages by keyset."""
    incident = open_incident(request, number)
    form = TraceFilterForm(request.GET)
    wanted, order = form.wanted(), form.order()
    found = find_traces(incident, wanted)
    turn = {name: request.GET.get(name, "")[:100] for name in ("after", "before")}
    shown = found.page(order=order, size=PAGE_SIZE, **turn)
    signals = selectors.signals(incident)
    names = [choice.name for choice in signals if choice.name not in SIGNALS or choice.name == LABEL]
    # The signal under review comes first, whatever is scored most often.
    columns = sorted(names, key=lambda name: name != incident.signal)[:_SCORE_COLUMNS]
    scores = _scores_of(shown.rows, columns)
    count, exact = found.estimate()
    context = {
        "page": shown,
        "rows": [
            (trace, [scores.get((trace.pk, name)) for name in columns]) for trace in readings.mask_traces(shown.rows)
        ],
        "columns": columns,
        "score_names": names,
        "count": count,
        "exact": exact,
        "form": form,
        "wanted": wanted,
        "order": order,
        "filtered": wanted != TraceFilter(),
        "incident": incident,
    }
    if request.htmx and request.htmx.target == "trace-rows":
        return render(request, "traces/_trace_rows.html", context)
    coverage = [facet for facet in selectors.facet_coverage(incident) if len(facet.values) > 1]
    context |= {
        "facets": coverage[:FACET_FILTERS],
        "total": selectors.evidence_counts(incident).traces,
        "unread": unread_count(incident),
    }
    return render_stage(request, "traces/trace_list.html", incident, "evidence", context)


@require_GET
def detail(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """One trace: facts, versions, scores, the tree of observations, the bytes it was read from."""
    incident = open_incident(request, number)
    trace = _trace(incident, pk)
    return _detail(request, incident, trace, EvidenceForm(initial={"direction": "for"}))


@require_POST
def cite(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Cite the trace as evidence for or against a cause in a layer."""
    incident = open_incident(request, number, Capability.REVIEW)
    trace = _trace(incident, pk)
    form = EvidenceForm(request.POST)
    if form.is_valid():
        data = form.cleaned_data
        try:
            review.add_evidence(
                incident=incident,
                by=request.user,
                layer=data["layer"],
                direction=data["direction"],
                text=data["text"],
                trace=trace,
            )
        except UserError as error:
            form.add_error("text", str(error))
        else:
            messages.success(request, f"The trace is evidence in the {data['layer']} layer now.")
            return redirect("trace-detail", incident.number, trace.pk)
    return _detail(request, incident, trace, form, status=400)


@require_POST
def clear(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """The trace in clear. A form and no link, so that nobody looks by accident; each look is recorded."""
    incident = open_incident(request, number, Capability.REVEAL)
    return _detail(request, incident, _trace(incident, pk), EvidenceForm(initial={"direction": "for"}), in_clear=True)


@require_http_methods(["GET", "HEAD", "POST"])
def observation(request: HttpRequest, number: str, pk: int, place: int) -> HttpResponse:
    """One observation whole: input, output, metadata, parameters. Masked; a POST asks for it in clear."""
    in_clear = request.method == "POST"
    incident = open_incident(request, number, Capability.REVEAL if in_clear else Capability.VIEW)
    trace = _trace(incident, pk)
    try:
        if in_clear:
            reading = readings.clear_reading(trace=trace, by=request.user, place=f"observation {place + 1}")
        else:
            reading = readings.masked_reading(trace, range(place, place + 1))
        nodes = list(flatten(reading.roots))
    except UserError as error:
        raise Http404(str(error)) from error
    if not 0 <= place < len(nodes):
        raise Http404("This trace has no such observation.")
    found = nodes[place].observation
    context = {
        "trace": trace,
        "in_clear": in_clear,
        "observation": found,
        "place": place,
        "metadata": _pretty(dict(found.metadata)),
        "parameters": _pretty(dict(found.model_parameters)),
        "before": place - 1 if place else None,
        "after": place + 1 if place + 1 < len(nodes) else None,
        "count": len(nodes),
    }
    if request.htmx and request.htmx.target == f"io-{place}":
        context |= {
            "incident": incident,
            "shown_input": found.input[:_PREVIEW],
            "shown_output": found.output[:_PREVIEW],
        }
        return render(request, "traces/_observation.html", context)
    return render_stage(request, "traces/observation.html", incident, "evidence", context)


def _detail(
    request: HttpRequest,
    incident: Incident,
    trace: Trace,
    form: EvidenceForm,
    status: int = 200,
    *,
    in_clear: bool = False,
) -> HttpResponse:
    refused = ""
    reading = None
    asked = request.GET.get("from", "0")
    first = int(asked) if asked.isdecimal() and len(asked) < 9 else 0
    after = first + OBSERVATIONS_AT_ONCE
    try:
        if in_clear:
            reading = readings.clear_reading(trace=trace, by=request.user)
        else:
            reading = readings.masked_reading(trace, range(first, after))
    except UserError as error:
        refused = str(error)
    nodes = list(flatten(reading.roots)) if reading else []
    if nodes and first >= len(nodes):
        return redirect("trace-detail", incident.number, trace.pk)
    context = {
        "in_clear": in_clear,
        "trace": trace,
        "incident": incident,
        "rows": _rows(nodes, first),
        "span_seconds": _span_seconds(nodes),
        "failed_places": _failed(nodes),
        "masked_kinds": {} if in_clear else masked_kinds(trace),
        "first": first,
        "next_from": after if after < len(nodes) else None,
        "observation_count": len(nodes),
    }
    if request.htmx and request.htmx.target == "more-observations":
        return render(request, "traces/_observations.html", context)
    groups = [name for name in FACETS if name not in VERSION_FACETS]
    record = TraceRecord(trace.external_id, trace.timestamp, dict(trace.facets))
    versions = version_tuple(record, version_records(incident))
    shown = {*FACETS, *(version.facet for version in versions)}
    own = [name for name in sorted(trace.facets) if name not in shown]
    told = bool(reading and (reading.input or reading.output)) or any(
        node.observation.input or node.observation.output for node in nodes
    )
    context |= {
        "without_texts": not told and not refused and trace.evidence_import.connection_id is not None,
        "runs": [run_context(request, incident, run) for run in shown_runs(incident, (Run.Kind.READ_TEXTS,))],
        "reading": reading,
        "refused": refused,
        "metadata": _pretty(reading.metadata) if reading and reading.metadata else "",
        "versions": versions,
        "groups": [(name, trace.facets.get(name, "")) for name in [*groups, *own]],
        "labels": trace.labels.select_related("by").order_by("-at", "-id")[:20],
        "form": form,
        "cited": Evidence.objects.filter(incident=incident, trace=trace).select_related("added_by"),
    }
    return render_stage(request, "traces/trace.html", incident, "evidence", context, status=status)


def _failed(nodes: list[ObservationNode]) -> list[tuple[int, int]]:
    """Where the first observations with an error stand: (place, first place of the part that shows it)."""
    places = [place for place, node in enumerate(nodes) if node.observation.level == "ERROR"][:_FAILED_SHOWN]
    return [(place, place - place % OBSERVATIONS_AT_ONCE) for place in places]


def _span_seconds(nodes: list[ObservationNode]) -> float:
    """From the first start to the last end, in seconds."""
    if not nodes:
        return 0.0
    end = max(node.observation.end or node.observation.start for node in nodes)
    return (end - min(node.observation.start for node in nodes)).total_seconds()


def _rows(nodes: list[ObservationNode], first: int) -> list[ObservationRow]:
    if not nodes:
        return []
    begin = min(node.observation.start for node in nodes)
    span = max(_span_seconds(nodes), 1e-6)

    def place_of(moment: datetime) -> float:
        return 100 * (moment - begin).total_seconds() / span

    rows = []
    for place, node in enumerate(nodes[first : first + OBSERVATIONS_AT_ONCE], start=first):
        found = node.observation
        start = place_of(found.start)
        rows.append(
            ObservationRow(
                place=place,
                observation=found,
                depth=min(node.depth, _DEEPEST),
                bar_start=round(min(start, 99.2), 2),
                bar_width=round(max(place_of(found.end or found.start) - start, 0.8), 2),
            )
        )
    return rows


def _scores_of(traces: list[Trace], names: list[str]) -> dict[tuple[int, str], Any]:
    """{(trace, score name): number or text} for the rows of one page; a score on the whole trace wins."""
    found: dict[tuple[int, str], Any] = {}
    rows = Score.objects.filter(trace__in=traces, name__in=names).order_by("-observation_id", "timestamp")
    for trace_id, name, value, text in rows.values_list("trace_id", "name", "value", "text_value"):
        found[(trace_id, name)] = value if value is not None else text
    return found


def _trace(incident: Incident, pk: int) -> Trace:
    traces = incident.traces.select_related("evidence_import__imported_by", "evidence_import__connection")
    return get_object_or_404(traces, pk=pk)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) if value else ""


urlpatterns = [
    path("incidents/<str:number>/traces/", page, name="trace-list"),
    path("incidents/<str:number>/traces/<int:pk>/", detail, name="trace-detail"),
    path("incidents/<str:number>/traces/<int:pk>/clear/", clear, name="trace-clear"),
    path("incidents/<str:number>/traces/<int:pk>/cite/", cite, name="trace-cite"),
    path("incidents/<str:number>/traces/<int:pk>/observations/<int:place>/", observation, name="trace-observation"),
]
