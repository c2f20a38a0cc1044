"""Evidence by window: the incident's own or a filtered one, and what is new since an import."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.api.evidence import RunSerializer
from postmortem.pipeline import services
from postmortem.pipeline.read_texts import MOST_AT_ONCE
from postmortem.traces.models import Connection
from postmortem.traces.sources import SCORE_OPERATORS


class ScoreFilterSerializer(serializers.Serializer):
    """Traces whose score compares like this with the value."""

    name = serializers.CharField(max_length=200)
    operator = serializers.ChoiceField(choices=[(one, one) for one in SCORE_OPERATORS], default="<")
    value = serializers.FloatField()


class TraceFiltersSerializer(serializers.Serializer):
    """All that are given must hold. `tags` must all be on the trace."""

    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    environment = serializers.CharField(max_length=200, required=False, allow_blank=True)
    version = serializers.CharField(max_length=200, required=False, allow_blank=True)
    release = serializers.CharField(max_length=200, required=False, allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=200), max_length=20, required=False)
    user = serializers.CharField(max_length=400, required=False, allow_blank=True)
    session = serializers.CharField(max_length=400, required=False, allow_blank=True)
    score = ScoreFilterSerializer(required=False)


class WindowImportSerializer(serializers.Serializer):
    """Through which connection, which traces, from when to when (UTC).

    Without filters and times: the incident's own window.
    """

    connection = serializers.IntegerField()
    cap = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=1)
    filters = TraceFiltersSerializer(required=False)
    start = serializers.DateTimeField(required=False, allow_null=True, default=None)
    end = serializers.DateTimeField(required=False, allow_null=True, default=None)


class WindowImportView(IncidentView):
    """Import by window."""

    serializer_class = WindowImportSerializer

    @extend_schema(request=WindowImportSerializer, responses={202: RunSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Starts a run that reads the window; what is here already is not stored twice."""
        body = self.body(WindowImportSerializer)
        body["connection"] = self.picked(Connection.objects.all(), body["connection"])
        run = services.start_window_import(incident=self.incident, by=self.person, **body)
        return Response(RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class PullAgainView(IncidentView):
    """Import what is new."""

    serializer_class = RunSerializer

    @extend_schema(request=None, responses={202: RunSerializer})
    def post(self, request: Request, number: str, pk: int) -> Response:
        """Starts a run that reads what no import with the same filters has covered yet."""
        found = self.found(self.incident.evidence_imports.select_related("connection"), pk=pk)
        run = services.start_pull_again(incident=self.incident, by=self.person, evidence_import=found)
        return Response(RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class TextsSerializer(serializers.Serializer):
    """Which traces are to be read whole, by their ids here."""

    traces = serializers.ListField(child=serializers.IntegerField(), min_length=1, max_length=MOST_AT_ONCE)


class ReadTextsView(IncidentView):
    """Texts of traces that a window brought without."""

    serializer_class = TextsSerializer

    @extend_schema(request=TextsSerializer, responses={202: RunSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Starts a run that reads them whole; their facts stay."""
        found = self.incident.traces.filter(pk__in=self.body(TextsSerializer)["traces"])
        traces = list(found.select_related("evidence_import").order_by("pk"))
        run = services.start_reading_texts(incident=self.incident, by=self.person, traces=traces)
        return Response(RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)
