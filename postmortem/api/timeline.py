"""The timeline of an incident: entries, notes, marks, gaps and clocks."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.incidents import selectors, services
from postmortem.incidents.clocks import five_clocks
from postmortem.incidents.models import TimelineEntry, TimelineMark
from postmortem.lib.errors import UserError
from postmortem.review.assembling import timeline, timeline_gaps


class TimelineItemSerializer(serializers.Serializer):
    """A moment: an incident time, a change, what the signal says, or a note (then with the note's id).

    `key` names it for marks. `was_at` and `was_text` are as assembled, where people corrected it.
    """

    at = serializers.DateTimeField()
    kind = serializers.CharField()
    text = serializers.CharField()
    layer = serializers.CharField(allow_null=True)
    source = serializers.CharField()
    note = serializers.IntegerField(source="note_id", allow_null=True, default=None)
    key = serializers.CharField()
    pinned = serializers.BooleanField()
    hidden = serializers.BooleanField()
    was_at = serializers.DateTimeField(allow_null=True)
    was_text = serializers.CharField()
    revision = serializers.IntegerField()


class NoteSerializer(serializers.ModelSerializer):
    """A note on the timeline."""

    written_by = serializers.CharField(source="written_by.name", read_only=True)

    class Meta:
        model = TimelineEntry
        fields = ("id", "at", "text", "kind", "written_by", "written_at", "hidden", "pinned", "revision")


class NewNoteSerializer(serializers.Serializer):
    """When and what; an alerting tool posts its alerts with kind alert."""

    at = serializers.DateTimeField()
    text = serializers.CharField(max_length=5_000)
    kind = serializers.ChoiceField(choices=TimelineEntry.Kind.choices, default=TimelineEntry.Kind.NOTE)


class NoteChangesSerializer(serializers.Serializer):
    """Any of the fields. With at, text or kind the revision that they were read at."""

    hidden = serializers.BooleanField(required=False)
    pinned = serializers.BooleanField(required=False)
    at = serializers.DateTimeField(required=False)
    text = serializers.CharField(max_length=5_000, required=False)
    kind = serializers.ChoiceField(choices=TimelineEntry.Kind.choices, required=False)
    revision = serializers.IntegerField(required=False)


class MarkSerializer(serializers.ModelSerializer):
    """What people did to an assembled entry."""

    class Meta:
        model = TimelineMark
        fields = ("key", "pinned", "hidden", "at", "text", "revision")


class NewMarkSerializer(serializers.Serializer):
    """Pin, hide or correct the entry `key`; an empty text and a null time go back to what was assembled."""

    key = serializers.CharField(max_length=80)
    pinned = serializers.BooleanField(required=False)
    hidden = serializers.BooleanField(required=False)
    at = serializers.DateTimeField(required=False, allow_null=True)
    text = serializers.CharField(max_length=5_000, required=False, allow_blank=True)
    revision = serializers.IntegerField(required=False)


class GapSerializer(serializers.Serializer):
    """Something that the timeline does not say; `field` is the incident time that mends it."""

    text = serializers.CharField()
    field = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)


class ClockSerializer(serializers.Serializer):
    """One of the five clocks; `seconds` is null while an end is missing."""

    key = serializers.CharField()
    label = serializers.CharField()
    seconds = serializers.FloatField(allow_null=True, source="duration.total_seconds", default=None)
    sentence = serializers.CharField()


class TimelineFindingsSerializer(serializers.Serializer):
    """The five clocks and the gaps."""

    clocks = ClockSerializer(many=True)
    gaps = GapSerializer(many=True)


class TimelineView(IncidentView):
    """The timeline: incident times, changes, the signal and notes together."""

    serializer_class = TimelineItemSerializer

    @extend_schema(responses=TimelineItemSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """In order of time, without what is hidden unless `hidden=1`."""
        with_hidden = request.query_params.get("hidden") == "1"
        return self.page(timeline(self.incident, include_hidden=with_hidden), TimelineItemSerializer)

    @extend_schema(request=NewNoteSerializer, responses={201: NoteSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Write a note."""
        entry = services.add_timeline_entry(incident=self.incident, by=self.person, **self.body(NewNoteSerializer))
        return Response(NoteSerializer(entry).data, status=status.HTTP_201_CREATED)


class NoteView(IncidentView):
    """One note."""

    serializer_class = NoteSerializer

    @extend_schema(request=NoteChangesSerializer, responses=NoteSerializer)
    def patch(self, request: Request, number: str, pk: int) -> Response:
        """Hide, pin or correct it; 409 with the stored values when somebody saved first."""
        notes = selectors.timeline_entries(self.incident, include_hidden=True).select_related("incident__feature")
        entry = self.found(notes, pk=pk)
        body: dict[str, Any] = self.body(NoteChangesSerializer)
        words = {name: body[name] for name in ("at", "text", "kind") if name in body}
        if words:
            services.correct_timeline_entry(entry=entry, by=self.person, revision=body.get("revision"), **words)
        if "hidden" in body:
            change = services.hide_timeline_entry if body["hidden"] else services.restore_timeline_entry
            change(entry=entry, by=self.person)
        if "pinned" in body:
            services.pin_timeline_entry(entry=entry, by=self.person, pinned=body["pinned"])
        return Response(NoteSerializer(entry).data)


class TimelineMarksView(IncidentView):
    """Marks on assembled entries."""

    serializer_class = MarkSerializer

    @extend_schema(request=NewMarkSerializer, responses=MarkSerializer)
    def put(self, request: Request, number: str) -> Response:
        """Pin, hide or correct an assembled entry; what it was assembled from stays as it is."""
        body: dict[str, Any] = self.body(NewMarkSerializer)
        items = timeline(self.incident, include_hidden=True)
        item = next((one for one in items if one.key == body["key"] and not one.is_note and not one.is_time), None)
        if item is None:
            raise UserError("The timeline has no such assembled entry; read it again to find the key.")
        if "at" in body:
            body["at"] = body["at"] or ""
        mark = services.mark_timeline_item(incident=self.incident, by=self.person, subject=item.text, **body)
        return Response(MarkSerializer(mark).data)


class TimelineFindingsView(IncidentView):
    """What the timeline amounts to."""

    serializer_class = TimelineFindingsSerializer

    @extend_schema(responses=TimelineFindingsSerializer)
    def get(self, request: Request, number: str) -> Response:
        """The five clocks, and what the timeline does not say."""
        one = self.incident
        clocks = five_clocks(
            one.latent_since, one.onset_at, one.detected_at, one.mitigated_at, one.recovered_at, one.users_recovered_at
        )
        told = {"clocks": clocks, "gaps": timeline_gaps(one, timeline(one))}
        return Response(TimelineFindingsSerializer(told).data)
