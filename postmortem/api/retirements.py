"""The calendar of model retirements, and the models of an incident's traces that it concerns."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import ApiView, IncidentView
from postmortem.api.evidence import FileSerializer
from postmortem.attribution.calendar import selectors, services
from postmortem.attribution.models import ModelRetirement
from postmortem.attribution.patterns.retirements import MAX_BYTES, read_retirement
from postmortem.lib.errors import UserError


class RetirementSerializer(serializers.Serializer):
    """One entry; `id` and `revision` are null for those that come with the product."""

    id = serializers.IntegerField(allow_null=True)
    model = serializers.CharField()
    retires_on = serializers.DateField()
    days_left = serializers.IntegerField()
    source = serializers.CharField()
    replacement = serializers.CharField()
    revision = serializers.IntegerField(allow_null=True)


class NewRetirementSerializer(serializers.Serializer):
    """An entry of one's own; the same model again corrects it."""

    model = serializers.CharField(max_length=200)
    retires_on = serializers.CharField(max_length=20)
    source = serializers.CharField(max_length=1_000)
    replacement = serializers.CharField(max_length=200, required=False, allow_blank=True)


class RetirementChangeSerializer(serializers.Serializer):
    """What is to be said from now on; `withdrawn` takes it out of the calendar."""

    retires_on = serializers.CharField(max_length=20, required=False)
    source = serializers.CharField(max_length=1_000, required=False)
    replacement = serializers.CharField(max_length=200, required=False, allow_blank=True)
    withdrawn = serializers.BooleanField(required=False, default=False)
    revision = serializers.IntegerField(min_value=1)


class SeenModelSerializer(serializers.Serializer):
    """A model of the traces; `retirement` is null when no date of it is known."""

    model = serializers.CharField()
    facets = serializers.ListField(child=serializers.CharField())
    traces = serializers.IntegerField()
    last_seen = serializers.DateTimeField()
    retirement = RetirementSerializer(allow_null=True)


class CalendarOutcomeSerializer(serializers.Serializer):
    """What a file did."""

    moved = serializers.IntegerField()
    unchanged = serializers.IntegerField()


class RetirementsView(ApiView):
    """The calendar."""

    serializer_class = RetirementSerializer

    @extend_schema(responses=RetirementSerializer(many=True))
    def get(self, request: Request) -> Response:
        """By day."""
        return self.page([_entry(one) for one in selectors.calendar()], RetirementSerializer)

    @extend_schema(request=NewRetirementSerializer, responses={201: RetirementSerializer})
    def post(self, request: Request) -> Response:
        """Add an entry, with its source."""
        entry = read_retirement(self.body(NewRetirementSerializer))
        services.add_retirements(by=self.person, entries=[entry])
        return Response(_of_model(entry.model), status=status.HTTP_201_CREATED)


class RetirementView(ApiView):
    """One entry of people's own."""

    serializer_class = RetirementSerializer

    @extend_schema(request=RetirementChangeSerializer, responses=RetirementSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        """Correct or withdraw it; its history stays."""
        row = ModelRetirement.objects.filter(pk=pk).first()
        if row is None:
            raise Http404("There is no such entry; those that come with the product have no id.")
        told = self.body(RetirementChangeSerializer)
        before = {
            "model": row.model,
            "retires_on": row.retires_on,
            "source": row.source,
            "replacement": row.replacement,
        }
        entry = read_retirement(before | told)
        services.change_retirement(
            retirement=row, by=self.person, entry=entry, revision=told["revision"], withdrawn=told["withdrawn"]
        )
        return Response(_of_model(entry.model))


class RetirementsFileView(ApiView):
    """A calendar as a file."""

    serializer_class = FileSerializer
    parser_classes = (MultiPartParser, FormParser)

    @extend_schema(request={"multipart/form-data": FileSerializer}, responses=CalendarOutcomeSerializer)
    def post(self, request: Request) -> Response:
        """CSV or JSON, all or nothing."""
        file = self.body(FileSerializer)["file"]
        if file.size > MAX_BYTES:
            raise UserError(f"The file has more than {MAX_BYTES // 1024 // 1024} MB; a calendar is smaller.")
        moved, same = services.import_calendar(by=self.person, filename=str(file.name)[:200], data=file.read())
        return Response({"moved": moved, "unchanged": same})


class SeenModelsView(IncidentView):
    """Models that the incident's traces record."""

    serializer_class = SeenModelSerializer

    @extend_schema(responses=SeenModelSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Those that retire first, then those without a known date."""
        rows = [
            {
                "model": row.model, "facets": row.facets, "traces": row.traces, "last_seen": row.last_seen,
                "retirement": _entry(row.entry) if row.entry else None,
            }
            for row in selectors.seen_models([self.incident])
        ]  # fmt: skip
        return self.page(rows, SeenModelSerializer)


def _of_model(model: str) -> dict[str, Any]:
    found = next((one for one in selectors.calendar() if one.retirement.model == model), None)
    return RetirementSerializer(_entry(found)).data if found else {}


def _entry(entry: selectors.CalendarEntry) -> dict[str, Any]:
    one = entry.retirement
    return {
        "id": entry.own.pk if entry.own else None, "revision": entry.own.revision if entry.own else None,
        "model": one.model, "retires_on": one.retires_on, "days_left": entry.days_left, "source": one.source,
        "replacement": one.replacement,
    }  # fmt: skip
