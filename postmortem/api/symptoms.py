"""Which signals moved between the windows, and where."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.attribution.selectors import symptoms


class SymptomLevelSerializer(serializers.Serializer):
    """Mean of some traces (a rate for signals of 0 and 1) with its 95 % interval."""

    count = serializers.IntegerField()
    mean = serializers.FloatField()
    interval = serializers.ListField(child=serializers.FloatField())


class SymptomEstimateSerializer(serializers.Serializer):
    """A difference with its 95 % interval."""

    estimate = serializers.FloatField()
    interval = serializers.ListField(child=serializers.FloatField())


class SignalMoveSerializer(serializers.Serializer):
    """One signal in both windows; `effect` in standard deviations of the baseline, `q` after correction."""

    signal = serializers.CharField()
    label = serializers.CharField()
    unit = serializers.CharField()
    before = SymptomLevelSerializer()
    after = SymptomLevelSerializer()
    difference = SymptomEstimateSerializer()
    effect = serializers.FloatField()
    worse = serializers.CharField()
    q = serializers.FloatField()
    moved = serializers.BooleanField()


class FacetMoveSerializer(serializers.Serializer):
    """One facet value against everything else; `before` is null when it was not there in the baseline."""

    facet = serializers.CharField()
    value = serializers.CharField()
    before = SymptomLevelSerializer(allow_null=True)
    after = SymptomLevelSerializer()
    rest_before = SymptomLevelSerializer(allow_null=True)
    rest_after = SymptomLevelSerializer()
    contrast = SymptomEstimateSerializer()
    share = serializers.FloatField()
    q = serializers.FloatField()


class SymptomsSerializer(serializers.Serializer):
    """Signals by how far they moved, and for each the facet values that stand out."""

    signals = SignalMoveSerializer(many=True)
    facets = serializers.DictField(child=FacetMoveSerializer(many=True))
    looks = serializers.IntegerField()


class SymptomsView(IncidentView):
    """The symptom finder."""

    serializer_class = SymptomsSerializer

    @extend_schema(responses=SymptomsSerializer)
    def get(self, request: Request, number: str) -> Response:
        """Baseline against incident window; choose a signal by changing the incident's `signal` and `worse`."""
        return Response(SymptomsSerializer(symptoms(self.incident)).data)
