"""Connections."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path


def page(request: HttpRequest) -> HttpResponse:
    """Connections."""
    return render(request, "base.html")


urlpatterns = [path("connections/", page, name="connections")]
