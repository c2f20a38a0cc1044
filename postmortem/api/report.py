"""The gate, publication, and published reports in every format."""

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.incidents.services import reopen_for_correction
from postmortem.report import selectors
from postmortem.report.documents import FORMATS, VIEWS, make_document
from postmortem.report.models import Report
from postmortem.report.record import assemble_record
from postmortem.report.services import publish, read_record


class GateRuleSerializer(serializers.Serializer):
    """One thing that publication needs; `stage` and `anchor` say where it is mended."""

    id = serializers.CharField()
    met = serializers.BooleanField()
    title = serializers.CharField()
    detail = serializers.CharField()
    stage = serializers.CharField()
    anchor = serializers.CharField()
    layer = serializers.CharField(allow_null=True)


class GateSerializer(serializers.Serializer):
    """Whether the report can be published, and every rule, met or not."""

    can_publish = serializers.BooleanField()
    missing = serializers.IntegerField()
    rules = GateRuleSerializer(many=True)


class ReportSerializer(serializers.ModelSerializer):
    """A published version; `sha256` is that of its frozen record."""

    published_by = serializers.CharField(source="published_by.name")

    class Meta:
        model = Report
        fields = ("version", "sha256", "correction_reason", "published_by", "published_at")


class PublishSerializer(serializers.Serializer):
    """A correction says why; a first version needs nothing."""

    correction_reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=2_000)


class CorrectionSerializer(serializers.Serializer):
    """What needs correcting."""

    reason = serializers.CharField(allow_blank=True, max_length=2_000)


class GateView(IncidentView):
    """What stands between the draft and publication."""

    serializer_class = GateSerializer

    @extend_schema(responses=GateSerializer)
    def get(self, request: Request, number: str) -> Response:
        """Every rule."""
        rules = selectors.gate(self.incident)
        missing = sum(not rule.met for rule in rules)
        return Response(GateSerializer({"can_publish": not missing, "missing": missing, "rules": rules}).data)


class ReportsView(IncidentView):
    """Published versions."""

    serializer_class = ReportSerializer

    @extend_schema(responses=ReportSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Newest first."""
        return self.page(selectors.reports(self.incident), ReportSerializer)

    @extend_schema(request=PublishSerializer, responses={201: ReportSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Freeze the record; 400 with what is missing while the gate is closed."""
        report = publish(incident=self.incident, by=self.person, **self.body(PublishSerializer))
        return Response(ReportSerializer(report).data, status=status.HTTP_201_CREATED)


class CorrectionView(IncidentView):
    """Correcting a published report."""

    serializer_class = CorrectionSerializer

    @extend_schema(request=CorrectionSerializer, responses={204: None})
    def post(self, request: Request, number: str) -> Response:
        """Open the incident for edits again; published versions stay."""
        reopen_for_correction(incident=self.incident, by=self.person, **self.body(CorrectionSerializer))
        return Response(status=status.HTTP_204_NO_CONTENT)


class RecordView(IncidentView):
    """The frozen record of a version."""

    serializer_class = ReportSerializer

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, number: str, version: int) -> Response:
        """JSON; its hash is checked before it is shown."""
        return Response(read_record(self.found(Report.objects.filter(incident=self.incident), version=version)))


_DOCUMENT = extend_schema(
    parameters=[
        OpenApiParameter("view", OpenApiTypes.STR, OpenApiParameter.PATH, enum=list(VIEWS)),
        OpenApiParameter("form", OpenApiTypes.STR, OpenApiParameter.PATH, enum=list(FORMATS)),
    ],
    responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY)},
)


class DocumentView(IncidentView):
    """A published version as a document."""

    serializer_class = ReportSerializer

    @_DOCUMENT
    def get(self, request: Request, number: str, version: int, view: str, form: str) -> HttpResponse:
        """Rendered from the frozen record."""
        report = self.found(Report.objects.filter(incident=self.incident), version=version)
        _known(view, form)
        document = make_document(
            read_record(report), view=view, form=form, version=report.version, sha256=report.sha256
        )
        return _download(document)


class DraftDocumentView(IncidentView):
    """The draft as a document."""

    serializer_class = ReportSerializer

    @_DOCUMENT
    def get(self, request: Request, number: str, view: str, form: str) -> HttpResponse:
        """The record as it stands now, marked DRAFT."""
        _known(view, form)
        return _download(make_document(assemble_record(self.incident), view=view, form=form, version=None, sha256=""))


def _known(view: str, form: str) -> None:
    if view not in VIEWS or form not in FORMATS:
        raise Http404("There is no such view of the report.")


def _download(document: object) -> HttpResponse:
    response = HttpResponse(document.data, content_type=document.media_type)
    response["Content-Disposition"] = f'attachment; filename="{document.filename}"'
    return response
