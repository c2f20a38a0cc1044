"""Evidence."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from postmortem.web.workspace import open_incident, render_stage


def page(request: HttpRequest, number: str) -> HttpResponse:
    """Evidence."""
    return render_stage(request, "web/incident_base.html", open_incident(request, number), "evidence")


urlpatterns = [path("incidents/<str:number>/evidence/", page, name="evidence")]
