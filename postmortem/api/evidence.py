"""Evidence: import by link or file, background runs, traces."""

from typing import BinaryIO

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.lib.errors import UserError
from postmortem.pipeline import background, services
from postmortem.pipeline.models import Run
from postmortem.traces import reading as readings
from postmortem.traces import selectors
from postmortem.traces.finding import TraceFilter, find_traces
from postmortem.traces.models import EvidenceImport, Score, Trace
from postmortem.traces.tree import flatten
from postmortem.traces.uploads import refused_upload

MAX_WHOLE_BYTES = 64 * 1024 * 1024


class EvidenceImportSerializer(serializers.ModelSerializer):
    """Where evidence came from."""

    imported_by = serializers.CharField(source="imported_by.name", allow_null=True, default=None)

    class Meta:
        model = EvidenceImport
        fields = (
            "id", "kind", "origin", "imported_by", "imported_at", "trace_count", "score_count", "truncated_at_cap",
            "finished", "connection", "asked", "covered_from", "covered_to", "file_sha256", "file_bytes", "notes",
            "left_out", "faults",
        )  # fmt: skip


class LinkSerializer(serializers.Serializer):
    """A link to a trace or session in Langfuse, Phoenix or MLflow.

    `cap` bounds how many traces of the window come along.
    """

    link = serializers.CharField(max_length=2_000)
    cap = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=1)


class FileSerializer(serializers.Serializer):
    """One file as multipart form data."""

    file = serializers.FileField()


class EvidenceFileSerializer(FileSerializer):
    """One file; with `keep_good` entries that cannot be read are left out and told, else they refuse the file."""

    keep_good = serializers.BooleanField(required=False, default=False)


class FaultSerializer(serializers.Serializer):
    """An entry of a file that was left out."""

    line = serializers.IntegerField()
    sentence = serializers.CharField()


class RunSerializer(serializers.ModelSerializer):
    """Background work; `message` is its closing sentence."""

    started_by = serializers.CharField(source="started_by.name")

    class Meta:
        model = Run
        fields = (
            "id", "kind", "state", "progress_done", "progress_total", "progress_text", "message", "attempts",
            "started_by", "created_at", "finished_at",
        )  # fmt: skip


class TraceSerializer(serializers.ModelSerializer):
    """Facts of one trace. Latency in seconds, cost in USD."""

    class Meta:
        model = Trace
        fields = (
            "id", "external_id", "name", "timestamp", "environment", "session_id", "user_id", "latency_seconds",
            "cost_usd", "input_tokens", "has_error", "facets", "input_preview", "output_preview", "is_anchor",
        )  # fmt: skip


class ScoreSerializer(serializers.ModelSerializer):
    """One score on a trace."""

    class Meta:
        model = Score
        fields = ("external_id", "name", "value", "text_value", "source", "timestamp")


class ObservationSerializer(serializers.Serializer):
    """One observation; `depth` is 0 for roots, and children follow their parent."""

    depth = serializers.IntegerField()
    id = serializers.CharField(source="observation.external_id")
    parent_id = serializers.CharField(source="observation.parent_id", allow_null=True)
    kind = serializers.CharField(source="observation.kind")
    name = serializers.CharField(source="observation.name")
    start = serializers.DateTimeField(source="observation.start")
    end = serializers.DateTimeField(source="observation.end", allow_null=True)
    level = serializers.CharField(source="observation.level")
    status_message = serializers.CharField(source="observation.status_message")
    model = serializers.CharField(source="observation.model")
    prompt_name = serializers.CharField(source="observation.prompt_name")
    prompt_version = serializers.CharField(source="observation.prompt_version")
    input = serializers.CharField(source="observation.input")
    output = serializers.CharField(source="observation.output")
    metadata = serializers.DictField(source="observation.metadata")
    usage = serializers.DictField(source="observation.usage")
    cost_usd = serializers.FloatField(source="observation.cost_usd", allow_null=True)


