"""The gate, publication, and published reports in every format."""

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.incidents.models import Incident
from postmortem.incidents.services import reopen_for_correction
from postmortem.lib.errors import UserError
from postmortem.pipeline.models import Run
from postmortem.pipeline.publish import frozen_or_draft
from postmortem.pipeline.render import belongs_in_background, rendered
from postmortem.pipeline.services import start_rendering
from postmortem.report import selectors
from postmortem.report.annex import annex_history, annex_state, save_annex
from postmortem.report.difference import differences
from postmortem.report.documents import FORMATS, VIEWS, make_document
from postmortem.report.external import AUDIENCES
from postmortem.report.models import AnnexRevision, Report
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


class AnnexSerializer(serializers.Serializer):
    """The annex's extra fields by name; `rules` names them, their choices and the clocks."""

    revision = serializers.IntegerField(min_value=0)
    values = serializers.DictField(child=serializers.JSONField())


class AnnexClockSerializer(serializers.Serializer):
    """One period of Article 73, counted from awareness; `deadline` is its last moment, UTC."""

    key = serializers.CharField()
    days = serializers.IntegerField()
    article = serializers.CharField()
    label = serializers.CharField()
    applies = serializers.BooleanField()
    deadline = serializers.DateTimeField(allow_null=True)
    sent_late = serializers.BooleanField(allow_null=True)


class AnnexStateSerializer(AnnexSerializer):
    """What is stored, what is still missing, and when the clocks run out."""

    missing = serializers.ListField(child=serializers.CharField())
    clocks = AnnexClockSerializer(many=True)
    rules = serializers.DictField(child=serializers.JSONField())


class AnnexRevisionSerializer(serializers.ModelSerializer):
    """One saved state."""

    edited_by = serializers.CharField(source="edited_by.name")

    class Meta:
        model = AnnexRevision
        fields = ("revision", "values", "edited_by", "edited_at")


class AnnexView(IncidentView):
    """Extra fields of the EU AI Act Article 73 annex."""

    serializer_class = AnnexStateSerializer

    @extend_schema(responses=AnnexStateSerializer)
    def get(self, request: Request, number: str) -> Response:
        """Values, revision, what is missing, clocks and rules."""
        return Response(self._state())

    @extend_schema(request=AnnexSerializer, responses=AnnexStateSerializer)
    def put(self, request: Request, number: str) -> Response:
        """Store all values as a new revision; 409 with the stored ones when somebody saved first."""
        save_annex(incident=self.incident, by=self.person, **self.body(AnnexSerializer))
        return Response(self._state())

    def _state(self) -> dict[str, object]:
        return AnnexStateSerializer(annex_state(self.incident)).data


