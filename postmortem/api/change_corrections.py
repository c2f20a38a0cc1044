"""Corrections and merges of the change logs."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.api.changes import ChangeSerializer, NewChangeSerializer
from postmortem.changes import corrections, selectors
from postmortem.changes.models import Change, ChangeRevision
from postmortem.changes.parse import read_change, to_open_format
from postmortem.changes.stored import record_of


class ChangeCorrectionSerializer(serializers.ModelSerializer):
    """One correction: the fields before and after it, and why."""

    by = serializers.CharField(source="by.name")

    class Meta:
        model = ChangeRevision
        fields = ("id", "number", "before", "after", "reason", "by", "at")


class NewChangeCorrectionSerializer(NewChangeSerializer):
    """The fields that are wrong, in the open format; what is left out stays. `revision` as the change was read."""

    id = None
    layer = serializers.ChoiceField(choices=NewChangeSerializer().fields["layer"].choices, required=False)
    at = serializers.CharField(max_length=60, required=False)
    reason = serializers.CharField(max_length=1_000)
    revision = serializers.IntegerField(min_value=1)


class MergeSerializer(serializers.Serializer):
    """The entry that tells the same change."""

    into = serializers.IntegerField()


class DuplicateSerializer(serializers.Serializer):
    """Two entries that look like one change."""

    first = ChangeSerializer()
    second = ChangeSerializer()
    reason = serializers.CharField()
    is_sure = serializers.BooleanField(help_text="Both tell the same version, link or words, not only alike ones.")


class MergedSerializer(serializers.Serializer):
    """How many entries were merged, and how many wait because one of the two went into a third just now."""

    merged = serializers.IntegerField()
    left = serializers.IntegerField()


class _OneChange(IncidentView):
    def change(self, pk: int) -> Change:
        """An entry of this feature's logs, merged ones included."""
        return self.found(Change.objects.filter(feature_id=self.incident.feature_id), pk=pk)


class CorrectionsView(_OneChange):
    """What people corrected in one entry."""

    serializer_class = ChangeCorrectionSerializer

    @extend_schema(responses=ChangeCorrectionSerializer(many=True))
    def get(self, request: Request, number: str, pk: int) -> Response:
        """The newest first."""
        return self.page(self.change(pk).revisions.select_related("by"), ChangeCorrectionSerializer)

    @extend_schema(request=NewChangeCorrectionSerializer, responses={201: ChangeSerializer})
    def post(self, request: Request, number: str, pk: int) -> Response:
        """Correct it; the log's own bytes stay."""
        change, body = self.change(pk), self.body(NewChangeCorrectionSerializer)
        reason, revision = body.pop("reason"), body.pop("revision")
        record = read_change(to_open_format(record_of(change)) | body)
        changed = corrections.correct_change(
            change=change, by=self.person, incident=self.incident, record=record, reason=reason, revision=revision
        )
        return Response(ChangeSerializer(changed).data, status=status.HTTP_201_CREATED)


class CorrectionUndoView(_OneChange):
    """Take the latest correction back."""

    serializer_class = ChangeSerializer

    @extend_schema(request=None, responses=ChangeSerializer)
    def post(self, request: Request, number: str, pk: int) -> Response:
        """That is a correction of its own."""
        revision = self.found(self.change(pk).revisions.all(), number=self.change(pk).revision)
        changed = corrections.undo_correction(revision=revision, by=self.person, incident=self.incident)
        return Response(ChangeSerializer(changed).data)


class MergeView(_OneChange):
    """Two entries that tell one change."""

    serializer_class = MergeSerializer

    @extend_schema(request=MergeSerializer, responses=ChangeSerializer)
    def post(self, request: Request, number: str, pk: int) -> Response:
        """Merge this entry into another one of the feature's logs."""
        into = self.picked(
            Change.objects.filter(feature_id=self.incident.feature_id), self.body(MergeSerializer)["into"]
        )
        merged = corrections.merge_changes(duplicate=self.change(pk), into=into, by=self.person, incident=self.incident)
        return Response(ChangeSerializer(merged).data)

    @extend_schema(responses={200: ChangeSerializer})
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """Take the merge apart."""
        change = corrections.unmerge_change(duplicate=self.change(pk), by=self.person, incident=self.incident)
        return Response(ChangeSerializer(change).data)


class DuplicatesView(IncidentView):
    """Entries that look like one change told by two feeds."""

    serializer_class = DuplicateSerializer

    @extend_schema(responses=DuplicateSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Likely pairs, for people to merge."""
        pairs = selectors.duplicate_pairs(selectors.ledger(self.incident))
        rows = [dict(zip(("first", "second", "reason", "is_sure"), pair, strict=True)) for pair in pairs]
        return self.page(rows, DuplicateSerializer)

    @extend_schema(request=None, responses=MergedSerializer)
    def post(self, request: Request, number: str) -> Response:
        """Merge all that are sure; each can be taken apart again."""
        merged, left = corrections.merge_sure_duplicates(by=self.person, incident=self.incident)
        return Response(MergedSerializer({"merged": merged, "left": left}).data)
