"""Share links, e-mails and the webhook of published reports."""

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import ApiView, IncidentView
from postmortem.incidents.permissions import Capability, require
from postmortem.report import delivery
from postmortem.report.documents import VIEWS
from postmortem.report.external import AUDIENCES
from postmortem.report.models import Delivery, DeliverySettings, Report, ShareLink


class ShareLinkSerializer(serializers.ModelSerializer):
    """A link, without its token."""

    created_by = serializers.CharField(source="created_by.name")

    class Meta:
        model = ShareLink
        fields = ("id", "view", "audience", "note", "expires_at", "created_by", "created_at", "revoked_at", "opened")


class MadeShareLinkSerializer(ShareLinkSerializer):
    """A new link with its address, which is told this once."""

    address = serializers.CharField()

    class Meta(ShareLinkSerializer.Meta):
        fields = (*ShareLinkSerializer.Meta.fields, "address")


class NewShareLinkSerializer(serializers.Serializer):
    """Which view, for whom, for how many days."""

    view = serializers.ChoiceField(choices=list(VIEWS.items()))
    audience = serializers.ChoiceField(choices=list(AUDIENCES.items()), default="external")
    days = serializers.IntegerField(min_value=1, max_value=365)
    note = serializers.CharField(max_length=200, allow_blank=True, required=False, default="")


class DeliverySerializer(serializers.ModelSerializer):
    """An e-mail or webhook call; of a webhook's address only the host is told."""

    target = serializers.CharField(source="destination")

    class Meta:
        model = Delivery
        fields = ("id", "kind", "target", "audience", "state", "attempts", "message", "created_at", "finished_at")


class EmailSerializer(serializers.Serializer):
    """Addresses with commas between them; the brief is attached."""

    recipients = serializers.CharField(max_length=4_000)
    audience = serializers.ChoiceField(choices=list(AUDIENCES.items()), default="internal")
    note = serializers.CharField(max_length=2_000, allow_blank=True, required=False, default="")


class DeliverySettingsSerializer(serializers.Serializer):
    """What may leave; the secret is written and never read."""

    revision = serializers.IntegerField(min_value=0)
    sharing_allowed = serializers.BooleanField()
    most_days = serializers.IntegerField(min_value=1, max_value=365)
    webhook_hosts = serializers.CharField(allow_blank=True, required=False, default="")
    webhook_url = serializers.CharField(allow_blank=True, required=False, default="", max_length=500)
    webhook_secret = serializers.CharField(
        allow_blank=True, required=False, default="", max_length=200, write_only=True
    )


class _VersionView(IncidentView):
    def report(self, version: int) -> Report:
        return self.found(Report.objects.filter(incident=self.incident), version=version)


class ShareLinksView(_VersionView):
    """Share links of a version."""

    serializer_class = ShareLinkSerializer

    @extend_schema(responses=ShareLinkSerializer(many=True))
    def get(self, request: Request, number: str, version: int) -> Response:
        """Newest first."""
        require(self.person, Capability.PUBLISH, self.incident)
        links = self.report(version).share_links.select_related("created_by")
        return self.page(links, ShareLinkSerializer)

    @extend_schema(request=NewShareLinkSerializer, responses={201: MadeShareLinkSerializer})
    def post(self, request: Request, number: str, version: int) -> Response:
        """Make a link, where an administrator allows it."""
        body = self.body(NewShareLinkSerializer)
        link, token = delivery.create_share_link(report=self.report(version), by=self.person, **body)
        link.address = request.build_absolute_uri(reverse("shared", args=[token]))
        return Response(MadeShareLinkSerializer(link).data, status=status.HTTP_201_CREATED)


class ShareLinkView(_VersionView):
    """One share link."""

    serializer_class = ShareLinkSerializer

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, version: int, pk: int) -> Response:
        """Close it for good."""
        links = ShareLink.objects.filter(report=self.report(version)).select_related("report__incident")
        delivery.revoke_share_link(link=self.found(links, pk=pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class DeliveriesView(_VersionView):
    """E-mails and webhook calls of a version."""

    serializer_class = DeliverySerializer

    @extend_schema(responses=DeliverySerializer(many=True))
    def get(self, request: Request, number: str, version: int) -> Response:
        """Newest first."""
        require(self.person, Capability.PUBLISH, self.incident)
        return self.page(self.report(version).deliveries.all(), DeliverySerializer)

    @extend_schema(request=EmailSerializer, responses={201: DeliverySerializer(many=True)})
    def post(self, request: Request, number: str, version: int) -> Response:
        """Queue the brief as e-mails."""
        rows = delivery.send_by_email(report=self.report(version), by=self.person, **self.body(EmailSerializer))
        return Response(DeliverySerializer(rows, many=True).data, status=status.HTTP_201_CREATED)


class DeliverySettingsView(ApiView):
    """What may leave; for administrators."""

    serializer_class = DeliverySettingsSerializer

    @extend_schema(responses=DeliverySettingsSerializer)
    def get(self, request: Request) -> Response:
        """What is stored."""
        require(self.person, Capability.CONFIGURE)
        return Response(_shown(delivery.delivery_settings()))

    @extend_schema(request=DeliverySettingsSerializer, responses=DeliverySettingsSerializer)
    def put(self, request: Request) -> Response:
        """Store it; 409 when somebody saved first."""
        body = self.body(DeliverySettingsSerializer)
        return Response(_shown(delivery.save_delivery_settings(by=self.person, **body)))


def _shown(stored: DeliverySettings) -> dict[str, object]:
    return DeliverySettingsSerializer(stored).data
