"""Writes of manifests: a file comes in, two of them become a change of the ledger."""

import io
from collections.abc import Mapping
from dataclasses import replace

from django.db import IntegrityError, transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.changes.corrections import attach_details, correct_change
from postmortem.changes.manifests.corpus import corpus_details, corpus_summary
from postmortem.changes.manifests.reading import MAX_UPLOAD_BYTES, read_manifest
from postmortem.changes.manifests.selectors import difference, earlier_manifest, later_logged, read_stored
from postmortem.changes.manifests.shapes import Manifest as Contents
from postmortem.changes.manifests.training import TrainingDifference, provenance_details, training_summary
from postmortem.changes.models import Change, Manifest
from postmortem.changes.records import ChangeRecord
from postmortem.changes.services import ask_import, store_records
from postmortem.changes.stored import record_of
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.lib.layers import Layer
from postmortem.traces.services import read_blob, store_blob

_LONGEST_ID = 200
_TRACES_ASKED = 2_000  # whether traces record the index's name


def store_manifest(
    *,
    incident: Incident,
    by: Person,
    filename: str,
    data: bytes,
    given: Mapping[str, str] | None = None,
    keep_good: bool = False,
) -> tuple[Manifest, bool]:
    """Keep a manifest of the incident's feature with its bytes; returns it and whether it is new.

    `given` (kind, name, version, at, source, model_version, topic_facet) wins over the file. Rows that cannot be
    read refuse the file, or with `keep_good` are left out and counted. Raises UserError naming file, line, field.
    """
    feature = incident.feature
    ask_import(by, feature, incident)
    if len(data) > MAX_UPLOAD_BYTES:
        raise UserError(f"{filename[:80]} has more than {MAX_UPLOAD_BYTES // 1024 // 1024} MB; gzip it, or split it.")
    said = {name: value.strip() for name, value in (given or {}).items() if value and value.strip()}
    read = read_manifest(io.BytesIO(data), filename, given=said, keep_good=keep_good)
    header = read.header
    found = feature.manifests.filter(kind=header.kind, name=header.name, version=header.version).first()
    if found is not None:
        return _same(found, data), False
    try:
        with transaction.atomic():
            made = Manifest.objects.create(
                feature=feature, kind=header.kind, name=header.name, version=header.version, at=header.at,
                source=header.source, settings=dict(header.settings), entry_count=read.count, keep_good=keep_good,
                given=said, fault_count=read.fault_count,
                faults=[[fault.line, fault.sentence] for fault in read.faults],
                filename=filename[:200], raw=store_blob(data, _media_type(data)), added_by=by,
            )  # fmt: skip
            audit.record(
                person=by, action="manifest.import", subject=f"{feature.name}: {made}",
                incident_number=incident.number,
                after={"kind": made.kind, "entries": made.entry_count, "left out": made.fault_count},
            )  # fmt: skip
    except IntegrityError:
        # Somebody stored this version in the meantime.
        return _same(feature.manifests.get(kind=header.kind, name=header.name, version=header.version), data), False
    return made, True


def log_manifest(*, manifest: Manifest, by: Person, incident: Incident, older: Manifest | None = None) -> Change:
    """Make what a manifest differs in from `older` (else the one before it) an entry of the ledger.

    A corpus gives a retrieval change, training data a model change; of training data the first manifest counts as
    all added. Raises UserError when there is none to compare with, nothing differs, or it stands there already.
    """
    ask_import(by, manifest.feature, incident)
    if manifest.is_logged:
        raise UserError(f"{manifest} is in the ledger already.")
    older = older or earlier_manifest(manifest)
    record = _record(manifest, older, incident)
    with transaction.atomic():
        outcome = store_records(
            feature=manifest.feature, by=by, records=[record], source=Change.Source.MANIFEST,
            origin=manifest.filename, raw=[(read_blob(manifest.raw), manifest.raw.media_type)], incident=incident,
        )  # fmt: skip
        if outcome.conflicting:
            raise UserError(
                f"The ledger holds another entry under “{record.id}”; correct that one, or give this manifest another "
                "version."
            )
        change = Change.objects.get(feature=manifest.feature, external_id=record.id)
        Manifest.objects.filter(pk=manifest.pk).update(change=change, compared_with=older)
        manifest.refresh_from_db()
        _correct_successor(manifest, by, incident)
    return change


def _correct_successor(manifest: Manifest, by: Person, incident: Incident) -> None:
    """A manifest that lies between two others: the entry of the later one now tells the difference to this one.

    That is a correction with its reason, which can be taken back.
    """
    later = later_logged(manifest)
    if later is None or later.change is None:
        return
    change, before = later.change, later.compared_with
    reason = f"{manifest} lies between {before.version} and {later.version}: compared with it now." if before else (
        f"{manifest} came before {later.version}: compared with it now."
    )  # fmt: skip
    if change.source == Change.Source.MANIFEST:
        told = _record(later, manifest, incident, may_be_empty=True)
        record = replace(
            record_of(change), from_version=told.from_version, summary=told.summary,
            details={**change.details, **told.details},
        )  # fmt: skip
        correct_change(change=change, by=by, incident=incident, record=record, reason=reason, revision=change.revision)
    else:
        attach_details(
            change=change, by=by, incident=incident, details={"provenance": provenance(later, manifest)}, reason=reason
        )
    Manifest.objects.filter(pk=later.pk).update(compared_with=manifest)


