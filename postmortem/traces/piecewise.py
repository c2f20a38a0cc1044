"""A file stored piece by piece: after a break it goes on behind the last piece that was committed."""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.traces.bulk import in_chunks
from postmortem.traces.intake import Taken
from postmortem.traces.models import EvidenceImport, Score, Trace
from postmortem.traces.services import (
    arrival_of,
    begin_import,
    count_stored,
    finish_import,
    refuse_scores_alone,
    tell_of_file,
)
from postmortem.traces.stored_columns import build_columns
from postmortem.traces.storing import Stored, store_blobs, store_traces

_PAGES_TOGETHER = 16
_COLUMNS_EVERY = 10  # pieces
# Called in the transaction of each piece with the new place and how many traces are stored; may raise, to stop.
Save = Callable[[dict[str, Any], int], None]


def store_in_pieces(
    *, incident: Incident, by: Person, origin: str, taken: Taken, place: dict[str, Any], save: Save
) -> EvidenceImport:
    """Store what a file holds, and close the import. `place` is what `save` was given last, empty at the first try.

    A piece and the place behind it are one transaction, so that nothing is stored or counted twice. Until the last
    piece is in, the import is not finished, and says so wherever it is shown.
    """
    require(by, Capability.IMPORT, incident)
    refuse_scores_alone(incident, taken)
    place = {"import": None, "chunks": 0, "last": "", "unknown": 0, "seen": 0} | place
    evidence_import = EvidenceImport.objects.filter(pk=place["import"], incident=incident).first()
    if evidence_import is None:
        with transaction.atomic():
            evidence_import = begin_import(incident=incident, by=by, kind=EvidenceImport.Kind.FILE, origin=origin)
            place = place | {"import": evidence_import.pk, "chunks": 0, "last": "", "unknown": 0, "seen": 0}
            save(place, 0)
    digests: list[str] = []
    for pages in in_chunks(taken.pages, _PAGES_TOGETHER):
        with transaction.atomic():
            digests += store_blobs(evidence_import, pages)  # those that are here already stay
            save(place, place["seen"])
    if not _same_order(taken, place):
        _recount(evidence_import)
        place = place | {"chunks": 0, "last": "", "unknown": 0, "seen": 0}
    for number, chunk in enumerate(taken.traces()):
        if number < place["chunks"]:
            continue
        with transaction.atomic():
            stored = store_traces(
                evidence_import, [arrival_of(trace, digests) for trace in chunk], anchor=taken.trace_count == 1
            )
            count_stored(evidence_import, stored)
            place = {
                "import": evidence_import.pk, "chunks": number + 1, "last": chunk[-1].record.external_id,
                "unknown": place["unknown"] + stored.unknown, "seen": place["seen"] + len(chunk),
            }  # fmt: skip
            save(place, place["seen"])
        if number % _COLUMNS_EVERY == _COLUMNS_EVERY - 1:  # so that pages can be read all the while
            build_columns(incident.pk)
    if evidence_import.finished:
        return evidence_import
    tell_of_file(evidence_import, taken, unknown=place["unknown"])
    return finish_import(evidence_import=evidence_import)


def _same_order(taken: Taken, place: dict[str, Any]) -> bool:
    """Whether the traces come in the order of the last attempt; another version of the product may differ."""
    if not place["chunks"]:
        return True
    for number, chunk in enumerate(taken.traces(), start=1):
        if number == place["chunks"]:
            return bool(chunk[-1].record.external_id == place["last"])
    return False


def _recount(evidence_import: EvidenceImport) -> None:
    """Every piece is looked at again: what is here already adds nothing, so it is counted now."""
    mine = Trace.objects.filter(evidence_import=evidence_import)
    with transaction.atomic():
        EvidenceImport.objects.filter(pk=evidence_import.pk).update(trace_count=0, score_count=0)
        scores = Score.objects.filter(trace__evidence_import=evidence_import).count()
        count_stored(evidence_import, Stored(mine.count(), scores))
