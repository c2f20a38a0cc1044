"""Texts proposed from the record's facts."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import ApiView, IncidentView
from postmortem.api.evidence import RunSerializer
from postmortem.incidents.permissions import Capability, require
from postmortem.pipeline.services import start_draft
from postmortem.report.accept import accept_text, machine_drafts, proposals
from postmortem.report.draft_settings import drafting_settings, save_drafting_settings
from postmortem.report.models import MachineDraft
from postmortem.report.summaries import FIELDS


class SentenceSerializer(serializers.Serializer):
    """One sentence and the place of the record that it says."""

    text = serializers.CharField()
    fact = serializers.CharField()


class ProposedTextSerializer(serializers.Serializer):
    """A machine-made text for a field that nobody has written yet."""

    field = serializers.CharField()
    label = serializers.CharField()
    text = serializers.CharField()
    sentences = SentenceSerializer(many=True)


class AcceptTextSerializer(serializers.Serializer):
    """A text, as proposed or edited, and the revision of the incident that was read."""

    field = serializers.ChoiceField(choices=list(FIELDS.items()))
    text = serializers.CharField(max_length=20_000)
    revision = serializers.IntegerField(min_value=1)
    draft = serializers.IntegerField(min_value=1, required=False, allow_null=True, default=None)


class DraftSentenceSerializer(serializers.Serializer):
    """One sentence of a model; `doubt` says why it is unsupported, "" if it rests on `places` of the record."""

    text = serializers.CharField()
    places = serializers.ListField(child=serializers.CharField())
    doubt = serializers.CharField(allow_blank=True)


class SentFactSerializer(serializers.Serializer):
    """A fact as it was sent."""

    id = serializers.CharField()
    text = serializers.CharField()
    place = serializers.CharField()


class MachineDraftSerializer(serializers.ModelSerializer):
    """A machine-made draft that nobody has accepted yet, with what the model was given."""

    asked_by = serializers.CharField(source="asked_by.name")
    sentences = DraftSentenceSerializer(many=True)
    sent = SentFactSerializer(many=True)

    class Meta:
        model = MachineDraft
        fields = ("id", "field", "model", "sentences", "sent", "asked_by", "created_at")


class AskDraftSerializer(serializers.Serializer):
    """The text to draft."""

    field = serializers.ChoiceField(choices=list(FIELDS.items()))


class DraftingSettingsSerializer(serializers.Serializer):
    """Whether and where drafts come from; the key is written and never read."""

    revision = serializers.IntegerField(min_value=0)
    enabled = serializers.BooleanField()
    base_url = serializers.CharField(allow_blank=True, required=False, default="", max_length=500)
    model = serializers.CharField(allow_blank=True, required=False, default="", max_length=200)
    api_key = serializers.CharField(allow_blank=True, required=False, default="", max_length=500, write_only=True)


class RevisionSerializer(serializers.Serializer):
    """The incident's revision after the change."""

    revision = serializers.IntegerField()


class ProposalsView(IncidentView):
    """Proposed texts."""

    serializer_class = ProposedTextSerializer

    @extend_schema(responses=ProposedTextSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """For the empty fields among summary, impact and detection_gap."""
        return self.page(proposals(self.incident), ProposedTextSerializer)

    @extend_schema(request=AcceptTextSerializer, responses=RevisionSerializer)
    def post(self, request: Request, number: str) -> Response:
        """Accept one; 409 when somebody saved first."""
        done = accept_text(incident=self.incident, by=self.person, **self.body(AcceptTextSerializer))
        return Response({"revision": done.revision})


class MachineDraftsView(IncidentView):
    """Drafts by the configured model."""

    serializer_class = MachineDraftSerializer

    @extend_schema(responses=MachineDraftSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """The latest of each text that nobody has accepted yet."""
        require(self.person, Capability.REVIEW, self.incident)
        return self.page(machine_drafts(self.incident), MachineDraftSerializer)

    @extend_schema(request=AskDraftSerializer, responses={202: RunSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Ask for one in the background; 400 while drafts are off."""
        run = start_draft(incident=self.incident, by=self.person, **self.body(AskDraftSerializer))
        return Response(RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class DraftingSettingsView(ApiView):
    """Whether and where drafts come from; for administrators."""

    serializer_class = DraftingSettingsSerializer

    @extend_schema(responses=DraftingSettingsSerializer)
    def get(self, request: Request) -> Response:
        """What is stored."""
        require(self.person, Capability.CONFIGURE)
        return Response(DraftingSettingsSerializer(drafting_settings()).data)

    @extend_schema(request=DraftingSettingsSerializer, responses=DraftingSettingsSerializer)
    def put(self, request: Request) -> Response:
        """Store it; 409 when somebody saved first."""
        stored = save_drafting_settings(by=self.person, **self.body(DraftingSettingsSerializer))
        return Response(DraftingSettingsSerializer(stored).data)
