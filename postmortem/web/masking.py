"""What is masked besides the patterns that come along: an administrator's own patterns, and a place to try them."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST

from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.traces import reading, redaction
from postmortem.traces.models import RedactionPattern
from postmortem.traces.texts import house_patterns


class PatternForm(forms.Form):
    """A pattern of the house."""

    kind = forms.CharField(
        max_length=60, label="What it finds", help_text="For example customer number; it is shown instead of the text.",
        error_messages={"required": "Say what the pattern finds."},
    )  # fmt: skip
    pattern = forms.CharField(
        max_length=redaction.MAX_PATTERN,
        help_text="RE2 syntax, for example CUST-[0-9]{6}.",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        error_messages={"required": "Write a pattern."},
    )
    sample = forms.CharField(
        required=False,
        max_length=4000,
        label="Try it on a text",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Nothing of this is stored.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """The patterns in force; a POST adds one, or tries it when it came from the second button."""
    require(request.user, Capability.CONFIGURE)
    form = PatternForm(request.POST or None)
    shown = ""
    if request.method == "POST" and form.is_valid():
        kind, pattern, sample = (form.cleaned_data[name] for name in ("kind", "pattern", "sample"))
        try:
            if "try" in request.POST:
                redaction.check_pattern(pattern)
                shown = redaction.mask(sample, (*house_patterns(), redaction.HousePattern(kind, pattern)))
            else:
                reading.add_pattern(by=request.user, kind=kind, pattern=pattern)
                messages.success(request, f"{kind} is masked everywhere from now on.")
                return redirect("masking")
        except UserError as error:
            form.add_error("pattern", str(error))
    context = {"form": form, "patterns": reading.patterns_in_force(), "shown": shown}
    return render(request, "traces/masking.html", context, status=400 if form.errors else 200)


@require_POST
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop masking by a pattern."""
    require(request.user, Capability.CONFIGURE)
    row = get_object_or_404(RedactionPattern, pk=pk, retired_at=None)
    reading.retire_pattern(row=row, by=request.user)
    messages.success(request, f"{row.kind} is no longer masked.")
    return redirect("masking")


urlpatterns = [
    path("masking/", page, name="masking"),
    path("masking/<int:pk>/retire/", retire, name="masking-retire"),
]
