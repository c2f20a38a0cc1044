"""Texts proposed from the record's facts: marked as machine-made until somebody accepts them."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST

from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.pipeline.models import Run
from postmortem.pipeline.services import start_draft
from postmortem.report.accept import accept_text, machine_drafts, proposals, supported_text
from postmortem.report.draft_settings import drafting_settings, save_drafting_settings
from postmortem.report.summaries import FIELDS
from postmortem.web.one_row import SAVED, saved_status
from postmortem.web.runs import run_context, shown_runs
from postmortem.web.workspace import open_incident, render_stage


class AcceptForm(forms.Form):
    """A text, as proposed or edited."""

    field = forms.ChoiceField(choices=list(FIELDS.items()))
    text = forms.CharField(max_length=20_000)
    revision = forms.IntegerField(min_value=1)
    draft = forms.IntegerField(min_value=1, required=False)


class DraftingForm(forms.Form):
    """Where drafts come from."""

    revision = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
    enabled = forms.BooleanField(
        required=False, label="Let a model draft texts",
        help_text="It is sent facts of the record, without names, links and trace text, and what masking finds masked.",
    )  # fmt: skip
    base_url = forms.CharField(
        required=False, max_length=500, label="Address of an OpenAI-compatible endpoint",
        help_text="Up to where /chat/completions follows, like https://llm.example.org/v1. No other address is called.",
    )  # fmt: skip
    model = forms.CharField(required=False, max_length=200, label="Name of the model")
    api_key = forms.CharField(
        required=False, max_length=500, label="Key", widget=forms.PasswordInput,
        help_text="Stored encrypted. Left empty, the stored one stays while the address does.",
    )  # fmt: skip


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
    context = {
        "rows": [(one, typed.get(one.field, one.text)) for one in proposals(incident)],
        "drafts": [
            (one, FIELDS[one.field], typed.get(one.field, supported_text(one))) for one in machine_drafts(incident)
        ],
        "drafting": drafting_settings(),
        "fields": FIELDS.items(),
        "runs": [run_context(request, incident, run) for run in shown_runs(incident, (Run.Kind.DRAFT,))],
    }
    status = 400 if typed else 200
    return render_stage(request, "report_pages/proposals.html", incident, "report", context, status=status)


@require_POST
def report_draft_ask(request: HttpRequest, number: str) -> HttpResponse:
    """Ask the configured model for one text."""
    incident = open_incident(request, number, Capability.REVIEW)
    try:
        start_draft(incident=incident, by=request.user, field=request.POST.get("field", ""))
    except UserError as error:
        messages.error(request, str(error))
    return redirect("report-proposals", incident.number)


@require_http_methods(["GET", "HEAD", "POST"])
def drafting_page(request: HttpRequest) -> HttpResponse:
    """Whether and where drafts come from; for administrators."""
    require(request.user, Capability.CONFIGURE)
    stored = drafting_settings()
    names = ("revision", "enabled", "base_url", "model")
    form = DraftingForm(request.POST or None, initial={name: getattr(stored, name) for name in names})
    status = saved_status(request, form, lambda data: save_drafting_settings(by=request.user, **data))
    if status == SAVED:
        return redirect("drafting-settings")
    context = {"form": form, "has_key": bool(stored.api_key)}
    return render(request, "report_pages/drafting_settings.html", context, status=status)


urlpatterns = [
    path("incidents/<str:number>/report/proposals/", report_proposals, name="report-proposals"),
    path("incidents/<str:number>/report/proposals/ask/", report_draft_ask, name="report-draft-ask"),
    path("drafting/", drafting_page, name="drafting-settings"),
]
