"""Delivery of published reports: share links, e-mail, and what an administrator allows."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.report import delivery
from postmortem.report.documents import VIEWS, make_document
from postmortem.report.external import AUDIENCES
from postmortem.report.models import Delivery, Report, ShareLink
from postmortem.report.services import read_record
from postmortem.web.one_row import SAVED, saved_status
from postmortem.web.report_response import document_response
from postmortem.web.workspace import open_incident, render_stage


class ShareForm(forms.Form):
    """Which view, for whom, for how long."""

    view = forms.ChoiceField(choices=list(VIEWS.items()))
    audience = forms.ChoiceField(choices=list(AUDIENCES.items()), initial="external")
    days = forms.IntegerField(min_value=1, initial=7, label="Days until it expires")
    note = forms.CharField(max_length=200, required=False, label="For whom", help_text="Only you and your team see it.")


class EmailForm(forms.Form):
    """Whom to send the brief."""

    recipients = forms.CharField(max_length=4_000, label="E-mail addresses", help_text="At most twenty.")
    audience = forms.ChoiceField(choices=list(AUDIENCES.items()))
    note = forms.CharField(max_length=2_000, required=False, widget=forms.Textarea(attrs={"rows": 2}))


class DeliverySettingsForm(forms.Form):
    """What may leave."""

    revision = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
    sharing_allowed = forms.BooleanField(
        required=False, label="Allow share links",
        help_text="Who has such a link reads one view of one published version without signing in.",
    )  # fmt: skip
    most_days = forms.IntegerField(min_value=1, max_value=365, label="Days that a link may last at most")
    webhook_hosts = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), label="Hosts that webhooks may call",
        help_text="One a line; a host with its port where that is not 443.",
    )  # fmt: skip
    webhook_url = forms.CharField(required=False, max_length=500, label="Webhook to call when a report is published")
    webhook_secret = forms.CharField(
        required=False, max_length=200, label="Secret that signs its calls", widget=forms.PasswordInput,
        help_text="16 characters or more. Left empty, the stored one stays.",
    )  # fmt: skip


@require_GET
def share(request: HttpRequest, number: str, version: int) -> HttpResponse:
    """Links and e-mails of a version."""
    return _page(request, number, version, status=200)


@require_POST
def share_new(request: HttpRequest, number: str, version: int) -> HttpResponse:
    """Make a link; its address is shown this once."""
    incident = open_incident(request, number)
    one = get_object_or_404(Report, incident=incident, version=version)
    form = ShareForm(request.POST)
    if not form.is_valid():
        return _page(request, number, version, status=400, share_form=form)
    try:
        _, token = delivery.create_share_link(report=one, by=request.user, **form.cleaned_data)
    except UserError as error:
        form.add_error(None, str(error))
        return _page(request, number, version, status=400, share_form=form)
    address = request.build_absolute_uri(reverse("shared", args=[token]))
    return _page(request, number, version, status=200, address=address)


@require_POST
def share_revoke(request: HttpRequest, number: str, version: int, pk: int) -> HttpResponse:
    """Close a link for good."""
    incident = open_incident(request, number)
    link = get_object_or_404(ShareLink, pk=pk, report__incident=incident, report__version=version)
    try:
        delivery.revoke_share_link(link=link, by=request.user)
        messages.success(request, "The link is closed.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect("report-share", incident.number, version)


@require_POST
def email(request: HttpRequest, number: str, version: int) -> HttpResponse:
    """Queue the brief for some addresses."""
    incident = open_incident(request, number)
    one = get_object_or_404(Report, incident=incident, version=version)
    form = EmailForm(request.POST)
    if form.is_valid():
        try:
            rows = delivery.send_by_email(report=one, by=request.user, **form.cleaned_data)
        except UserError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{len(rows)} waiting; the background worker sends the brief.")
            return redirect("report-share", incident.number, version)
    return _page(request, number, version, status=400, email_form=form)


@login_not_required
@require_GET
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """One view of one version for whoever has the link; 404 alike for unknown, expired and closed ones."""
    form = "pdf" if request.GET.get("form") == "pdf" else "html"
    link = delivery.open_share_link(token)
    if link is None:
        raise Http404("This link does not exist, has expired or was closed.")
    one = link.report
    document = make_document(
        read_record(one), view=link.view, form=form, version=one.version, sha256=one.sha256, audience=link.audience
    )
    response = document_response(document, form)
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow"
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def settings_page(request: HttpRequest) -> HttpResponse:
    """What an administrator allows to leave."""
    require(request.user, Capability.CONFIGURE)
    stored = delivery.delivery_settings()
    fields = ("revision", "sharing_allowed", "most_days", "webhook_hosts", "webhook_url")
    form = DeliverySettingsForm(request.POST or None, initial={name: getattr(stored, name) for name in fields})
    status = saved_status(request, form, lambda data: delivery.save_delivery_settings(by=request.user, **data))
    if status == SAVED:
        return redirect("delivery-settings")
    context = {"form": form, "deliveries": Delivery.objects.select_related("report__incident")[:30]}
    return render(request, "report_pages/delivery_settings.html", context, status=status)


def _page(request: HttpRequest, number: str, version: int, *, status: int, **more: Any) -> HttpResponse:
    incident = open_incident(request, number, Capability.PUBLISH)
    one = get_object_or_404(Report, incident=incident, version=version)
    context = {
        "one": one,
        "links": one.share_links.select_related("created_by"),
        "deliveries": one.deliveries.select_related("created_by")[:50],
        "allowed": delivery.delivery_settings(),
        "share_form": ShareForm(),
        "email_form": EmailForm(),
        **more,
    }
    return render_stage(request, "report_pages/share.html", incident, "report", context, status=status)


urlpatterns = [
    path("shared/<str:token>/", shared, name="shared"),
    path("settings/delivery/", settings_page, name="delivery-settings"),
    path("incidents/<str:number>/report/v<int:version>/share/", share, name="report-share"),
    path("incidents/<str:number>/report/v<int:version>/share/new/", share_new, name="report-share-new"),
    path("incidents/<str:number>/report/v<int:version>/share/<int:pk>/close/", share_revoke, name="report-share-close"),
    path("incidents/<str:number>/report/v<int:version>/email/", email, name="report-email"),
]
