"""Shared texts, presence and meetings."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.lib.errors import UserError
from postmortem.review import meeting as meetings
from postmortem.review.models import Meeting, MeetingNote
from postmortem.review.selectors import layer_summaries, review_order
from postmortem.review.shared_text import MAX_TEXT, read_text, read_texts, save_text


class TextSerializer(serializers.Serializer):
    """A text that several people write together."""

    key = serializers.CharField()
    text = serializers.CharField()
    revision = serializers.IntegerField()
    updated_by = serializers.CharField()
    updated_at = serializers.DateTimeField(allow_null=True)


class NewTextSerializer(serializers.Serializer):
    """`base` is the stored text that `text` was made from; what others wrote since is merged."""

    base = serializers.CharField(allow_blank=True, max_length=MAX_TEXT, trim_whitespace=False)
    text = serializers.CharField(allow_blank=True, max_length=MAX_TEXT, trim_whitespace=False)


class PresentSerializer(serializers.Serializer):
    """Somebody who has a page of the incident open; `field` is the key of the text that has the cursor."""

    person_id = serializers.IntegerField()
    name = serializers.CharField()
    place = serializers.CharField()
    field = serializers.CharField()


class AgendaItemSerializer(serializers.Serializer):
    """One item of the agenda, times in seconds."""

    key = serializers.CharField()
    label = serializers.CharField()
    planned_seconds = serializers.IntegerField()
    spent_seconds = serializers.IntegerField()
    is_current = serializers.BooleanField()
    position = serializers.IntegerField()


class MeetingNoteSerializer(serializers.ModelSerializer):
    """A decision, or a concern that the reader may see; `written_by` is null for one without a name."""

    written_by = serializers.CharField(source="written_by.name", allow_null=True, default=None)
    settled_by = serializers.CharField(source="settled_by.name", allow_null=True, default=None)

    class Meta:
        model = MeetingNote
        fields = ("id", "kind", "item", "text", "written_by", "written_at", "settled_by", "settled_at")


class MeetingSerializer(serializers.Serializer):
    """The meeting that is going on."""

    started_by = serializers.CharField()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    revision = serializers.IntegerField()
    agenda = AgendaItemSerializer(many=True)
    notes = MeetingNoteSerializer(many=True)


class NewMeetingSerializer(serializers.Serializer):
    """Length in minutes."""

    minutes = serializers.IntegerField(min_value=15, max_value=240, default=60)


class MeetingStepSerializer(serializers.Serializer):
    """Go to the item at `position`, or end the meeting; `revision` is the one that was seen."""

    revision = serializers.IntegerField()
    position = serializers.IntegerField(required=False, allow_null=True, default=None)
    end = serializers.BooleanField(default=False)


class NewMeetingNoteSerializer(serializers.Serializer):
    """A decision, or a concern for the facilitator alone; `named` false leaves the name out of a concern."""

    kind = serializers.ChoiceField(choices=MeetingNote.Kind.choices)
    text = serializers.CharField(max_length=600)
    named = serializers.BooleanField(default=True)


class TextsView(IncidentView):
    """Shared texts."""

    serializer_class = TextSerializer

    @extend_schema(responses=TextSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Every text that somebody has written."""
        return self.page(read_texts(self.incident), TextSerializer)


class TextView(IncidentView):
    """One shared text: `incident.<field>`, `note.<question id>`, `reason.<layer>` or `meeting`."""

    serializer_class = TextSerializer

    @extend_schema(responses=TextSerializer)
    def get(self, request: Request, number: str, key: str) -> Response:
        """As it is stored now."""
        return Response(TextSerializer(read_text(self.incident, key)).data)

    @extend_schema(request=NewTextSerializer, responses=TextSerializer)
    def put(self, request: Request, number: str, key: str) -> Response:
        """Save it, merged with what others wrote; 409 with the stored text when both changed the same words."""
        body = self.body(NewTextSerializer)
        return Response(TextSerializer(save_text(incident=self.incident, by=self.person, key=key, **body)).data)


