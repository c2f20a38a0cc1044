"""Texts proposed from the record's facts: marked as machine-made until somebody accepts them."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_http_methods

from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import UserError
from postmortem.report.accept import accept_text, proposals
from postmortem.report.summaries import FIELDS
from postmortem.web.workspace import open_incident, render_stage


class AcceptForm(forms.Form):
    """A text, as proposed or edited."""

    field = forms.ChoiceField(choices=list(FIELDS.items()))
    text = forms.CharField(max_length=20_000)
    revision = forms.IntegerField(min_value=1)


@require_http_methods(["GET", "HEAD", "POST"])
def report_proposals(request: HttpRequest, number: str) -> HttpResponse:
    """Each proposal with the facts behind its sentences; accepting one makes it the record's text."""
    incident = open_incident(request, number, Capability.REVIEW)
    typed: dict[str, str] = {}
    if request.method == "POST":
        form = AcceptForm(request.POST)
        try:
            if not form.is_valid():
                raise UserError("Choose a proposal and keep some text in it.")
            accept_text(incident=incident, by=request.user, **form.cleaned_data)
            messages.success(request, f"{FIELDS[form.cleaned_data['field']]} is accepted and stands in the record.")
            return redirect("report-proposals", incident.number)
        except UserError as error:
            messages.error(request, str(error))
            typed = {request.POST.get("field", ""): request.POST.get("text", "")}
            incident.refresh_from_db()
    rows = [(one, typed.get(one.field, one.text)) for one in proposals(incident)]
    status = 400 if typed else 200
    return render_stage(request, "report_pages/proposals.html", incident, "report", {"rows": rows}, status=status)


urlpatterns = [path("incidents/<str:number>/report/proposals/", report_proposals, name="report-proposals")]
