"""The organisation's name, logo and colour on its reports; an administrator's page."""

import base64
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from postmortem.incidents.permissions import Capability, require
from postmortem.report.branding import current_brand, save_branding
from postmortem.web.one_row import SAVED, saved_status


class BrandingForm(forms.Form):
    """Name, colour and logo."""

    revision = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
    name = forms.CharField(
        label="Organisation", max_length=80, required=False, help_text="Stands in the head of every page."
    )
    colour = forms.CharField(
        max_length=7, widget=forms.TextInput(attrs={"type": "color"}), help_text="Dark enough to read on white."
    )
    logo = forms.FileField(required=False, help_text="PNG or JPEG, at most 2 MB. It is drawn anew as a small PNG.")
    remove_logo = forms.BooleanField(label="Take the logo away", required=False)


@require_http_methods(["GET", "HEAD", "POST"])
def branding(request: HttpRequest) -> HttpResponse:
    """What stands on reports from the next rendering of a draft on; published records keep their own."""
    require(request.user, Capability.CONFIGURE)
    brand = current_brand()
    form = BrandingForm(request.POST or None, request.FILES or None, initial=_initial(brand))
    said = "Saved. Drafts show it from now on; published reports keep theirs."
    status = saved_status(request, form, lambda data: _save(request, **data), said=said)
    if status == SAVED:
        return redirect("branding")
    logo = f"data:image/png;base64,{base64.b64encode(brand.logo).decode()}" if brand.logo else ""
    return render(request, "report_pages/branding.html", {"form": form, "brand": brand, "logo": logo}, status=status)


def _save(request: HttpRequest, *, logo: UploadedFile | None, **fields: Any) -> None:
    save_branding(by=request.user, logo=logo.read(3_000_000) if logo else None, **fields)


def _initial(brand: Any) -> dict[str, Any]:
    return {"revision": brand.revision, "name": brand.name, "colour": brand.colour}


urlpatterns = [path("settings/branding/", branding, name="branding")]
