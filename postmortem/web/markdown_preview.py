"""What a Markdown field will look like: the same sanitiser as in the record and the report."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_POST

_FIELDS = ("summary", "impact", "detection_gap", "lessons", "decisions_requested", "text")


@require_POST
def markdown_preview(request: HttpRequest) -> HttpResponse:
    """The Markdown of the field that `field` names, as a fragment of HTML; nothing is stored."""
    name = request.POST.get("field", "text")
    text = request.POST.get(name, "") if name in _FIELDS else ""
    return render(request, "web/_preview_text.html", {"text": text})


urlpatterns = [path("markdown/preview/", markdown_preview, name="markdown-preview")]
