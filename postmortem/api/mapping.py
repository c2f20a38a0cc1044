"""Tables of an application's own make: the first rows, an import by mapping, the mappings that were kept."""

import json
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import ApiView, IncidentView
from postmortem.api.evidence import (
    EvidenceImportSerializer,
    FaultSerializer,
    FileSerializer,
    RunSerializer,
    uploaded_file,
)
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.pipeline import services
from postmortem.pipeline.models import Run
from postmortem.traces.mapped import TableMapping, mapping_of, preview_table
from postmortem.traces.models import SavedMapping
from postmortem.traces.table_import import save_mapping, saved_mapping


class ColumnUseSerializer(serializers.Serializer):
    """What a column is read as; `name` is that of a facet or score."""

    column = serializers.CharField()
    role = serializers.CharField()
    name = serializers.CharField(allow_blank=True)


class TableMappingSerializer(serializers.Serializer):
    """How a table is read."""

    columns = ColumnUseSerializer(many=True)
    assume_utc = serializers.BooleanField(default=False)


class TablePreviewSerializer(serializers.Serializer):
    """The first rows: columns with samples, and a guess of the mapping."""

    columns = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    guess = TableMappingSerializer()


class MappedFileSerializer(FileSerializer):
    """A table, and how it is read: `mapping` as JSON, or `saved` with the name of a kept one."""

    mapping = serializers.CharField(required=False, max_length=200_000)
    saved = serializers.CharField(required=False, max_length=120)
    keep_good = serializers.BooleanField(required=False, default=False)


class MappedOutcomeSerializer(serializers.Serializer):
    """What an import of a table did."""

    evidence_import = EvidenceImportSerializer()
    added = serializers.IntegerField()
    fault_count = serializers.IntegerField()
    faults = FaultSerializer(many=True)


class SavedMappingSerializer(serializers.ModelSerializer):
    """A mapping kept under a name."""

    mapping = TableMappingSerializer()
    made_by = serializers.CharField(source="made_by.name", read_only=True)

    class Meta:
        model = SavedMapping
        fields = ("name", "mapping", "made_by", "made_at")
        read_only_fields = ("made_at",)
        extra_kwargs = {"name": {"validators": []}}  # noqa: RUF012 (the same name again replaces it)


class TablePreviewView(IncidentView):
    """The first rows of a table."""

    serializer_class = FileSerializer
    parser_classes = (MultiPartParser, FormParser)

    @extend_schema(request={"multipart/form-data": FileSerializer}, responses=TablePreviewSerializer)
    def post(self, request: Request, number: str) -> Response:
        """Columns, samples and a guess; nothing is stored."""
        require(self.person, Capability.IMPORT, self.incident)
        name, file = uploaded_file(self)
        found = preview_table(file, name, max_bytes=settings.IMPORT_MAX_FILE_BYTES)
        shown = {"columns": found.samples, "guess": found.guess.to_json()}
        return Response(TablePreviewSerializer(shown).data)


class MappedImportView(IncidentView):
    """Import of a table by its mapping."""

    serializer_class = MappedFileSerializer
    parser_classes = (MultiPartParser, FormParser)

    @extend_schema(
        request={"multipart/form-data": MappedFileSerializer},
        responses={201: MappedOutcomeSerializer, 202: RunSerializer},
    )
    def post(self, request: Request, number: str) -> Response:
        """With `keep_good`, rows that cannot be read are left out and told. 202 with a run for a large file."""
        name, file = uploaded_file(self)
        body = self.body(MappedFileSerializer)
        done = services.import_uploaded(
            incident=self.incident, by=self.person, filename=name, file=file,
            mapping=_mapping(body), keep_good=body["keep_good"],
        )  # fmt: skip
        if isinstance(done, Run):
            return Response(RunSerializer(done).data, status=status.HTTP_202_ACCEPTED)
        faults = [{"line": line, "sentence": sentence} for line, sentence in done.faults]
        told = {"evidence_import": done, "added": done.trace_count, "fault_count": done.left_out, "faults": faults}
        return Response(MappedOutcomeSerializer(told).data, status=status.HTTP_201_CREATED)


class SavedMappingsView(ApiView):
    """Mappings that were kept."""

    serializer_class = SavedMappingSerializer

    @extend_schema(responses=SavedMappingSerializer(many=True))
    def get(self, request: Request) -> Response:
        """By name."""
        return self.page(SavedMapping.objects.select_related("made_by"), SavedMappingSerializer)

    @extend_schema(request=SavedMappingSerializer, responses={201: SavedMappingSerializer})
    def post(self, request: Request) -> Response:
        """Keep one; the same name again replaces it."""
        body = self.body(SavedMappingSerializer)
        saved = save_mapping(by=self.person, name=body["name"], mapping=mapping_of(body["mapping"]))
        return Response(SavedMappingSerializer(saved).data, status=status.HTTP_201_CREATED)


def _mapping(body: dict[str, Any]) -> TableMapping:
    if body.get("saved"):
        return saved_mapping(body["saved"])
    try:
        return mapping_of(json.loads(body.get("mapping") or "null"))
    except (ValueError, RecursionError) as error:
        raise UserError("The mapping is not JSON.") from error
