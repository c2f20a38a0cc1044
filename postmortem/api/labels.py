"""Reviewers' labels on traces."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.attribution.labels import label_levels
from postmortem.traces.labelling import label_counts, label_history
from postmortem.traces.labels import label_trace, withdraw_label
from postmortem.traces.models import Trace, TraceLabel


class LabelSerializer(serializers.ModelSerializer):
    """One label; `withdrawn_at` says when it was taken back."""

    trace = serializers.IntegerField(source="trace_id", read_only=True)
    by = serializers.CharField(source="by.name", read_only=True)

    class Meta:
        model = TraceLabel
        fields = ("id", "trace", "value", "by", "at", "withdrawn_at")
        read_only_fields = ("id", "at", "withdrawn_at")


class LabelLevelSerializer(serializers.Serializer):
    """Failing share of one window with its 95 % interval (Wilson)."""

    count = serializers.IntegerField()
    mean = serializers.FloatField()
    interval = serializers.ListField(child=serializers.FloatField())


class LabelDifferenceSerializer(serializers.Serializer):
    """Incident minus baseline (Newcombe)."""

    estimate = serializers.FloatField()
    interval = serializers.ListField(child=serializers.FloatField())


class LabelSummarySerializer(serializers.Serializer):
    """What the labels say of the windows."""

    windows = serializers.DictField(child=LabelLevelSerializer())
    difference = LabelDifferenceSerializer(allow_null=True)


class LabelsView(IncidentView):
    """Every label of an incident."""

    serializer_class = LabelSerializer

    @extend_schema(responses=LabelSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """The newest first, those taken back too."""
        return self.page(label_history(self.incident), LabelSerializer)


class LabelLevelsView(IncidentView):
    """Labels as a signal."""

    serializer_class = LabelSummarySerializer

    @extend_schema(responses=LabelSummarySerializer)
    def get(self, request: Request, number: str) -> Response:
        """Failing shares of baseline and incident, and their difference."""
        return Response(LabelSummarySerializer(label_levels(label_counts(self.incident))).data)


class TraceLabelView(IncidentView):
    """The label of one trace."""

    serializer_class = LabelSerializer

    @extend_schema(request=LabelSerializer, responses={201: LabelSerializer})
    def post(self, request: Request, number: str, pk: int) -> Response:
        """Labels the trace; earlier labels stay as history."""
        trace = self.found(Trace.objects.filter(incident=self.incident).select_related("incident__feature"), pk=pk)
        label = label_trace(trace=trace, by=self.person, **self.body(LabelSerializer))
        return Response(LabelSerializer(label).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """Takes back the newest label of one's own."""
        mine = TraceLabel.objects.filter(trace__incident=self.incident, trace=pk, by=self.person, withdrawn_at=None)
        label = self.found(mine.select_related("trace__incident__feature").order_by("-at", "-id"))
        withdraw_label(label=label, by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)