class TraceReadingSerializer(serializers.Serializer):
    """A trace with its tree of observations, scores, and the hashes of the bytes that tell about it."""

    trace = TraceSerializer()
    input = serializers.CharField()
    output = serializers.CharField()
    metadata = serializers.DictField(allow_null=True)
    missing_facets = serializers.ListField(child=serializers.CharField())
    observations = serializers.SerializerMethodField()
    scores = ScoreSerializer(many=True)
    sha256 = serializers.SerializerMethodField()

    @extend_schema_field(ObservationSerializer(many=True))
    def get_observations(self, reading: selectors.TraceReading) -> list[dict[str, object]]:
        """Parents before children."""
        return list(ObservationSerializer(list(flatten(reading.roots)), many=True).data)

    def get_sha256(self, reading: selectors.TraceReading) -> list[str]:
        """Hashes of the stored bytes."""
        return [blob.sha256 for blob in reading.blobs]


class CountsSerializer(serializers.Serializer):
    """How much evidence there is and from when."""

    traces = serializers.IntegerField()
    scores = serializers.IntegerField()
    imports = serializers.IntegerField()
    anchors = serializers.IntegerField()
    first_at = serializers.DateTimeField(allow_null=True)
    last_at = serializers.DateTimeField(allow_null=True)


class FacetSerializer(serializers.Serializer):
    """How many traces recorded a facet, and its most frequent values with their counts."""

    name = serializers.CharField()
    count = serializers.IntegerField()
    share = serializers.FloatField()
    values = serializers.ListField(child=serializers.ListField())


class SignalSerializer(serializers.Serializer):
    """A signal that can be attributed."""

    name = serializers.CharField()
    label = serializers.CharField()
    count = serializers.IntegerField()


class EvidenceSummarySerializer(serializers.Serializer):
    """What the evidence of an incident is made of."""

    counts = CountsSerializer()
    facets = FacetSerializer(many=True)
    signals = SignalSerializer(many=True)
    imports = EvidenceImportSerializer(many=True)


class EvidenceView(IncidentView):
    """The evidence of an incident, in short."""

    serializer_class = EvidenceSummarySerializer

    @extend_schema(responses=EvidenceSummarySerializer)
    def get(self, request: Request, number: str) -> Response:
        """Counts, facets, signals and imports."""
        summary = {
            "counts": selectors.evidence_counts(self.incident),
            "facets": selectors.facet_coverage(self.incident),
            "signals": selectors.signals(self.incident),
            "imports": selectors.evidence_imports(self.incident),
        }
        return Response(EvidenceSummarySerializer(summary).data)


