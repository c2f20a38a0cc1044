"""The page where the extra fields of the Article 73 annex are edited."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_http_methods

from postmortem.incidents.models import Status
from postmortem.incidents.permissions import Capability, may, require
from postmortem.lib.clock import parse_moment, utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.report.annex import annex_state, save_annex
from postmortem.report.article73 import MOST, fields_of, in_words
from postmortem.report.history import history
from postmortem.web.fields import MomentField
from postmortem.web.workspace import open_incident, render_stage


class AnnexForm(forms.Form):
    """One field for each of the rules; none is required, for a first report may be incomplete."""

    revision = forms.IntegerField(widget=forms.HiddenInput, min_value=0)

    def __init__(self, *args: Any, rules: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in fields_of(rules):
            self.fields[field["name"]] = _form_field(field)

    def values(self) -> dict[str, Any]:
        """What was typed, without the revision."""
        return {name: value for name, value in self.cleaned_data.items() if name != "revision"}


def _form_field(field: dict[str, Any]) -> forms.Field:
    kind = field["kind"]
    needed = "Required in a complete report." if field.get("required") else ""
    shared = {
        "label": field["label"],
        "required": False,
        "help_text": " ".join([field.get("help", ""), needed]).strip(),
    }
    if kind == "choice":
        return forms.ChoiceField(choices=[("", "not stated"), *field["choices"]], **shared)
    if kind == "choices":
        return forms.MultipleChoiceField(choices=field["choices"], widget=forms.CheckboxSelectMultiple, **shared)
    if kind == "moment":
        return MomentField(**shared)
    if kind == "number":
        return forms.IntegerField(min_value=0, max_value=999_999_999, **shared)
    if kind == "email":
        return forms.EmailField(max_length=MOST["email"], **shared)
    widget = forms.Textarea(attrs={"rows": 3}) if kind == "text" else forms.TextInput()
    return forms.CharField(max_length=MOST[kind], widget=widget, **shared)


@require_http_methods(["GET", "HEAD", "POST"])
def annex(request: HttpRequest, number: str) -> HttpResponse:
    """The fields, the clocks and the history; two people who edit at once both keep their text."""
    incident = open_incident(request, number)
    state = annex_state(incident)
    rules, conflict = state["rules"], None
    if request.method == "POST":
        require(request.user, Capability.REVIEW, incident)
        form = AnnexForm(request.POST, rules=rules)
        if form.is_valid():
            revision = form.cleaned_data["revision"]
            try:
                save_annex(incident=incident, by=request.user, values=form.values(), revision=revision)
            except EditConflict as error:
                conflict = error
                form.data = form.data.copy()
                form.data["revision"] = str(error.revision)
            except UserError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Saved. The earlier state stays in the history.")
                return redirect("report-annex", incident.number)
    else:
        initial = state["values"] | {
            field["name"]: parse_moment(state["values"][field["name"]])
            for field in fields_of(rules)
            if field["kind"] == "moment" and field["name"] in state["values"]
        }
        form = AnnexForm(initial=initial | {"revision": state["revision"]}, rules=rules)
    now, past = utc_now(), history(incident, kind="annex", size=10)
    context = {
        "form": form,
        "groups": [(group["title"], [form[one["name"]] for one in group["fields"]]) for group in rules["groups"]],
        "rules": rules,
        "missing": state["missing"],
        "stated": bool(state["values"].get("aware_at")),
        "clocks": [(clock, clock.left(now)) for clock in state["clocks"]],
        "history": past.lines,
        "older": past.older,
        "conflict": conflict,
        "theirs": _theirs(rules, form, conflict) if conflict else [],
        "may_edit": may(request.user, Capability.REVIEW, incident) and incident.status != Status.PUBLISHED,
    }
    status = 409 if conflict else 400 if form.errors else 200
    return render_stage(request, "report_pages/annex.html", incident, "report", context, status=status)


def _theirs(rules: dict[str, Any], form: AnnexForm, conflict: EditConflict) -> list[tuple[str, str, str]]:
    """Fields that differ: label, what is stored, what was typed."""
    rows = []
    for field in fields_of(rules):
        stored, typed = in_words(field, conflict.current.get(field["name"])), form.data.getlist(field["name"])
        mine = ", ".join(typed)
        if stored != mine and (stored or mine):
            rows.append((field["label"], stored, mine))
    return rows


urlpatterns = [path("incidents/<str:number>/report/annex/", annex, name="report-annex")]
