"""Traces."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from postmortem.web.workspace import open_incident, render_stage


def page(request: HttpRequest, number: str) -> HttpResponse:
    """Traces."""
    return render_stage(request, "web/incident_base.html", open_incident(request, number), "traces")


urlpatterns = [
    path("incidents/<str:number>/traces/", page, name="trace-list"),
    path("incidents/<str:number>/traces/<int:pk>/", page, name="trace-detail"),
]
