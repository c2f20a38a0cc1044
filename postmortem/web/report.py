"""The Report page: what is missing, previews, publication, frozen versions and their downloads."""

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.incidents.states import reopen_for_correction
from postmortem.lib.errors import UserError
from postmortem.pipeline.models import Run
from postmortem.pipeline.publish import frozen_or_draft
from postmortem.pipeline.render import belongs_in_background, rendered
from postmortem.pipeline.services import start_rendering
from postmortem.report.difference import differences
from postmortem.report.documents import FORMATS, VIEWS, make_document
from postmortem.report.external import AUDIENCES
from postmortem.report.models import Report
from postmortem.report.selectors import reports
from postmortem.report.services import publish, read_record
from postmortem.web.report_response import document_response
from postmortem.web.runs import run_context
from postmortem.web.workspace import open_incident, render_stage

_SHOWN = (("html", "Read"), ("pdf", "PDF"), ("md", "Markdown"))


class PublishForm(forms.Form):
    """A person says that the record is ready."""

    confirmed = forms.BooleanField(
        error_messages={"required": "Tick that the record is ready; a published report cannot be changed."}
    )


class CorrectionForm(forms.Form):
    """Why a published report has to be corrected."""

    reason = forms.CharField(max_length=2000, error_messages={"required": "Say what needs correcting."})


@require_GET
def report(request: HttpRequest, number: str) -> HttpResponse:
    """What stands between the draft and publication; published versions."""
    incident = open_incident(request, number)
    versions = [(one, _links(incident, one)) for one in reports(incident)]
    context = {"reports": versions, "drafts": _links(incident, None)}
    return render_stage(request, "report_pages/page.html", incident, "report", context)


def _links(incident: Incident, one: Report | None) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every document of a version, or of the draft: (view, [(format, address)])."""
    version = one.version if one else None
    found = [
        (label, [(words, _address(incident, version, view, form)) for form, words in _SHOWN])
        for view, label in VIEWS.items()
    ]
    data = [(FORMATS[form], _address(incident, version, "full", form)) for form in ("json", "csv")]
    return [*found, ("Data", data)]


@require_POST
def report_publish(request: HttpRequest, number: str) -> HttpResponse:
    """Freeze the record; refused with the list of what is missing."""
    incident = open_incident(request, number, Capability.PUBLISH)
    form = PublishForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(form.errors["confirmed"]))
        return redirect("report", incident.number)
    last = reports(incident)
    reason = request.POST.get("correction_reason", "").strip()[:2000] if last else ""
    try:
        published = publish(incident=incident, by=request.user, correction_reason=reason)
    except UserError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Version {published.version} is published and frozen.")
    return redirect("report", incident.number)


@require_POST
def report_correct(request: HttpRequest, number: str) -> HttpResponse:
    """Open a published incident again; the published version stays as it is."""
    incident = open_incident(request, number, Capability.PUBLISH)
    form = CorrectionForm(request.POST)
    try:
        if not form.is_valid():
            raise UserError(" ".join(form.errors["reason"]))
        reopen_for_correction(incident=incident, by=request.user, reason=form.cleaned_data["reason"])
        messages.success(request, "Open for correction. Publishing again makes a new version that names this one.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect("report", incident.number)


@require_GET
def report_draft(request: HttpRequest, number: str, view: str, form: str) -> HttpResponse:
    """A preview of the record as it stands now, marked DRAFT."""
    return _document(request, open_incident(request, number), view, form, report=None)


@require_GET
def report_version(request: HttpRequest, number: str, version: int, view: str, form: str) -> HttpResponse:
    """A published version, rendered from its frozen record."""
    incident = open_incident(request, number)
    one = get_object_or_404(Report, incident=incident, version=version)
    return _document(request, incident, view, form, report=one)


@require_GET
def report_rendering(request: HttpRequest, number: str, run: int) -> HttpResponse:
    """A document that is rendered in the background: how far it is, then its download."""
    incident = open_incident(request, number)
    found = get_object_or_404(incident.runs.select_related("started_by"), pk=run, kind=Run.Kind.RENDER)
    document = rendered(found)
    asked = found.payload
    context = run_context(request, incident, found) | {
        "document": document,
        "gone": found.state == Run.State.DONE and document is None,
        "what": VIEWS[asked["view"]],
        "again": _address(incident, asked["version"], asked["view"], asked["form"]) + f"?audience={asked['audience']}",
    }
    return render_stage(request, "report_pages/rendering.html", incident, "report", context)


@require_GET
def report_rendered(request: HttpRequest, number: str, run: int) -> HttpResponse:
    """The finished document itself."""
    incident = open_incident(request, number)
    found = get_object_or_404(incident.runs, pk=run, kind=Run.Kind.RENDER)
    document = rendered(found)
    if document is None:
        return redirect("report-rendering", incident.number, found.pk)
    return document_response(document, found.payload["form"])


@require_GET
def report_difference(request: HttpRequest, number: str, version: int) -> HttpResponse:
    """What a version changed against an earlier one; without `against`, the one before it."""
    incident = open_incident(request, number)
    new = get_object_or_404(Report, incident=incident, version=version)
    asked = request.GET.get("against", "")
    earlier = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 else version - 1
    old = get_object_or_404(Report, incident=incident, version=earlier)
    context = {"old": old, "new": new, "rows": differences(read_record(old), read_record(new))}
    return render_stage(request, "report_pages/difference.html", incident, "report", context)


def _document(request: HttpRequest, incident: Incident, view: str, form: str, *, report: Report | None) -> HttpResponse:
    audience = request.GET.get("audience", "internal")
    if view not in VIEWS or form not in FORMATS or audience not in AUDIENCES:
        raise Http404("There is no such view of the report.")
    record, version, sha256 = frozen_or_draft(incident, report)
    if belongs_in_background(record, view=view, form=form):
        run = start_rendering(
            incident=incident, by=request.user, view=view, form=form, audience=audience, report=report
        )
        return redirect("report-rendering", incident.number, run.pk)
    document = make_document(record, view=view, form=form, version=version, sha256=sha256, audience=audience)
    return document_response(document, form)


def _address(incident: Incident, version: int | None, view: str, form: str) -> str:
    args = [incident.number, version] if version else [incident.number]
    return reverse("report-version" if version else "report-draft", args=[*args, view, form])


urlpatterns = [
    path("incidents/<str:number>/report/", report, name="report"),
    path("incidents/<str:number>/report/publish/", report_publish, name="report-publish"),
    path("incidents/<str:number>/report/correct/", report_correct, name="report-correct"),
    path("incidents/<str:number>/report/draft/<str:view>.<str:form>", report_draft, name="report-draft"),
    path("incidents/<str:number>/report/rendering/<int:run>/", report_rendering, name="report-rendering"),
    path("incidents/<str:number>/report/rendering/<int:run>/document", report_rendered, name="report-rendered"),
    path("incidents/<str:number>/report/v<int:version>/difference/", report_difference, name="report-difference"),
    path("incidents/<str:number>/report/v<int:version>/<str:view>.<str:form>", report_version, name="report-version"),
]
