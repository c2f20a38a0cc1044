"""Attribution: start a run, read findings."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.api.evidence import FileSerializer, RunSerializer, uploaded
from postmortem.attribution.comparing import compare_runs
from postmortem.attribution.models import Finding, ReplayResult
from postmortem.attribution.replays import add_replay_results, replay_results, replay_set
from postmortem.attribution.selectors import findings, run_facts
from postmortem.changes.models import Change
from postmortem.pipeline.services import start_attribution, start_grouped_attribution
from postmortem.traces.models import Connection


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


class ThroughSerializer(serializers.Serializer):
    """Nothing for a run on the imported traces; a Langfuse connection for a window too large to import."""

    connection = serializers.IntegerField(required=False, allow_null=True, default=None)
    granularity = serializers.ChoiceField(choices=["minute", "hour"], default="minute")


class AttributionView(IncidentView):
    """Attribution."""

    serializer_class = RunSerializer

    @extend_schema(request=ThroughSerializer, responses={202: RunSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Starts a run; its result is the newest finding. With a `connection` its Langfuse groups the window."""
        asked = self.body(ThroughSerializer)
        if asked["connection"] is None:
            run = start_attribution(incident=self.incident, by=self.person)
        else:
            connection = self.picked(Connection.objects.all(), asked["connection"])
            run = start_grouped_attribution(
                incident=self.incident, by=self.person, connection=connection, granularity=asked["granularity"]
            )
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


class ReplayResultSerializer(serializers.ModelSerializer):
    """What a replay said; `result` holds rates with intervals, the difference and one sentence."""

    added_by = serializers.CharField(source="added_by.name")

    class Meta:
        model = ReplayResult
        fields = ("id", "change", "result", "blob", "added_by", "added_at")


class NewReplayResultSerializer(FileSerializer):
    """Results as JSONL (id, arm, good), and the change that was left out."""

    change = serializers.IntegerField()


class ReplaySetSerializer(serializers.Serializer):
    """A failing trace to run again."""

    id = serializers.CharField()
    timestamp = serializers.CharField()
    input = serializers.CharField()
    output = serializers.CharField()
    expected_output = serializers.CharField(allow_null=True)
    versions = serializers.DictField(child=serializers.CharField())
    masked = serializers.BooleanField()


class ReplaySetView(IncidentView):
    """Failing traces to run again."""

    serializer_class = ReplaySetSerializer

    @extend_schema(
        parameters=[OpenApiParameter("count", int), OpenApiParameter("clear", bool)],
        responses=ReplaySetSerializer(many=True),
    )
    def get(self, request: Request, number: str) -> Response:
        """Spread over the incident window; texts masked unless `clear=true`, which is recorded."""
        typed = request.query_params.get("count", "40")
        count = int(typed) if typed.isdecimal() and len(typed) < 5 else 40
        clear = request.query_params.get("clear", "") == "true"
        return Response(replay_set(incident=self.incident, by=self.person, count=count, clear=clear))


class ReplayResultsView(IncidentView):
    """Results of replays."""

    serializer_class = ReplayResultSerializer
    parser_classes = (MultiPartParser, FormParser)

    @extend_schema(responses=ReplayResultSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Newest first."""
        return self.page(replay_results(self.incident), ReplayResultSerializer)

    @extend_schema(request={"multipart/form-data": NewReplayResultSerializer}, responses={201: ReplayResultSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Read results back."""
        _, data = uploaded(self)
        changes = Change.objects.filter(feature_id=self.incident.feature_id)
        change = self.picked(changes, self.body(NewReplayResultSerializer)["change"])
        found = add_replay_results(incident=self.incident, by=self.person, change=change, data=data)
        return Response(ReplayResultSerializer(found).data, status=status.HTTP_201_CREATED)


class RunComparisonSerializer(serializers.Serializer):
    """Two runs side by side."""

    disagrees = serializers.BooleanField()
    verdicts = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
    reasons = serializers.ListField(child=serializers.CharField())
    leader_before = serializers.CharField()
    leader_after = serializers.CharField()


class RunComparisonView(IncidentView):
    """What a later run says otherwise."""

    serializer_class = RunComparisonSerializer

    @extend_schema(responses=RunComparisonSerializer)
    def get(self, request: Request, number: str, before: int, after: int) -> Response:
        """Run `after` against run `before`."""
        runs = findings(self.incident)
        pair = [self.found(runs, number=run) for run in (before, after)]
        return Response(RunComparisonSerializer(compare_runs(*(run_facts(run) for run in pair))).data)
