"""A failing trace beside a similar healthy one, differences marked."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_GET

from postmortem.changes.side_by_side import compare
from postmortem.traces.healthy import similar_healthy
from postmortem.traces.reading import mask_traces
from postmortem.traces.selectors import TraceReading
from postmortem.web.workspace import open_incident, render_stage


@require_GET
def page(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """The trace of the address on the left, the healthy one on the right."""
    incident = open_incident(request, number)
    trace = get_object_or_404(incident.traces.select_related("incident__feature"), pk=pk)
    others = similar_healthy(trace)
    asked = request.GET.get("with", "")
    other = others[0] if others else None
    if asked.isdecimal() and len(asked) < 19:
        other = get_object_or_404(incident.traces, pk=int(asked))
    context = {"trace": trace, "other": other, "others": mask_traces(others)}
    if other is not None:
        found = compare(incident, trace, other)
        context |= {
            "found": found,
            "pairs": found.steps,
            "scores": _scores(found.left.reading, found.right.reading),
        }
    return render_stage(request, "traces/compare.html", incident, "evidence", context)


def _scores(left: TraceReading, right: TraceReading) -> list[tuple[str, float | None, float | None]]:
    found = [{s.name: s.value for s in side.scores if s.value is not None} for side in (left, right)]
    return [(name, found[0].get(name), found[1].get(name)) for name in sorted({**found[0], **found[1]})]


urlpatterns = [path("incidents/<str:number>/traces/<int:pk>/compare/", page, name="trace-compare")]
