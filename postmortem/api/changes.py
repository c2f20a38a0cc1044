"""The change logs: the ledger, one entry, a file, what the join says."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.api.evidence import EvidenceFileSerializer, FaultSerializer, RunSerializer, uploaded
from postmortem.changes import selectors, services
from postmortem.changes.models import Change
from postmortem.changes.parse import read_change
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.pipeline.services import start_prompt_pull
from postmortem.traces.grouped import latest_grouped
from postmortem.traces.models import Connection


class ChangeSerializer(serializers.ModelSerializer):
    """One entry of a change log; `external_id` is its id in the log."""

    class Meta:
        model = Change
        fields = (
            "id", "external_id", "layer", "summary", "at", "until", "rollout", "canary_share", "stages", "scope",
            "facet", "from_version", "to_version", "actor", "link", "is_rollback", "details",
            "source", "origin", "feed", "revision", "merged_into",
        )  # fmt: skip


class NewChangeSerializer(serializers.Serializer):
    """The open format of change logs."""

    id = serializers.CharField(max_length=200)
    layer = serializers.ChoiceField(choices=LAYER_CHOICES)
    at = serializers.CharField(max_length=60)
    until = serializers.CharField(max_length=60, required=False)
    rollout = serializers.ChoiceField(choices=Change.Rollout.choices, required=False)
    canary_share = serializers.FloatField(required=False, min_value=0, max_value=1)
    stages = serializers.DictField(required=False)
    scope = serializers.DictField(required=False)
    facet = serializers.CharField(max_length=80, required=False, allow_null=True)
    from_version = serializers.CharField(max_length=200, required=False, allow_null=True)
    to_version = serializers.CharField(max_length=200, required=False, allow_null=True)
    summary = serializers.CharField(max_length=300, required=False)
    actor = serializers.CharField(max_length=200, required=False)
    link = serializers.CharField(max_length=1_000, required=False)
    is_rollback = serializers.BooleanField(required=False)
    details = serializers.DictField(required=False)


class LedgerRowSerializer(serializers.Serializer):
    """A change joined with the traces; shares are fractions."""

    change = ChangeSerializer()
    exposed_count = serializers.FloatField()
    exposed_share = serializers.FloatField()
    basis = serializers.CharField()
    state = serializers.CharField()


class LedgerFilterSerializer(serializers.Serializer):
    """What narrows the ledger, as query parameters; `start` and `end` keep what ran between them."""

    text = serializers.CharField(required=False, max_length=200)
    layer = serializers.ChoiceField(choices=LAYER_CHOICES, required=False)
    state = serializers.ChoiceField(choices=selectors.STATES, required=False)
    source = serializers.ChoiceField(choices=Change.Source.choices, required=False)
    feed = serializers.IntegerField(required=False, help_text="The id of the feed that brought it.")
    start = serializers.DateTimeField(required=False)
    end = serializers.DateTimeField(required=False)
    by_exposure = serializers.BooleanField(required=False)
    grouped = serializers.BooleanField(
        required=False, default=False, help_text="Exposure in the window that Langfuse grouped last, if it did."
    )


class OutcomeSerializer(serializers.Serializer):
    """What an import did. Conflicting entries were logged differently before and stay as they were."""

    added = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    conflicting = serializers.ListField(child=serializers.CharField())
    notes = serializers.ListField(child=serializers.CharField())


class FileOutcomeSerializer(OutcomeSerializer):
    """What an import of a file did; `faults` are the first of the entries that were left out."""

    left_out = serializers.IntegerField(help_text="Entries of the file that could not be read.")
    faults = serializers.SerializerMethodField()

    @extend_schema_field(FaultSerializer(many=True))
    def get_faults(self, outcome: services.FileOutcome) -> list[dict[str, Any]]:
        """Each with its line and sentence."""
        return [{"line": line, "sentence": sentence} for line, sentence in outcome.faults]


class NeverObservedSerializer(serializers.Serializer):
    """Logged but never observed."""

    change_id = serializers.CharField()
    layer = serializers.CharField()
    reason = serializers.CharField()


class VersionMoveSerializer(serializers.Serializer):
    """Observed but never logged."""

    facet = serializers.CharField()
    layer = serializers.CharField()
    from_version = serializers.CharField()
    to_version = serializers.CharField()
    at = serializers.DateTimeField()
    trace_count = serializers.IntegerField()
    scope = serializers.DictField()


class ReconciliationSerializer(serializers.Serializer):
    """The join read the other way."""

    never_observed = NeverObservedSerializer(many=True)
    never_logged = VersionMoveSerializer(many=True)


class PromptPullSerializer(serializers.Serializer):
    """Which connection to read prompt versions from."""

    connection = serializers.IntegerField()


class ChangesView(IncidentView):
    """The change ledger."""

    serializer_class = LedgerRowSerializer

    @extend_schema(parameters=[LedgerFilterSerializer], responses=LedgerRowSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Changes that can matter to this incident, with how many traces ran on each."""
        asked = LedgerFilterSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        grouped = latest_grouped(self.incident) if asked.validated_data.pop("grouped") else None
        wanted = selectors.LedgerFilter(**asked.validated_data)
        return self.page(selectors.narrowed(selectors.ledger(self.incident, grouped), wanted), LedgerRowSerializer)

    @extend_schema(request=NewChangeSerializer, responses={201: ChangeSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Add one entry."""
        record = read_change(self.body(NewChangeSerializer))
        change = services.add_change(
            feature=self.incident.feature, by=self.person, incident=self.incident, record=record
        )
        return Response(ChangeSerializer(change).data, status=status.HTTP_201_CREATED)


class ChangesFileView(IncidentView):
    """A change log as a file."""

    serializer_class = EvidenceFileSerializer
    parser_classes = (MultiPartParser, FormParser)

    @extend_schema(request={"multipart/form-data": EvidenceFileSerializer}, responses=FileOutcomeSerializer)
    def post(self, request: Request, number: str) -> Response:
        """JSONL or CSV; importing twice adds nothing. With `keep_good`, entries that cannot be read are left out."""
        name, data = uploaded(self)
        outcome = services.import_changes(
            feature=self.incident.feature, by=self.person, filename=name, data=data, incident=self.incident,
            keep_good=self.body(EvidenceFileSerializer)["keep_good"],
        )  # fmt: skip
        return Response(FileOutcomeSerializer(outcome).data)


class OneChangeView(IncidentView):
    """One entry."""

    serializer_class = ChangeSerializer

    @extend_schema(responses=ChangeSerializer)
    def get(self, request: Request, number: str, pk: int) -> Response:
        """The entry as logged."""
        return Response(ChangeSerializer(self._change(pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """Only entries typed by hand that nothing refers to."""
        services.delete_change(change=self._change(pk), by=self.person, incident=self.incident)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _change(self, pk: int) -> Change:
        return self.found(Change.objects.filter(feature_id=self.incident.feature_id), pk=pk)


class ReconciliationView(IncidentView):
    """What logs and traces say of each other."""

    serializer_class = ReconciliationSerializer

    @extend_schema(responses=ReconciliationSerializer)
    def get(self, request: Request, number: str) -> Response:
        """Logged but never observed; observed but never logged."""
        return Response(ReconciliationSerializer(selectors.reconciliation(self.incident)).data)


class PromptPullView(IncidentView):
    """Prompt versions from Langfuse."""

    serializer_class = PromptPullSerializer

    @extend_schema(request=PromptPullSerializer, responses={202: RunSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Starts a run that adds every prompt version to the log."""
        connection = self.picked(Connection.objects.all(), self.body(PromptPullSerializer)["connection"])
        run = start_prompt_pull(incident=self.incident, by=self.person, connection=connection)
        return Response(RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)
