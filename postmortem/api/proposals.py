"""Texts proposed from the record's facts."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.report.accept import accept_text, proposals
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
