"""While many traces have no columns yet, pages that count or filter them say so, and come by themselves."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from postmortem.pipeline.services import prepare_later
from postmortem.traces.stored_columns import ColumnsMissing, most_waiting
from postmortem.web.runs import run_context

MOST_AT_ONCE = 100_000  # traces; one or two seconds of reading


class PrepareFirst:
    """Bounds what a request may wait for, and answers with the progress of the worker instead."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Bounded from here to the answer."""
        token = most_waiting.set(MOST_AT_ONCE)
        try:
            return self._get_response(request)
        finally:
            most_waiting.reset(token)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page that waits in the place of the one that was asked for."""
        if not isinstance(exception, ColumnsMissing):
            return None
        run = prepare_later(exception.incident_id, request.user)
        if request.htmx and request.htmx.target:  # a part of a page: the whole of it is asked for again
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        context = run_context(request, run.incident, run) | {"again": request.get_full_path()}
        if request.method not in ("GET", "HEAD"):
            context["again"] = context["stage_url"]
        return render(request, "web/preparing.html", context)
