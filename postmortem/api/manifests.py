"""Manifests of corpora and training data."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import IncidentView
from postmortem.api.changes import ChangeSerializer
from postmortem.changes.manifests import selectors, services
from postmortem.changes.manifests.corpus import CorpusDifference
from postmortem.changes.manifests.reading import MAX_UPLOAD_BYTES
from postmortem.changes.models import Manifest
from postmortem.lib.errors import UserError

_MOST_IDS = 1_000


class ManifestSerializer(serializers.ModelSerializer):
    """One manifest; `raw` is the SHA-256 of its bytes, `change` the entry of the ledger that it made."""

    class Meta:
        model = Manifest
        fields = (
            "id", "kind", "name", "version", "at", "source", "settings", "entry_count", "fault_count", "faults",
            "filename", "raw", "compared_with", "change", "added_at",
        )  # fmt: skip


class ManifestUploadSerializer(serializers.Serializer):
    """A file, and what it does not say. `keep_good`: entries that cannot be read are left out and told."""

    file = serializers.FileField()
    kind = serializers.ChoiceField(choices=Manifest.Kind.choices, required=False)
    name = serializers.CharField(required=False, max_length=120)
    version = serializers.CharField(required=False, max_length=200)
    at = serializers.CharField(required=False, max_length=60)
    source = serializers.CharField(required=False, max_length=1_000)
    model_version = serializers.CharField(required=False, max_length=200)
    topic_facet = serializers.CharField(required=False, max_length=80)
    keep_good = serializers.BooleanField(required=False, default=False)


class AgainstSerializer(serializers.Serializer):
    """Which manifest it is set against; the one before it unless told."""

    older = serializers.IntegerField(required=False)


class ManifestChangeSerializer(AgainstSerializer):
    """`change`: a model change that the provenance is put on, instead of an entry of its own."""

    change = serializers.IntegerField(required=False)


class SettingMoveSerializer(serializers.Serializer):
    """A setting that moved."""

    name = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()


class ManifestDifferenceSerializer(serializers.Serializer):
    """What differs: how many of each, and the first thousand ids of each."""

    older = serializers.IntegerField(allow_null=True)
    newer = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField())
    ids = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    settings = SettingMoveSerializer(many=True)
    provenance = serializers.DictField()


class ManifestsView(IncidentView):
    """The manifests of the incident's feature."""

    serializer_class = ManifestSerializer
    parser_classes = (MultiPartParser, FormParser)

    @extend_schema(responses=ManifestSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """By kind and name, the newest first."""
        return self.page(selectors.manifests_of(self.incident.feature), ManifestSerializer)

    @extend_schema(
        request={"multipart/form-data": ManifestUploadSerializer},
        responses={201: ManifestSerializer, 200: ManifestSerializer},
    )
    def post(self, request: Request, number: str) -> Response:
        """Keep one manifest; 200 when it was there already."""
        told = self.body(ManifestUploadSerializer)
        file, keep_good = told.pop("file"), told.pop("keep_good")
        if file.size > MAX_UPLOAD_BYTES:
            raise UserError(f"The file has more than {MAX_UPLOAD_BYTES // 1024 // 1024} MB; gzip it, or split it.")
        made, is_new = services.store_manifest(
            incident=self.incident, by=self.person, filename=str(file.name)[:200], data=file.read(), given=told,
            keep_good=keep_good,
        )  # fmt: skip
        return Response(ManifestSerializer(made).data, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


class _OneManifest(IncidentView):
    def manifest(self, pk: int) -> Manifest:
        """A manifest of this feature."""
        return self.found(Manifest.objects.filter(feature_id=self.incident.feature_id), pk=pk)

    def older(self, manifest: Manifest, pk: int | None) -> Manifest | None:
        """The one it is set against."""
        return self.picked(selectors.same_thing(manifest), pk) or selectors.earlier_manifest(manifest)


class ManifestView(_OneManifest):
    """One manifest."""

    serializer_class = ManifestSerializer

    @extend_schema(responses=ManifestSerializer)
    def get(self, request: Request, number: str, pk: int) -> Response:
        """What it is about."""
        return Response(ManifestSerializer(self.manifest(pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """Forget it; only one that no entry of the ledger rests on."""
        services.delete_manifest(manifest=self.manifest(pk), by=self.person, incident=self.incident)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ManifestDifferenceView(_OneManifest):
    """What differs between two manifests."""

    serializer_class = ManifestDifferenceSerializer

    @extend_schema(parameters=[AgainstSerializer], responses=ManifestDifferenceSerializer)
    def get(self, request: Request, number: str, pk: int) -> Response:
        """Against the one before it, or another."""
        asked = AgainstSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        newer = self.manifest(pk)
        older = self.older(newer, asked.validated_data.get("older"))
        return Response(ManifestDifferenceSerializer(_difference(older, newer)).data)


class ManifestChangeView(_OneManifest):
    """From manifests to the ledger."""

    serializer_class = ManifestChangeSerializer

    @extend_schema(request=ManifestChangeSerializer, responses={201: ChangeSerializer})
    def post(self, request: Request, number: str, pk: int) -> Response:
        """A retrieval change of a corpus; a model change of training data, or its provenance on one that is there."""
        told, newer = self.body(ManifestChangeSerializer), self.manifest(pk)
        older = self.older(newer, told.get("older"))
        target = self.picked(self.incident.feature.changes.all(), told.get("change"))
        if target is None:
            change = services.log_manifest(manifest=newer, by=self.person, incident=self.incident, older=older)
        else:
            change = services.attach_provenance(
                manifest=newer, change=target, by=self.person, incident=self.incident, older=older
            )
        return Response(ChangeSerializer(change).data, status=status.HTTP_201_CREATED)


def _difference(older: Manifest | None, newer: Manifest) -> dict[str, Any]:
    found = selectors.difference(older, newer)
    lists = {"added": found.added, "removed": found.removed, "changed": found.changed}
    provenance: dict[str, Any] = {}
    if isinstance(found, CorpusDifference):
        lists |= {"re_embedded": found.re_embedded, "gold_changed": found.gold_changed}
        lists |= {} if found.stale is None else {"stale": found.stale}
    else:
        lists["unaccounted"] = found.unaccounted
        provenance = services.provenance(newer, older)
    return {
        "older": older.pk if older else None,
        "newer": newer.pk,
        "counts": {name: len(ids) for name, ids in lists.items()} | {"unchanged": found.unchanged},
        "ids": {name: list(ids[:_MOST_IDS]) for name, ids in lists.items()},
        "settings": list(found.settings) if isinstance(found, CorpusDifference) else [],
        "provenance": provenance,
    }
