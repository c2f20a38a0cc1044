"""Incidents, who takes part, and notes on the timeline."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.accounts.models import Person
from postmortem.api.accounts import FeatureSerializer, PersonSerializer
from postmortem.api.base import ApiView, IncidentView
from postmortem.incidents import selectors, services
from postmortem.incidents.models import (
    Incident,
    Participant,
    ParticipantRole,
    Severity,
    Status,
    Visibility,
    Worse,
)
from postmortem.insights.watching import recurrences
from postmortem.lib.layers import LAYER_CHOICES


class IncidentLineSerializer(serializers.ModelSerializer):
    """An incident in a list."""

    feature = FeatureSerializer()
    created_by = serializers.CharField(source="created_by.name")

    class Meta:
        model = Incident
        fields = (
            "number", "title", "feature", "severity", "status", "visibility", "simulated", "onset_at", "detected_at",
            "created_by", "created_at", "updated_at", "revision",
        )  # fmt: skip


class IncidentSerializer(IncidentLineSerializer):
    """An incident in full. All moments are UTC; texts are Markdown."""

    class Meta:
        model = Incident
        fields = (
            *IncidentLineSerializer.Meta.fields,
            "summary", "impact", "decisions_requested", "detection_gap", "lessons", "affected_people",
            "suspected_layer",
            "signal", "worse", "trace_name", "environment",
            "baseline_start", "baseline_end", "incident_start", "incident_end",
            "latent_since", "mitigated_at", "recovered_at", "users_recovered_at", "resolved_at",
        )  # fmt: skip


class NewIncidentSerializer(serializers.Serializer):
    """What an incident needs to be opened."""

    title = serializers.CharField(max_length=200)
    feature_name = serializers.CharField(max_length=120)
    severity = serializers.ChoiceField(choices=Severity.choices)
    visibility = serializers.ChoiceField(choices=Visibility.choices, default=Visibility.EVERYONE)
    signal = serializers.CharField(max_length=120, required=False, allow_blank=True, default="")
    worse = serializers.ChoiceField(choices=Worse.choices, default=Worse.LOWER)
    trace_name = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    environment = serializers.CharField(max_length=120, required=False, allow_blank=True, default="")
    detected_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class IncidentChangesSerializer(serializers.ModelSerializer):
    """Any of the editable fields, and the revision that they were read at."""

    revision = serializers.IntegerField(min_value=1)
    feature_name = serializers.CharField(max_length=120, required=False)
    status = serializers.ChoiceField(choices=[Status.DRAFT, Status.IN_REVIEW], required=False)

    class Meta:
        model = Incident
        fields = (
            "revision", "title", "feature_name", "severity", "status", "visibility",
            "summary", "impact", "decisions_requested", "detection_gap", "lessons", "affected_people",
            "suspected_layer",
            "signal", "worse", "trace_name", "environment",
            "baseline_start", "baseline_end", "incident_start", "incident_end",
            "latent_since", "onset_at", "detected_at", "mitigated_at", "recovered_at", "users_recovered_at",
            "resolved_at",
        )  # fmt: skip
        extra_kwargs = {"title": {"required": False}}  # noqa: RUF012
        validators = ()


class ParticipantSerializer(serializers.ModelSerializer):
    """A person's part."""

    person = PersonSerializer()

    class Meta:
        model = Participant
        fields = ("id", "person", "role", "layer")


class NewParticipantSerializer(serializers.Serializer):
    """Who, as what; a layer lead names the layer."""

    person = serializers.IntegerField()
    role = serializers.ChoiceField(choices=ParticipantRole.choices)
    layer = serializers.ChoiceField(choices=LAYER_CHOICES, required=False, allow_blank=True, default="")


class IncidentsView(ApiView):
    """Incidents that you may see."""

    serializer_class = IncidentLineSerializer

    @extend_schema(
        parameters=[
            OpenApiParameter("text", OpenApiTypes.STR, description="Looked for in number, title and feature."),
            OpenApiParameter("status", OpenApiTypes.STR, enum=Status.values),
        ],
        responses=IncidentLineSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        query = request.query_params
        rows = selectors.incident_list(self.person, text=query.get("text", ""), status=query.get("status", ""))
        return self.page(rows, IncidentLineSerializer)

    @extend_schema(request=NewIncidentSerializer, responses={201: IncidentSerializer})
    def post(self, request: Request) -> Response:
        """Open an incident; you become its facilitator."""
        incident = services.create_incident(by=self.person, **self.body(NewIncidentSerializer))
        return Response(IncidentSerializer(incident).data, status=status.HTTP_201_CREATED)


class OneIncidentView(IncidentView):
    """One incident."""

    serializer_class = IncidentSerializer

    @extend_schema(responses=IncidentSerializer)
    def get(self, request: Request, number: str) -> Response:
        """The incident in full."""
        return Response(IncidentSerializer(self.incident).data)

    @extend_schema(request=IncidentChangesSerializer, responses=IncidentSerializer)
    def patch(self, request: Request, number: str) -> Response:
        """Change fields; 409 with the stored values when somebody saved first."""
        incident = services.update_incident(
            incident=self.incident, by=self.person, **self.body(IncidentChangesSerializer)
        )
        return Response(IncidentSerializer(incident).data)


class ParticipantsView(IncidentView):
    """Who takes part."""

    serializer_class = ParticipantSerializer

    @extend_schema(responses=ParticipantSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Facilitators first."""
        return self.page(selectors.participants(self.incident), ParticipantSerializer)

    @extend_schema(request=NewParticipantSerializer, responses={201: ParticipantSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Give somebody a part; naming a layer's lead replaces the one before."""
        body = self.body(NewParticipantSerializer)
        person = self.picked(Person.objects.select_related("team"), body.pop("person"))
        participant = services.set_participant(incident=self.incident, by=self.person, person=person, **body)
        return Response(ParticipantSerializer(participant).data, status=status.HTTP_201_CREATED)


class OneParticipantView(IncidentView):
    """One part."""

    serializer_class = ParticipantSerializer

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """Take the part away."""
        participant = self.found(selectors.participants(self.incident), pk=pk)
        services.remove_participant(incident=self.incident, by=self.person, participant=participant)
        return Response(status=status.HTTP_204_NO_CONTENT)


class UnfinishedSerializer(serializers.Serializer):
    """An item of a closed incident that was never finished."""

    number = serializers.IntegerField()
    title = serializers.CharField()
    owner = serializers.CharField(source="owner.name")
    due_on = serializers.DateField()
    status = serializers.CharField()


class RecurrenceSerializer(serializers.Serializer):
    """A closed incident that looks like this one."""

    number = serializers.CharField(source="incident.number")
    title = serializers.CharField(source="incident.title")
    layers = serializers.ListField(source="shared.layers", child=serializers.CharField())
    patterns = serializers.ListField(source="shared.patterns", child=serializers.CharField())
    targets = serializers.ListField(source="shared.targets", child=serializers.CharField())
    unfinished = UnfinishedSerializer(many=True)


class RecurrencesView(IncidentView):
    """Closed incidents that look like this one."""

    serializer_class = RecurrenceSerializer

    @extend_schema(responses=RecurrenceSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """The same layer, target and failure pattern, with what was promised then and never finished."""
        return self.page(recurrences(self.incident, self.person), RecurrenceSerializer)
