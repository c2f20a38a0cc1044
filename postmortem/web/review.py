"""Review."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from postmortem.web.workspace import open_incident, render_stage


def page(request: HttpRequest, number: str) -> HttpResponse:
    """Review."""
    return render_stage(request, "web/incident_base.html", open_incident(request, number), "review")


urlpatterns = [
    path("incidents/<str:number>/review/", page, name="review"),
    path("incidents/<str:number>/review/<str:layer>/", page, name="review-layer"),
]