class LinkImportView(IncidentView):
    """Import by link."""

    serializer_class = LinkSerializer

    @extend_schema(request=LinkSerializer, responses={202: RunSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Starts a run that reads the trace, then the window around it."""
        run = services.start_link_import(incident=self.incident, by=self.person, **self.body(LinkSerializer))
        return Response(RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class FileImportView(IncidentView):
    """Import by file."""

    serializer_class = EvidenceFileSerializer
    parser_classes = (MultiPartParser, FormParser)

    @extend_schema(
        request={"multipart/form-data": EvidenceFileSerializer},
        responses={201: EvidenceImportSerializer, 202: RunSerializer},
    )
    def post(self, request: Request, number: str) -> Response:
        """Trace download, table export, old endpoint's body, or the open format. 202 with a run for a large file."""
        name, file = uploaded_file(self)
        keep_good = self.body(EvidenceFileSerializer)["keep_good"]
        return import_answer(
            services.import_uploaded(
                incident=self.incident, by=self.person, filename=name, file=file, keep_good=keep_good
            )
        )


def import_answer(done: EvidenceImport | Run) -> Response:
    """201 with what came in, or 202 with the run that works on it."""
    if isinstance(done, Run):
        return Response(RunSerializer(done).data, status=status.HTTP_202_ACCEPTED)
    return Response(EvidenceImportSerializer(done).data, status=status.HTTP_201_CREATED)


def uploaded_file(view: IncidentView) -> tuple[str, BinaryIO]:
    """Name and file of an upload, which lies on disk if it is large. Raises UserError for one larger than allowed."""
    if sentence := refused_upload(view.request):
        raise UserError(sentence)
    file = view.body(FileSerializer)["file"]
    return str(file.name)[:200], file


def uploaded(view: IncidentView) -> tuple[str, bytes]:
    """Name and bytes of an upload that is read whole. Raises UserError when it is larger than allowed."""
    name, file = uploaded_file(view)
    data = file.read(MAX_WHOLE_BYTES + 1)
    if len(data) > MAX_WHOLE_BYTES:
        raise UserError(f"{name[:80]} has more than {MAX_WHOLE_BYTES // 1024**2} MB; split it.")
    return name, data


class RunsView(IncidentView):
    """Background runs."""

    serializer_class = RunSerializer

    @extend_schema(responses=RunSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Newest first."""
        return self.page(self.incident.runs.select_related("started_by"), RunSerializer)


class RunView(IncidentView):
    """One run."""

    serializer_class = RunSerializer

    @extend_schema(responses=RunSerializer)
    def get(self, request: Request, number: str, pk: int) -> Response:
        """How far it is."""
        return Response(RunSerializer(self.found(self.incident.runs.select_related("started_by"), pk=pk)).data)


class RunCancelView(IncidentView):
    """Stop a run."""

    serializer_class = RunSerializer

    @extend_schema(request=None, responses=RunSerializer)
    def post(self, request: Request, number: str, pk: int) -> Response:
        """A run at work stops at its next step."""
        run = self.found(self.incident.runs.select_related("started_by", "incident__feature"), pk=pk)
        background.cancel(run, self.person)
        run.refresh_from_db()
        return Response(RunSerializer(run).data)


class TraceBoundsSerializer(serializers.Serializer):
    """The part of a trace filter that has a form of its own."""

    lowest = serializers.FloatField(required=False)
    highest = serializers.FloatField(required=False)
    start = serializers.DateTimeField(required=False)
    end = serializers.DateTimeField(required=False)
    label = serializers.ChoiceField(choices=["", "fail", "fine", "none"], required=False)


class TracesView(IncidentView):
    """Traces of an incident."""

    serializer_class = TraceSerializer

    @extend_schema(
        parameters=[
            OpenApiParameter("text", OpenApiTypes.STR, description="Words that the trace holds, or its id."),
            OpenApiParameter("score", OpenApiTypes.STR, description="Only traces with this score."),
            OpenApiParameter("lowest", OpenApiTypes.FLOAT, description="The score's least value."),
            OpenApiParameter("highest", OpenApiTypes.FLOAT, description="The score's largest value."),
            OpenApiParameter("start", OpenApiTypes.DATETIME, description="From this moment (UTC)."),
            OpenApiParameter("end", OpenApiTypes.DATETIME, description="Before this moment (UTC)."),
            OpenApiParameter("label", OpenApiTypes.STR, enum=["fail", "fine", "none"], description="Reviewers' label."),
            OpenApiParameter("facet", OpenApiTypes.STR, many=True, description="name:value, may be repeated."),
        ],
        responses=TraceSerializer(many=True),
    )
    def get(self, request: Request, number: str) -> Response:
        """Filtered, in order of time. Secrets and personal data are masked."""
        query = request.query_params
        pairs = [text.partition(":") for text in query.getlist("facet")]
        if any(not separator for _, separator, _ in pairs):
            raise UserError("Write a facet filter as name:value, for example region:eu-west.")
        bounds = TraceBoundsSerializer(data=query)
        bounds.is_valid(raise_exception=True)
        wanted = TraceFilter(
            text=query.get("text", ""),
            facets={name: value for name, _, value in pairs},
            score=query.get("score", ""),
            **bounds.validated_data,
        )
        shown = readings.mask_traces(self.paginate_queryset(find_traces(self.incident, wanted)))
        return self.get_paginated_response(TraceSerializer(shown, many=True).data)


class TraceView(IncidentView):
    """One trace."""

    serializer_class = TraceReadingSerializer

    @extend_schema(responses=TraceReadingSerializer)
    def get(self, request: Request, number: str, pk: int) -> Response:
        """Its tree of observations, scores and hashes; secrets and personal data are masked."""
        trace = self.found(Trace.objects.filter(incident=self.incident), pk=pk)
        return Response(TraceReadingSerializer(readings.masked_reading(trace)).data)


class ClearTraceView(IncidentView):
    """One trace in clear."""

    serializer_class = TraceReadingSerializer

    @extend_schema(request=None, responses=TraceReadingSerializer)
    def post(self, request: Request, number: str, pk: int) -> Response:
        """With what is masked elsewhere. The audit log keeps who looked, at what and when."""
        trace = self.found(Trace.objects.filter(incident=self.incident).select_related("incident__feature"), pk=pk)
        return Response(TraceReadingSerializer(readings.clear_reading(trace=trace, by=self.person)).data)
