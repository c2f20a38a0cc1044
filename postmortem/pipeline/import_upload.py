"""A file becomes evidence: a small one at once, a large one by a worker, piece by piece, from the kept bytes."""

import time
from collections.abc import Callable
from typing import Any, BinaryIO

from django.conf import settings

from postmortem.accounts.models import Person
from postmortem.attribution.wording import plural
from postmortem.incidents.models import Incident
from postmortem.lib.collector import seldom_collecting
from postmortem.lib.errors import UserError
from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import Progress
from postmortem.traces.intake import take_file
from postmortem.traces.kept_uploads import StoredFile, forget_old_uploads, forget_upload
from postmortem.traces.mapped import TableMapping, mapping_of
from postmortem.traces.models import EvidenceImport, Upload
from postmortem.traces.piecewise import store_in_pieces
from postmortem.traces.services import import_file
from postmortem.traces.table_import import import_table, note_mapped, origin_of_table, take_table

_SAY_EVERY = 0.5  # seconds
_MEGABYTE = 2**20


def upload_payload(upload: Upload, *, keep_good: bool, mapping: TableMapping | None) -> dict[str, Any]:
    """What a run is asked to import; `max_bytes` is kept, because the order of the traces depends on it."""
    return {
        "upload": upload.pk, "sha256": upload.sha256, "filename": upload.filename, "keep_good": keep_good,
        "mapping": mapping.to_json() if mapping else None, "max_bytes": settings.IMPORT_MAX_FILE_BYTES,
    }  # fmt: skip


def import_at_once(
    *, incident: Incident, by: Person, filename: str, file: BinaryIO, keep_good: bool, mapping: TableMapping | None
) -> EvidenceImport:
    """Import a file while somebody waits, all of it or nothing. Raises UserError naming file, line and field."""
    if mapping is None:
        return import_file(incident=incident, by=by, filename=filename, data=file, keep_good=keep_good)
    return import_table(incident=incident, by=by, filename=filename, data=file, mapping=mapping, keep_good=keep_good)


def said_of_import(done: EvidenceImport) -> str:
    """What an import of a file brought, in sentences."""
    said = [f"{plural(done.trace_count, 'trace')}, {plural(done.score_count, 'score')}."]
    if done.left_out:
        said.append(f"{plural(done.left_out, 'row')} left out. {done.faults[0][1] if done.faults else ''}".strip())
    return " ".join([*said, *done.notes])


def import_upload(run: Run, progress: Progress) -> str:
    """The stage: read the kept file whole, then store it piece by piece. A file that is wrong anywhere stores nothing.

    After a break it is read again, and storing goes on behind the last piece. Raises UserError naming file, line and
    field, or when the file is no longer kept.
    """
    asked = run.payload
    active = Run.objects.filter(kind=Run.Kind.IMPORT_FILE, state__in=(Run.State.QUEUED, Run.State.RUNNING))
    forget_old_uploads([payload["upload"] for payload in active.values_list("payload", flat=True)])
    upload = Upload.objects.filter(pk=asked["upload"]).exclude(sha256="").first()
    filename = str(asked["filename"])
    if upload is None:
        raise UserError(f"{filename[:80]} is kept for a day and no longer here; upload it again.")
    mapping = mapping_of(asked["mapping"]) if asked["mapping"] else None
    cursor = {"place": {}} | progress.cursor
    progress.save(text=f"Reading {filename[:80]}; nothing is stored yet.", cursor=cursor)
    stored = StoredFile(upload)
    how: dict[str, Any] = {
        "max_bytes": asked["max_bytes"],
        "keep_good": asked["keep_good"],
        "watch": _watch(progress, stored, filename),
        "digest": (upload.sha256, upload.size_bytes),
    }
    with seldom_collecting(), stored.buffered() as file:
        taking = take_table(file, filename, mapping=mapping, **how) if mapping else take_file(file, filename, **how)
        with taking as taken:
            total = taken.trace_count + taken.score_trace_count

            def save(place: dict[str, Any], seen: int) -> None:
                progress.pause()
                progress.save(
                    text=f"Storing traces of {filename[:80]}.", done=seen, total=total, cursor=cursor | {"place": place}
                )

            done = store_in_pieces(
                incident=run.incident, by=run.started_by, taken=taken, place=cursor["place"], save=save,
                origin=origin_of_table(filename) if mapping else filename,
            )  # fmt: skip
            left_out = taken.faults.count
    if mapping:
        note_mapped(incident=run.incident, by=run.started_by, filename=filename, mapping=mapping, left_out=left_out)
    forget_upload(upload)
    return f"{filename}: {said_of_import(done)}"


def _watch(progress: Progress, stored: StoredFile, filename: str) -> Callable[[], None]:
    """Says how far the reading is, and learns whether it should stop."""
    said = 0.0

    def watch() -> None:
        nonlocal said
        progress.pause()
        if time.monotonic() - said >= _SAY_EVERY:
            said = time.monotonic()
            read, size = stored.furthest, stored.size
            what = f"Megabytes of {filename[:80]} are read"
            text = f"{what}; nothing is stored yet." if read < size else f"{what}. Putting its traces together."
            progress.save(text=text, done=-(-read // _MEGABYTE), total=-(-size // _MEGABYTE))

    return watch
