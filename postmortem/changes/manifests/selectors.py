"""Reads of manifests: those of a feature, one of them, what two of them differ in."""

import io
from functools import lru_cache

from django.db.models import QuerySet

from postmortem.changes.manifests.corpus import CorpusDifference, corpus_difference
from postmortem.changes.manifests.reading import read_manifest
from postmortem.changes.manifests.shapes import Manifest as Contents
from postmortem.changes.manifests.training import TrainingDifference, training_difference
from postmortem.changes.models import Manifest
from postmortem.incidents.models import Feature
from postmortem.lib.errors import UserError
from postmortem.traces.services import read_blob


def manifests_of(feature: Feature) -> QuerySet[Manifest]:
    """All manifests of a feature, by kind and name, the newest first, each with its change and who brought it."""
    return feature.manifests.select_related("change", "added_by", "compared_with").order_by(
        "kind", "name", "-at", "-id"
    )


def same_thing(manifest: Manifest) -> QuerySet[Manifest]:
    """The other manifests of the same index or data set, the newest first."""
    found = Manifest.objects.filter(feature=manifest.feature_id, kind=manifest.kind, name=manifest.name)
    return found.exclude(pk=manifest.pk).order_by("-at", "-id")


def earlier_manifest(manifest: Manifest) -> Manifest | None:
    """The one before it in time, None for the first."""
    return same_thing(manifest).filter(at__lte=manifest.at).first()


def later_logged(manifest: Manifest) -> Manifest | None:
    """The next one in time, where its entry of the ledger was set against one from before `manifest`, or against none.

    So `manifest` lies between the two, and that entry tells more than what its manifest changed.
    """
    later = Manifest.objects.filter(feature=manifest.feature_id, kind=manifest.kind, name=manifest.name)
    following = later.filter(at__gt=manifest.at).select_related("change", "compared_with").order_by("at", "id").first()
    if following is None or not following.is_logged or following.compared_with_id == manifest.pk:
        return None
    before = following.compared_with
    return following if before is None or before.at <= manifest.at else None


def read_stored(manifest: Manifest) -> Contents:
    """Its entries, read again from its bytes."""
    return _contents(manifest.raw_id, manifest.keep_good, tuple(sorted(manifest.given.items())), manifest.pk)


def difference(older: Manifest | None, newer: Manifest) -> CorpusDifference | TrainingDifference:
    """What `newer` has otherwise than `older`; remembered, for neither ever changes.

    Raises UserError for two that are not of one thing, and for a corpus without an older one.
    """
    if older is not None and (older.kind, older.name, older.feature_id) != (newer.kind, newer.name, newer.feature_id):
        raise UserError("Only two manifests of one index or data set can be compared.")
    if older is None and newer.kind == Manifest.Kind.CORPUS:
        raise UserError(f"{newer} is the first manifest of {newer.name}; upload the one before it as well.")
    return _difference(older.pk if older else 0, newer.pk, (older.raw_id if older else "", newer.raw_id))


@lru_cache(maxsize=16)
def _difference(older: int, newer: int, _raws: tuple[str, str]) -> CorpusDifference | TrainingDifference:
    """The bytes are only what the answer is known by."""
    rows = {row.pk: row for row in Manifest.objects.filter(pk__in=[older, newer])}
    after = read_stored(rows[newer])
    before = read_stored(rows[older]) if older else None
    if rows[newer].kind == Manifest.Kind.TRAINING:
        return training_difference(before, after)
    if before is None:
        raise UserError("A corpus is compared with an older one.")
    return corpus_difference(before, after)


@lru_cache(maxsize=2)
def _contents(_raw: str, _keep_good: bool, _given: tuple[tuple[str, str], ...], pk: int) -> Contents:
    """Two at a time: those that are being compared; one of 100,000 documents takes about 60 MB."""
    manifest = Manifest.objects.select_related("raw").get(pk=pk)
    data = io.BytesIO(read_blob(manifest.raw))
    return read_manifest(data, manifest.filename, given=manifest.given, keep_good=manifest.keep_good)
