"""Versions of the checklist, the detection section, and dissent."""

from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import ApiView, IncidentView
from postmortem.review import question_sets
from postmortem.review.dissent import record_dissent, standing_dissents, withdraw_dissent
from postmortem.review.models import Dissent, Verdict
from postmortem.review.selectors import review_detection
from postmortem.review.suggested import answer_as_suggested


class VersionLineSerializer(serializers.Serializer):
    """One version of the questions."""

    version = serializers.CharField()
    made_by = serializers.CharField()
    made_at = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField()
    question_count = serializers.IntegerField()
    is_current = serializers.BooleanField()


class NewVersionSerializer(serializers.Serializer):
    """A new version: the object of a checklist file under `data`."""

    version = serializers.CharField(max_length=20)
    note = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")
    data = serializers.JSONField()


class PinSerializer(serializers.Serializer):
    """The version that the incident is answered by."""

    version = serializers.CharField(max_length=20)


class DissentSerializer(serializers.ModelSerializer):
    """What somebody would have decided instead, and why."""

    person = serializers.CharField(source="person.name")

    class Meta:
        model = Dissent
        fields = ("id", "layer", "person", "value", "reason", "at")


class NewDissentSerializer(serializers.Serializer):
    """Another verdict than the one that stands, with a reason."""

    value = serializers.ChoiceField(choices=Verdict.Value.choices)
    reason = serializers.CharField(max_length=4_000)


class DetectionQuestionSerializer(serializers.Serializer):
    """A question on detection; `asked` says whether the evidence bears on it."""

    id = serializers.CharField(source="question.id")
    text = serializers.CharField(source="question.text")
    asked = serializers.BooleanField(source="shown")
    answer = serializers.CharField(source="answer.value", allow_null=True, default=None)
    note = serializers.CharField(source="answer.note", allow_null=True, default=None)


class ChecklistsView(ApiView):
    """Versions of the checklist."""

    serializer_class = VersionLineSerializer

    @extend_schema(responses=VersionLineSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(question_sets.versions(), VersionLineSerializer)

    @extend_schema(request=NewVersionSerializer, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request) -> Response:
        """Administrators publish a new version; new incidents are answered by it."""
        stored = question_sets.publish_version(by=self.person, **self.body(NewVersionSerializer))
        return Response({"version": stored.version}, status=status.HTTP_201_CREATED)


class OneChecklistView(ApiView):
    """One version."""

    serializer_class = VersionLineSerializer

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, version: str) -> Response:
        """The object that it was made from."""
        try:
            data: dict[str, Any] = question_sets.question_data(version)
        except ValueError as error:
            raise Http404(str(error)) from error
        return Response(data)


class ChecklistPinView(IncidentView):
    """Which version the incident is answered by."""

    serializer_class = PinSerializer

    @extend_schema(responses=PinSerializer)
    def get(self, request: Request, number: str) -> Response:
        """The version."""
        return Response({"version": question_sets.version_of(self.incident)})

    @extend_schema(request=PinSerializer, responses=PinSerializer)
    def put(self, request: Request, number: str) -> Response:
        """The facilitator moves the incident to another version."""
        pinned = question_sets.pin_version(incident=self.incident, by=self.person, **self.body(PinSerializer))
        return Response({"version": pinned})


class DetectionView(IncidentView):
    """Detection."""

    serializer_class = DetectionQuestionSerializer

    @extend_schema(responses=DetectionQuestionSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """What should have told us, when, and why it did not; answered like every other question."""
        return self.page(review_detection(self.incident).questions, DetectionQuestionSerializer)


class SuggestedView(IncidentView):
    """Open questions of a layer."""

    serializer_class = PinSerializer

    @extend_schema(request=None, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, number: str, layer: str) -> Response:
        """Answer them as the join and the attribution suggest."""
        answers = answer_as_suggested(incident=self.incident, by=self.person, layer=layer)
        told = {"answered": [answer.question_id for answer in answers]}
        return Response(told, status=status.HTTP_201_CREATED)


class DissentsView(IncidentView):
    """Dissent."""

    serializer_class = DissentSerializer

    @extend_schema(responses=DissentSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Dissents that differ from the verdicts that stand."""
        return self.page(standing_dissents(self.incident), DissentSerializer)


class LayerDissentView(IncidentView):
    """One's own dissent from a layer's verdict."""

    serializer_class = DissentSerializer

    @extend_schema(request=NewDissentSerializer, responses=DissentSerializer)
    def put(self, request: Request, number: str, layer: str) -> Response:
        """Dissent by name, with a reason."""
        body = self.body(NewDissentSerializer)
        dissent = record_dissent(incident=self.incident, by=self.person, layer=layer, **body)
        return Response(DissentSerializer(dissent).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, layer: str) -> Response:
        """Take one's own dissent back."""
        mine = self.incident.dissents.select_related("incident__feature", "person").filter(person=self.person)
        withdraw_dissent(dissent=self.found(mine, layer=layer), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)
