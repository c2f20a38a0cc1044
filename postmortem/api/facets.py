"""Facets of an incident's traces, the house's own facets, and what is masked."""

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import ApiView, IncidentView
from postmortem.incidents.permissions import Capability, require
from postmortem.traces import own_facets, reading
from postmortem.traces.logging_score import logging_score
from postmortem.traces.models import FacetRule, RedactionPattern
from postmortem.traces.selectors import facet_coverage


class FacetPlaceSerializer(serializers.Serializer):
    """Where a facet was found, and in what share of the sampled traces."""

    facet = serializers.CharField()
    place = serializers.CharField()
    share = serializers.FloatField()


class LoggingGapSerializer(serializers.Serializer):
    """A facet that too few traces carry: share, points lost, what that costs, what to record."""

    facet = serializers.CharField()
    share = serializers.FloatField()
    lost = serializers.FloatField()
    layer = serializers.CharField(source="worth.layer")
    cost = serializers.CharField(source="worth.cost")
    remedy = serializers.CharField(source="worth.remedy")


class FacetsSerializer(serializers.Serializer):
    """How well the traces tell what they ran on, from 0 to 100 points."""

    points = serializers.FloatField()
    missing = LoggingGapSerializer(many=True)
    places = FacetPlaceSerializer(many=True)


class FacetsView(IncidentView):
    """Facets of an incident."""

    serializer_class = FacetsSerializer

    @extend_schema(responses=FacetsSerializer)
    def get(self, request: Request, number: str) -> Response:
        """What was logged where, and what was not; shares and values are under evidence."""
        score = logging_score({facet.name: facet.share for facet in facet_coverage(self.incident)})
        found = {"points": score.points, "missing": score.gaps, "places": own_facets.facet_places(self.incident)}
        return Response(FacetsSerializer(found).data)


class FacetRuleSerializer(serializers.ModelSerializer):
    """A facet of the house and the path at which rows hold it."""

    added_by = serializers.CharField(source="added_by.name", read_only=True)

    class Meta:
        model = FacetRule
        fields = ("id", "name", "path", "added_by", "added_at")
        read_only_fields = ("id", "added_at")


class FacetRulesView(ApiView):
    """The house's own facets."""

    serializer_class = FacetRuleSerializer

    @extend_schema(responses=FacetRuleSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Those in force."""
        return self.page(own_facets.rules_in_force(), FacetRuleSerializer)

    @extend_schema(request=FacetRuleSerializer, responses={201: FacetRuleSerializer})
    def post(self, request: Request) -> Response:
        """Adds a facet; stored traces are read again in the background."""
        require(self.person, Capability.CONFIGURE)
        rule = own_facets.add_rule(by=self.person, **self.body(FacetRuleSerializer))
        return Response(FacetRuleSerializer(rule).data, status=status.HTTP_201_CREATED)


class FacetRuleView(ApiView):
    """One facet of the house."""

    serializer_class = FacetRuleSerializer

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Retires it; what it gave to stored traces is taken back."""
        require(self.person, Capability.CONFIGURE)
        rule = FacetRule.objects.filter(pk=pk, retired_at=None).first()
        if rule is None:
            raise Http404("There is no such facet rule.")
        own_facets.retire_rule(rule=rule, by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RedactionPatternSerializer(serializers.ModelSerializer):
    """Something of the house that is masked, in RE2 syntax."""

    added_by = serializers.CharField(source="added_by.name", read_only=True)

    class Meta:
        model = RedactionPattern
        fields = ("id", "kind", "pattern", "added_by", "added_at")
        read_only_fields = ("id", "added_at")


class RedactionPatternsView(ApiView):
    """What is masked besides the patterns that come along."""

    serializer_class = RedactionPatternSerializer

    @extend_schema(responses=RedactionPatternSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Those in force; administrators only."""
        require(self.person, Capability.CONFIGURE)
        return self.page(reading.patterns_in_force(), RedactionPatternSerializer)

    @extend_schema(request=RedactionPatternSerializer, responses={201: RedactionPatternSerializer})
    def post(self, request: Request) -> Response:
        """Masks by one more pattern from now on, in what is stored too."""
        require(self.person, Capability.CONFIGURE)
        row = reading.add_pattern(by=self.person, **self.body(RedactionPatternSerializer))
        return Response(RedactionPatternSerializer(row).data, status=status.HTTP_201_CREATED)


class RedactionPatternView(ApiView):
    """One pattern of the house."""

    serializer_class = RedactionPatternSerializer

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Retires it."""
        require(self.person, Capability.CONFIGURE)
        row = RedactionPattern.objects.filter(pk=pk, retired_at=None).first()
        if row is None:
            raise Http404("There is no such pattern.")
        reading.retire_pattern(row=row, by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)
