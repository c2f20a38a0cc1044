"""Who changed what when, with the difference and a way back."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.http import require_GET, require_POST

from postmortem.accounts.models import AuditEntry
from postmortem.actions.undo import undo_text
from postmortem.lib.errors import UserError
from postmortem.report import undo as undoing
from postmortem.report.history import KINDS, history, people_in_history
from postmortem.web.workspace import open_incident, render_stage


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """Every change of the record, newest first; of one person or one kind if asked."""
    incident = open_incident(request, number)
    people = list(people_in_history(incident))
    asked = request.GET.get("person", "")
    person = next((one for one in people if str(one.pk) == asked), None)
    kind = request.GET.get("kind", "")
    kind = kind if kind in KINDS else ""
    seen = history(incident, person=person, kind=kind, before=request.GET.get("before", "")[:80])
    chosen = {"person": person.pk if person else "", "kind": kind}
    context = {
        "seen": seen,
        "people": people,
        "person": person,
        "kind": kind,
        "kinds": [(name, label) for name, (label, _) in KINDS.items()],
        "older": urlencode(chosen | {"before": seen.older}) if seen.older else "",
        "newest": "before" not in request.GET,
    }
    return render_stage(request, "review/history.html", incident, "review", context)


@require_POST
def undo(request: HttpRequest, number: str, what: str, pk: int) -> HttpResponse:
    """Take one change back, as a change of its own."""
    incident = open_incident(request, number)
    try:
        if what == "text":
            version = get_object_or_404(incident.text_versions, pk=pk)
            undo_text(version=version, incident=incident, by=request.user)
        else:
            entry = get_object_or_404(AuditEntry, pk=pk, incident_number=incident.number)
            undoing.undo(entry=entry, incident=incident, by=request.user)
        messages.success(request, "Undone. The history keeps both.")
    except UserError as error:
        messages.error(request, str(error))
    back = request.POST.get("back", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = reverse("history", args=[incident.number])
    return redirect(back)


urlpatterns = [
    path("incidents/<str:number>/history/", page, name="history"),
    path("incidents/<str:number>/history/changes/<int:pk>/undo/", undo, {"what": "change"}, name="history-undo"),
    path("incidents/<str:number>/history/texts/<int:pk>/undo/", undo, {"what": "text"}, name="history-undo-text"),
]