def attach_provenance(
    *, manifest: Manifest, change: Change, by: Person, incident: Incident, older: Manifest | None = None
) -> Change:
    """Put the provenance record of a training-data manifest on a model change that is in the ledger already.

    That is a correction of the change: it has a history and can be taken back. Raises UserError.
    """
    ask_import(by, manifest.feature, incident)
    if manifest.kind != Manifest.Kind.TRAINING:
        raise UserError("Only training data can be attached to a change; a corpus makes a change of its own.")
    if change.layer != Layer.MODEL.value:
        raise UserError("Training data belong to a model change; choose one of the model layer.")
    if manifest.is_logged:
        raise UserError(f"{manifest} is in the ledger already.")
    older = older or earlier_manifest(manifest)
    with transaction.atomic():
        changed = attach_details(
            change=change, by=by, incident=incident, details={"provenance": provenance(manifest, older)},
            reason=f"Training data {manifest}" + (f", against {older.version}." if older else "."),
        )  # fmt: skip
        Manifest.objects.filter(pk=manifest.pk).update(change=changed, compared_with=older)
        manifest.refresh_from_db()
        _correct_successor(manifest, by, incident)
    return changed


def delete_manifest(*, manifest: Manifest, by: Person, incident: Incident) -> None:
    """Forget a manifest that no entry of the ledger rests on; its bytes stay. Raises UserError otherwise."""
    ask_import(by, manifest.feature, incident)
    if manifest.is_logged:
        raise UserError(f"{manifest} made an entry of the ledger; take that out first.")
    with transaction.atomic():
        audit.record(
            person=by, action="manifest.delete", subject=f"{manifest.feature.name}: {manifest}",
            incident_number=incident.number, before={"bytes": manifest.raw_id},
        )  # fmt: skip
        manifest.delete()


def _record(
    manifest: Manifest, older: Manifest | None, incident: Incident, *, may_be_empty: bool = False
) -> ChangeRecord:
    newer = read_stored(manifest)
    found = difference(older, manifest)
    if found.is_empty and not may_be_empty:
        raise UserError(f"{manifest} and {older} say the same; there is no change to log.")
    common = ChangeRecord(
        id=_change_id(manifest), layer=Layer.RETRIEVAL, at=manifest.at, until=manifest.at,
        link=manifest.source if manifest.source.lower().startswith(("https://", "http://")) else "",
    )  # fmt: skip
    before = older.version if older else ""
    if isinstance(found, TrainingDifference):
        version = newer.header.model_version
        return replace(
            common, layer=Layer.MODEL, facet="model_version" if version else None, to_version=version or None,
            scope=newer.header.scope, summary=training_summary(newer, found, before),
            details={"provenance": provenance(manifest, older)},
        )  # fmt: skip
    if older is None:
        raise UserError(f"{manifest} is the first manifest of {manifest.name}; upload the one before it as well.")
    details = corpus_details(read_stored(older), newer, found)
    return replace(
        common, facet="index_version", from_version=older.version, to_version=manifest.version,
        scope=newer.header.scope or _index_scope(incident, manifest.name),
        summary=corpus_summary(newer, found, older.version), details=details | {"manifests": _hashes(manifest, older)},
    )  # fmt: skip


def provenance(manifest: Manifest, older: Manifest | None) -> dict[str, object]:
    """The provenance record that a manifest of training data gives, set against `older`. Raises UserError."""
    newer: Contents = read_stored(manifest)
    found = difference(older, manifest)
    if not isinstance(found, TrainingDifference):
        raise UserError("This is no manifest of training data.")
    return provenance_details(newer, found) | {"manifests": _hashes(manifest, older)}


def _hashes(manifest: Manifest, older: Manifest | None) -> dict[str, str]:
    """The bytes that the entry rests on."""
    return {"from": older.raw_id if older else "", "to": manifest.raw_id}


def _change_id(manifest: Manifest) -> str:
    identifier = f"manifest:{manifest.kind}:{manifest.name}:{manifest.version}"
    if len(identifier) <= _LONGEST_ID:
        return identifier
    return f"{identifier[:180]}:{sha256_hex(identifier.encode())[:16]}"


def _index_scope(incident: Incident, name: str) -> dict[str, tuple[str, ...]]:
    """The index itself where traces record which one they asked; else everything, for one index needs no name."""
    asked = incident.traces.order_by("-timestamp").values_list("facets__index", flat=True)[:_TRACES_ASKED]
    return {"index": (name,)} if any(asked) else {}


def _same(found: Manifest, data: bytes) -> Manifest:
    if found.raw_id != sha256_hex(data):
        raise UserError(
            f"Version {found.version} of {found.name} is stored with other content; give the new one another version, "
            "or forget the stored one first."
        )
    return found


def _media_type(data: bytes) -> str:
    return "application/gzip" if data[:2] == b"\x1f\x8b" else "application/json"
