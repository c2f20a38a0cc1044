"""A trace beside a similar healthy one."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.changes.side_by_side import Comparison, compare
from postmortem.lib.errors import UserError
from postmortem.traces.healthy import similar_healthy
from postmortem.traces.models import Trace


class ComparedPieceSerializer(serializers.Serializer):
    """A stretch of text; `differs` when the other side does not have it."""

    text = serializers.CharField()
    differs = serializers.BooleanField()


class TextDifferenceSerializer(serializers.Serializer):
    """Both sides in pieces; `same` from 0 to 1."""

    left = ComparedPieceSerializer(many=True)
    right = ComparedPieceSerializer(many=True)
    same = serializers.FloatField()
    cut = serializers.BooleanField()


class TraceVersionSerializer(serializers.Serializer):
    """One versioned facet; `known` is observed, inferred (from the change `change`) or not known."""

    facet = serializers.CharField()
    value = serializers.CharField()
    known = serializers.CharField()
    change = serializers.CharField()
    share = serializers.FloatField()


class ComparisonSerializer(serializers.Serializer):
    """Two traces with what differs; secrets and personal data are masked."""

    left = serializers.IntegerField(source="left.trace.pk")
    right = serializers.IntegerField(source="right.trace.pk")
    asked = TextDifferenceSerializer()
    answered = TextDifferenceSerializer()
    versions_left = serializers.SerializerMethodField()
    versions_right = serializers.SerializerMethodField()
    moved = serializers.SerializerMethodField()

    @extend_schema_field(TraceVersionSerializer(many=True))
    def get_versions_left(self, found: Comparison) -> list[dict[str, object]]:
        """The version tuple of the trace."""
        return list(TraceVersionSerializer([row[1] for row in found.versions], many=True).data)

    @extend_schema_field(TraceVersionSerializer(many=True))
    def get_versions_right(self, found: Comparison) -> list[dict[str, object]]:
        """The version tuple of the healthy trace."""
        return list(TraceVersionSerializer([row[2] for row in found.versions], many=True).data)

    def get_moved(self, found: Comparison) -> list[str]:
        """Facets whose versions are known and differ."""
        return [row[0] for row in found.moved]


class CompareView(IncidentView):
    """Side by side."""

    serializer_class = ComparisonSerializer

    @extend_schema(
        parameters=[OpenApiParameter("with", OpenApiTypes.INT, description="The other trace; else the most alike.")],
        responses=ComparisonSerializer,
    )
    def get(self, request: Request, number: str, pk: int) -> Response:
        """With a healthy trace of the same prompt and segment from before the onset."""
        traces = Trace.objects.filter(incident=self.incident).select_related("incident__feature")
        trace = self.found(traces, pk=pk)
        asked = request.query_params.get("with", "")
        if asked.isdecimal() and len(asked) < 19:
            other = self.found(traces, pk=int(asked))
        else:
            other = next(iter(similar_healthy(trace, 1)), None)
        if other is None:
            raise UserError("No trace from before the onset has the same prompt and segment; import more baseline.")
        return Response(ComparisonSerializer(compare(self.incident, trace, other)).data)
