"""The organisation on its reports."""

import base64
import binascii
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import ApiView
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.report.branding import current_brand, save_branding


class BrandingSerializer(serializers.Serializer):
    """Name, colour (#rrggbb) and logo (PNG or JPEG in Base64; null keeps it, "" takes it away)."""

    revision = serializers.IntegerField(min_value=0)
    name = serializers.CharField(max_length=80, allow_blank=True)
    colour = serializers.CharField(max_length=7)
    logo = serializers.CharField(allow_blank=True, allow_null=True, required=False, default=None, max_length=3_000_000)


class BrandingView(ApiView):
    """Branding of reports; for administrators."""

    serializer_class = BrandingSerializer

    @extend_schema(responses=BrandingSerializer)
    def get(self, request: Request) -> Response:
        """What is stored."""
        require(self.person, Capability.CONFIGURE)
        return Response(_shown())

    @extend_schema(request=BrandingSerializer, responses=BrandingSerializer)
    def put(self, request: Request) -> Response:
        """Store it; 409 when somebody saved first."""
        body = self.body(BrandingSerializer)
        logo = body.pop("logo")
        try:
            data = base64.b64decode(logo, validate=True) if logo else None
        except binascii.Error as error:
            raise UserError("The logo is not Base64.") from error
        save_branding(by=self.person, logo=data, remove_logo=logo == "", **body)
        return Response(_shown())


def _shown() -> dict[str, Any]:
    brand = current_brand()
    logo = base64.b64encode(brand.logo).decode()
    return {"revision": brand.revision, "name": brand.name, "colour": brand.colour, "logo": logo}