class AnnexHistoryView(IncidentView):
    """Earlier states of the annex's fields."""

    serializer_class = AnnexRevisionSerializer

    @extend_schema(responses=AnnexRevisionSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Newest first."""
        return self.page(annex_history(self.incident), AnnexRevisionSerializer)


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


class DifferenceSerializer(serializers.Serializer):
    """One field that differs; "" means that it was not there."""

    section = serializers.CharField()
    what = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()


class DifferenceView(IncidentView):
    """What a version changed against an earlier one."""

    serializer_class = DifferenceSerializer

    @extend_schema(responses=DifferenceSerializer(many=True))
    def get(self, request: Request, number: str, version: int, earlier: int) -> Response:
        """Field by field, in the order of the report."""
        versions = Report.objects.filter(incident=self.incident)
        old, new = self.found(versions, version=earlier), self.found(versions, version=version)
        return self.page(differences(read_record(old), read_record(new)), DifferenceSerializer)


class RenderingSerializer(serializers.Serializer):
    """How far a document is; `url` answers 202 until it is finished, then with the document itself."""

    run = serializers.IntegerField()
    state = serializers.CharField()
    pages = serializers.IntegerField()
    text = serializers.CharField()
    url = serializers.CharField()


_DOCUMENT = extend_schema(
    parameters=[
        OpenApiParameter("view", OpenApiTypes.STR, OpenApiParameter.PATH, enum=list(VIEWS)),
        OpenApiParameter("form", OpenApiTypes.STR, OpenApiParameter.PATH, enum=list(FORMATS)),
        OpenApiParameter("audience", OpenApiTypes.STR, enum=list(AUDIENCES), default="internal"),
    ],
    responses={
        (200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY),
        202: RenderingSerializer,
    },
)


class DocumentView(IncidentView):
    """A published version as a document."""

    serializer_class = ReportSerializer

    @_DOCUMENT
    def get(self, request: Request, number: str, version: int, view: str, form: str) -> HttpResponse:
        """Rendered from the frozen record."""
        report = self.found(Report.objects.filter(incident=self.incident), version=version)
        return _answer(self, request, view, form, report)


class LatestDocumentView(IncidentView):
    """The latest published version as a document."""

    serializer_class = ReportSerializer

    @_DOCUMENT
    def get(self, request: Request, number: str, view: str, form: str) -> HttpResponse:
        """Rendered from the frozen record; 404 while nothing is published."""
        report = selectors.latest_report(self.incident)
        if report is None:
            raise Http404(f"Nothing of {self.incident.number} is published yet; ask for reports/draft/.")
        return _answer(self, request, view, form, report)


class DraftDocumentView(IncidentView):
    """The draft as a document."""

    serializer_class = ReportSerializer

    @_DOCUMENT
    def get(self, request: Request, number: str, view: str, form: str) -> HttpResponse:
        """The record as it stands now, marked DRAFT."""
        return _answer(self, request, view, form, None)


class RenderedView(IncidentView):
    """A document that is rendered in the background."""

    serializer_class = RenderingSerializer

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, 202: RenderingSerializer})
    def get(self, request: Request, number: str, run: int) -> HttpResponse:
        """202 with how far it is while it works, then the document; it is kept for a day. 400 when it failed."""
        found = self.found(self.incident.runs.filter(kind=Run.Kind.RENDER), pk=run)
        document = rendered(found)
        if document is not None:
            return _download(document)
        if found.state in (Run.State.QUEUED, Run.State.RUNNING):
            return _accepted(self.incident, found)
        raise UserError(found.message or "This copy is no longer kept; ask for the document again.")


def _answer(view_: IncidentView, request: Request, view: str, form: str, report: Report | None) -> HttpResponse:
    """The document; 202 and where to fetch it when it is long, many wait, or the caller prefers not to wait."""
    audience = _known(request, view, form)
    incident = view_.incident
    record, version, sha256 = frozen_or_draft(incident, report)
    later = "respond-async" in request.headers.get("Prefer", "").lower()
    if later or belongs_in_background(record, view=view, form=form):
        run = start_rendering(
            incident=incident, by=view_.person, view=view, form=form, audience=audience, report=report
        )
        return _accepted(incident, run)
    return _download(make_document(record, view=view, form=form, version=version, sha256=sha256, audience=audience))


def _accepted(incident: Incident, run: Run) -> Response:
    url = f"/api/incidents/{incident.number}/renderings/{run.pk}/"
    data = RenderingSerializer(
        {"run": run.pk, "state": run.state, "pages": run.progress_done, "text": run.progress_text, "url": url}
    ).data
    return Response(data, status=status.HTTP_202_ACCEPTED, headers={"Location": url, "Retry-After": "1"})


def _known(request: Request, view: str, form: str) -> str:
    """The audience that the address asks for. 404 for a view or format that does not exist, 400 for an audience."""
    for what, asked, known in (("view", view, VIEWS), ("format", form, FORMATS)):
        if asked not in known:
            raise Http404(f"There is no {what} “{asked[:40]}”; ask for one of {', '.join(known)}.")
    audience = request.query_params.get("audience", "internal")
    if audience not in AUDIENCES:
        raise UserError(f"There is no audience “{audience[:40]}”; ask for one of {', '.join(AUDIENCES)}.")
    return audience


def _download(document: object) -> HttpResponse:
    response = HttpResponse(document.data, content_type=document.media_type)
    response["Content-Disposition"] = f'attachment; filename="{document.filename}"'
    return response
