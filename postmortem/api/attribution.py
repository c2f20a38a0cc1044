"""Attribution: start a run, read findings."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.api.evidence import RunSerializer
from postmortem.attribution.models import Finding
from postmortem.attribution.selectors import findings
from postmortem.pipeline.services import start_attribution


class FindingLineSerializer(serializers.ModelSerializer):
    """A run in a list."""

    run_by = serializers.CharField(source="run_by.name", allow_null=True, default=None)
    headline = serializers.CharField(source="result.headline", allow_null=True, default=None)

    class Meta:
        model = Finding
        fields = ("number", "headline", "method", "code_version", "inputs_sha256", "run_by", "run_at")


class FindingSerializer(FindingLineSerializer):
    """A run with its result: the same JSON that the command `attribute` prints."""

    class Meta:
        model = Finding
        fields = (*FindingLineSerializer.Meta.fields, "parameters", "result")


class AttributionView(IncidentView):
    """Attribution."""

    serializer_class = RunSerializer

    @extend_schema(request=None, responses={202: RunSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Starts a run; its result is the newest finding."""
        run = start_attribution(incident=self.incident, by=self.person)
        return Response(RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class FindingsView(IncidentView):
    """Findings."""

    serializer_class = FindingLineSerializer

    @extend_schema(responses=FindingLineSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Newest first."""
        return self.page(findings(self.incident), FindingLineSerializer)


class FindingView(IncidentView):
    """One finding."""

    serializer_class = FindingSerializer

    @extend_schema(responses=FindingSerializer)
    def get(self, request: Request, number: str, run: int) -> Response:
        """With every hypothesis and its arithmetic."""
        return Response(FindingSerializer(self.found(findings(self.incident), number=run)).data)