class PresenceView(IncidentView):
    """Presence."""

    serializer_class = PresentSerializer

    @extend_schema(responses=PresentSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Who has a page of the incident open."""
        return self.page(meetings.present(self.incident), PresentSerializer)


class _MeetingView(IncidentView):
    serializer_class = MeetingSerializer

    def running(self) -> Meeting:
        meeting = meetings.open_meeting(self.incident)
        if meeting is None:
            raise UserError("No meeting is going on; start one first.")
        return meeting

    def shown(self, meeting: Meeting, code: int = status.HTTP_200_OK) -> Response:
        told: dict[str, Any] = {
            "started_by": meeting.started_by.name,
            "started_at": meeting.started_at,
            "ended_at": meeting.ended_at,
            "revision": meeting.revision,
            "agenda": meetings.meeting_state(meeting).items,
            "notes": meetings.meeting_notes(meeting, self.person),
        }
        return Response(MeetingSerializer(told).data, status=code)


class MeetingView(_MeetingView):
    """The meeting."""

    @extend_schema(responses=MeetingSerializer)
    def get(self, request: Request, number: str) -> Response:
        """Its agenda with the time spent, decisions, and the concerns that the reader may see."""
        return self.shown(self.running())

    @extend_schema(request=NewMeetingSerializer, responses={201: MeetingSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Start one; the layer that the attribution suspects most comes last."""
        layers = [
            summary.layer for summary in review_order(layer_summaries(self.incident), self.incident.suspected_layer)
        ]
        minutes = self.body(NewMeetingSerializer)["minutes"]
        meeting = meetings.start_meeting(incident=self.incident, by=self.person, layers=layers, minutes=minutes)
        return self.shown(meeting, status.HTTP_201_CREATED)

    @extend_schema(request=MeetingStepSerializer, responses=MeetingSerializer)
    def patch(self, request: Request, number: str) -> Response:
        """Move on, or end it; 409 when somebody moved it meanwhile."""
        body, meeting = self.body(MeetingStepSerializer), self.running()
        if body["end"]:
            return self.shown(meetings.end_meeting(meeting=meeting, by=self.person, revision=body["revision"]))
        if body["position"] is None:
            raise UserError("Say the position to go to, or end the meeting.")
        return self.shown(
            meetings.move_to(meeting=meeting, by=self.person, position=body["position"], revision=body["revision"])
        )


class MeetingNotesView(_MeetingView):
    """Decisions and concerns."""

    @extend_schema(request=NewMeetingNoteSerializer, responses={201: MeetingNoteSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Note a decision, or raise a concern quietly."""
        body, meeting = self.body(NewMeetingNoteSerializer), self.running()
        if body["kind"] == MeetingNote.Kind.DECISION:
            note = meetings.note_decision(meeting=meeting, by=self.person, text=body["text"])
        else:
            note = meetings.raise_concern(meeting=meeting, by=self.person, text=body["text"], named=body["named"])
        return Response(MeetingNoteSerializer(note).data, status=status.HTTP_201_CREATED)


class MeetingNoteView(_MeetingView):
    """One decision."""

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """Strike a decision that was noted in error; the history keeps it and takes the striking back."""
        decisions = MeetingNote.objects.filter(meeting__incident=self.incident, kind=MeetingNote.Kind.DECISION)
        note = self.found(decisions.select_related("meeting__incident"), pk=pk)
        meetings.take_back_decision(note=note, by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SettleConcernView(_MeetingView):
    """One concern."""

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, number: str, pk: int) -> Response:
        """Mark it as dealt with."""
        return self._settle(pk, settled=True)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """It is not dealt with yet."""
        return self._settle(pk, settled=False)

    def _settle(self, pk: int, *, settled: bool) -> Response:
        mine = MeetingNote.objects.filter(meeting__incident=self.incident).select_related("meeting__incident")
        meetings.settle_concern(note=self.found(mine, pk=pk), by=self.person, settled=settled)
        return Response(status=status.HTTP_204_NO_CONTENT)
