"""Stage 1: from a pasted link to evidence. The trace first, then the window around it, page by page."""

from typing import Any

from django.conf import settings
from django.db import transaction

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.services import update_incident
from postmortem.incidents.windows import suggest_windows
from postmortem.lib.clock import format_moment, parse_moment, utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import Cancelled, Progress
from postmortem.traces.langfuse_source import LangfuseSource
from postmortem.traces.links import parse_link
from postmortem.traces.models import Connection, EvidenceImport
from postmortem.traces.records import TraceRecord
from postmortem.traces.services import begin_import, connection_for_link, finish_import, open_source, store_page

_EDIT_TRIES = 5


def import_link(run: Run, progress: Progress) -> str:
    """Read the linked trace, let it fill what the incident does not say yet, then read its window.

    The payload holds `link` and `cap`. Raises UserError for what a person can mend, RateLimited.
    """
    link = parse_link(run.payload["link"])
    connection = connection_for_link(link)
    with open_source(connection) as source:
        if "anchor" not in progress.cursor:
            progress.save(text="Reading the trace.")
            fetched = source.fetch_trace(link.trace_id, link.timestamp)
            with transaction.atomic():
                evidence_import = begin_import(
                    incident=run.incident, by=run.started_by, kind=EvidenceImport.Kind.LINK,
                    origin=run.payload["link"], connection=connection,
                )  # fmt: skip
                store_page(evidence_import=evidence_import, records=[fetched.record], pages=fetched.pages, anchor=True)
                finish_import(evidence_import=evidence_import)
                adopt_from_trace(run.incident, run.started_by, fetched.record)
                progress.save(
                    text="The trace is here. Reading the window around it.",
                    cursor=progress.cursor | {"anchor": fetched.record.external_id},
                )
        progress.pause()
        return "The trace is stored. " + _read_window(run, progress, source, connection)


def import_window(run: Run, progress: Progress) -> str:
    """Read the incident's window again through one connection. The payload holds `connection` (id) and `cap`."""
    connection = Connection.objects.filter(pk=run.payload["connection"]).first()
    if connection is None:
        raise UserError("This connection is gone; choose another one.")
    with open_source(connection) as source:
        return _read_window(run, progress, source, connection)


def adopt_from_trace(incident: Incident, by: Person, record: TraceRecord) -> Incident:
    """Fill the incident's empty trace name, environment and windows from a trace; what people wrote stays."""
    for _ in range(_EDIT_TRIES):
        stored = Incident.objects.get(pk=incident.pk)
        fields: dict[str, Any] = {}
        if not stored.trace_name and record.name:
            fields["trace_name"] = record.name[:200]
        if not stored.environment and record.environment:
            fields["environment"] = record.environment[:120]
        if stored.baseline_start is None and stored.incident_start is None:
            windows = suggest_windows(
                onset=stored.onset_at, detected_at=stored.detected_at or record.timestamp, end=stored.mitigated_at
            )
            fields |= {
                "baseline_start": windows.baseline_start,
                "baseline_end": windows.baseline_end,
                "incident_start": windows.incident_start,
                "incident_end": windows.incident_end,
            }
        if not fields:
            return stored
        try:
            return update_incident(incident=stored, by=by, revision=stored.revision, **fields)
        except EditConflict:
            continue  # somebody saved in between: look again at what is still empty
    return incident


def _read_window(run: Run, progress: Progress, source: LangfuseSource, connection: Connection) -> str:
    incident = Incident.objects.get(pk=run.incident_id)
    cap = min(int(run.payload.get("cap") or settings.IMPORT_WINDOW_MAX_TRACES), settings.IMPORT_WINDOW_MAX_TRACES)
    cursor = progress.cursor
    if "window" not in cursor:
        cursor["window"] = _plan(incident)
        if cursor["window"] is None:
            return "Its window was not read: neither the trace nor the incident says which traces belong together."
    window = cursor["window"]
    evidence_import = _open_import(run, progress, cursor, connection)
    name, environment = window["name"], window["environment"]
    where = f"“{name}”" + (f" in {environment}" if environment else "")
    pages = source.iter_window(
        name, environment, parse_moment(window["start"]), parse_moment(window["end"]), cap, window.get("at")
    )
    truncated = bool(window.get("truncated"))
    if not window.get("finished"):
        progress.save(text=f"Reading traces {where}.")
        try:
            for page in pages:
                truncated = page.truncated
                cursor.pop("waits", None)  # it moved on, so patience starts anew
                window |= {"at": page.cursor, "finished": page.cursor is None, "truncated": truncated}
                with transaction.atomic():
                    store_page(evidence_import=evidence_import, records=page.records, pages=page.pages)
                    progress.save(
                        text=f"Reading traces {where}.", done=page.trace_count,
                        total=_expected(page.trace_count, page.share_done, cap), cursor=cursor,
                    )  # fmt: skip
                progress.pause()
        except Cancelled:
            finish_import(evidence_import=evidence_import, truncated=True)
            raise
    evidence_import.refresh_from_db()
    finish_import(evidence_import=evidence_import, truncated=truncated)
    message = f"{evidence_import.trace_count:,} more traces {where} came with its window."
    if truncated:
        message += f" The window holds more: at most {cap:,} are read, spread over its whole span."
    return message


def _plan(incident: Incident) -> dict[str, Any] | None:
    """Which traces, from when to when; kept in the cursor so that a later attempt reads the same window."""
    moments = [incident.baseline_start, incident.baseline_end, incident.incident_start, incident.incident_end]
    known = [moment for moment in moments if moment]
    if not incident.trace_name or not known:
        return None
    start, end = min(known), min(max(known), utc_now())
    if end <= start:
        return None
    return {
        "name": incident.trace_name,
        "environment": incident.environment,
        "start": format_moment(start),
        "end": format_moment(end),
    }


def _open_import(run: Run, progress: Progress, cursor: dict[str, Any], connection: Connection) -> EvidenceImport:
    """The window's import; an earlier attempt's is gone on with."""
    known = EvidenceImport.objects.filter(pk=cursor["window"].get("import"), incident=run.incident_id).first()
    if known:
        return known
    with transaction.atomic():
        evidence_import = begin_import(
            incident=run.incident, by=run.started_by, kind=EvidenceImport.Kind.WINDOW,
            origin=run.payload.get("link") or connection.name, connection=connection,
        )  # fmt: skip
        cursor["window"]["import"] = evidence_import.pk
        progress.save(cursor=cursor)
    return evidence_import


def _expected(count: int, share_done: float, cap: int) -> int | None:
    """How many traces the window will have brought at the end, guessed from what it brought so far."""
    if share_done < 0.02:
        return None
    return max(count, min(cap, round(count / share_done)))
