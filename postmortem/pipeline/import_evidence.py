"""Stage 1: from a pasted link to evidence. The trace or session first, then the window around it, page by page."""

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
from postmortem.traces import selectors
from postmortem.traces.links import TraceLink, parse_link
from postmortem.traces.models import Connection, EvidenceImport
from postmortem.traces.records import SourcePage, TraceRecord
from postmortem.traces.services import begin_import, connection_for_link, finish_import, open_source, store_page
from postmortem.traces.sources import (
    SETTLING,
    LateScores,
    TraceSource,
    covered_until,
    fresh_spans,
    query_of,
    said_filters,
)

_EDIT_TRIES = 5
_TRACES_PER_READ = 500


def import_link(run: Run, progress: Progress) -> str:
    """Read the linked trace or session, let it fill what the incident does not say yet, then read its window.

    The payload holds `link` and `cap`. Raises UserError for what a person can mend, RateLimited.
    """
    link = parse_link(run.payload["link"])
    connection = connection_for_link(link)
    with open_source(connection) as source:
        if link.session_id:
            said = _read_session(run, progress, source, connection, link)
        else:
            said = _read_trace(run, progress, source, connection, link)
        progress.pause()
        return f"{said} {_read_window(run, progress, source, connection)}"


def import_window(run: Run, progress: Progress) -> str:
    """Read a window through one connection: the incident's own, or one with filters.

    The payload holds `connection` (id), `cap`, where it has filters `asked` (filters, start, end), and `again`:
    read only what no earlier import of the same has covered.
    """
    connection = Connection.objects.filter(pk=run.payload["connection"]).first()
    if connection is None:
        raise UserError("This connection is gone; choose another one.")
    with open_source(connection) as source:
        return _read_window(run, progress, source, connection)


def _read_trace(run: Run, progress: Progress, source: TraceSource, connection: Connection, link: TraceLink) -> str:
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
    return "The trace is stored."


def _read_session(run: Run, progress: Progress, source: TraceSource, connection: Connection, link: TraceLink) -> str:
    """Every trace of the session, to be read; after a break it goes on with the next one."""
    cursor = progress.cursor
    session = cursor.setdefault("session", {})
    evidence_import = EvidenceImport.objects.filter(pk=session.get("import"), incident=run.incident_id).first()
    if not session.get("finished"):
        progress.save(text="Reading the session.")
        for page in source.iter_session(str(link.session_id), link.timestamp, session.get("at")):
            with transaction.atomic():
                evidence_import = evidence_import or begin_import(
                    incident=run.incident, by=run.started_by, kind=EvidenceImport.Kind.SESSION,
                    origin=run.payload["link"], connection=connection,
                )  # fmt: skip
                store_page(evidence_import=evidence_import, records=page.records, pages=page.pages, anchor=True)
                cursor.pop("waits", None)
                session |= {
                    "import": evidence_import.pk, "at": page.cursor, "finished": page.cursor is None,
                    "truncated": page.truncated, "count": page.trace_count,
                }  # fmt: skip
                if session["finished"]:
                    finish_import(evidence_import=evidence_import, truncated=page.truncated)
                    adopt_from_trace(run.incident, run.started_by, page.records[-1])
                total = round(page.trace_count / page.share_done)
                progress.save(text="Reading the session.", done=page.trace_count, total=total, cursor=cursor)
            progress.pause()
    count = int(session.get("count", 0))
    said = f"The session's {count:,} traces are stored." if count != 1 else "The session's one trace is stored."
    return said + (" It has more: the first ones are read." if session.get("truncated") else "")


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


def _read_window(run: Run, progress: Progress, source: TraceSource, connection: Connection) -> str:
    incident = Incident.objects.get(pk=run.incident_id)
    cap = min(int(run.payload.get("cap") or settings.IMPORT_WINDOW_MAX_TRACES), settings.IMPORT_WINDOW_MAX_TRACES)
    cursor = progress.cursor
    if "filters" not in (cursor.get("window") or {}):
        cursor["window"] = _plan(incident, connection, run.payload)
        if cursor["window"] is None:
            return "Its window was not read: neither the trace nor the incident says which traces belong together."
    window = cursor["window"]
    filters = window["filters"]
    where = said_filters(filters) or "of any name"
    late = _read_late_scores(run, progress, source, connection, cursor)
    if not window["spans"]:
        until = parse_moment(window["covered"][1])
        if late:
            finish_import(evidence_import=_open_import(run, progress, cursor, connection))
            return f"No new traces {where}, but {late:,} scores that traces here got since."
        return f"Nothing new: all traces {where} are here that began before {until:%Y-%m-%d %H:%M} UTC."
    evidence_import = _open_import(run, progress, cursor, connection)
    text = f"Reading traces {where}."
    try:
        while not window.get("finished"):
            begin, end = (parse_moment(moment) for moment in window["spans"][0])
            before = int(window.get("before", 0))
            query = query_of(filters, start=begin, end=end, cap=max(1, cap - before))
            progress.save(text=text)
            for page in source.iter_window(query, window.get("at")):
                cursor.pop("waits", None)  # it moved on, so patience starts anew
                window |= {"at": page.cursor, "truncated": bool(window.get("truncated")) or page.truncated}
                count = before + page.trace_count
                if page.cursor is None:  # on to the next span
                    window |= {"spans": window["spans"][1:], "before": count}
                    window["finished"] = not window["spans"] or count >= cap
                    window["truncated"] = window["truncated"] or bool(window["spans"] and window["finished"])
                with transaction.atomic():
                    store_page(evidence_import=evidence_import, records=page.records, pages=page.pages)
                    progress.save(text=text, done=count, total=_expected(count, page.share_done, cap), cursor=cursor)
                progress.pause()
    except Cancelled:
        finish_import(evidence_import=evidence_import, truncated=True)
        raise
    evidence_import.refresh_from_db()
    truncated = bool(window.get("truncated"))
    begin, until = (parse_moment(moment) for moment in window["covered"])
    covered = (begin, until) if until > begin else None
    finish_import(evidence_import=evidence_import, truncated=truncated, covered=covered)
    if run.payload.get("asked") or run.payload.get("again"):
        here = int(window.get("before", 0)) - evidence_import.trace_count
        message = f"{evidence_import.trace_count:,} new traces {where} came"
        message += f", {here:,} were here already." if here > 0 else "."
        message += f" Traces that were here got {late:,} scores since." if late else ""
    else:
        message = f"{evidence_import.trace_count:,} more traces {where} came with its window."
    if truncated:
        message += f" The window holds more: at most {cap:,} are read, spread over its whole span."
    return message


def _read_late_scores(
    run: Run, progress: Progress, source: TraceSource, connection: Connection, cursor: dict[str, Any]
) -> int:
    """Scores that traces here were given after they were read, where the source can tell. Returns how many."""
    state = cursor["window"].setdefault("late", {"after": 0, "count": 0, "finished": False})
    since = cursor["window"].get("read_at")
    if state["finished"] or not since or not isinstance(source, LateScores):
        return int(state["count"])
    progress.save(text="Looking for scores that came since.")
    while traces := selectors.traces_read_through(run.incident, connection, state["after"], _TRACES_PER_READ):
        scores, pages = source.scores_since([trace.external_id for trace in traces], parse_moment(since) - SETTLING)
        known = selectors.known_scores(traces)
        records = []
        for trace in traces:
            new = [
                score
                for score in scores.get(trace.external_id, ())
                if known.get((trace.external_id, score.external_id)) != (score.value, score.text_value)
            ]
            if new:
                records.append(TraceRecord(trace.external_id, trace.timestamp, {}, score_records=tuple(new)))
        count = sum(len(record.score_records) for record in records)
        state |= {"after": traces[-1].pk, "count": state["count"] + count}
        with transaction.atomic():
            if records:  # a trace that is here keeps its facts and gains the scores
                mine = frozenset(record.external_id for record in records)
                told = [SourcePage(body, mine) for body in pages]
                evidence_import = _open_import(run, progress, cursor, connection)
                store_page(evidence_import=evidence_import, records=records, pages=told)
            progress.save(cursor=cursor)
        progress.pause()
    state["finished"] = True
    progress.save(cursor=cursor)
    return int(state["count"])


def _plan(incident: Incident, connection: Connection, payload: dict[str, Any]) -> dict[str, Any] | None:
    """Which traces, from when to when; kept in the cursor so that a later attempt reads the same window."""
    asked = payload.get("asked") or _asked_of_incident(incident)
    if asked is None:
        return None
    now = utc_now()
    start = parse_moment(asked["start"])
    end = min(parse_moment(asked["end"]), now) if asked["end"] else now
    if end <= start:
        return None
    spans, read_at = [(start, end)], None
    if payload.get("again"):
        covered = selectors.covered_spans(incident, connection, asked["filters"])
        spans = fresh_spans((start, end), covered)
        read_at = selectors.first_read_at(incident, connection)
    return {
        "read_at": format_moment(read_at) if read_at else None,
        "filters": asked["filters"],
        "spans": [[format_moment(low), format_moment(high)] for low, high in reversed(spans)],
        "covered": [format_moment(start), format_moment(covered_until(end, now))],
        "asked": asked,
    }


def _asked_of_incident(incident: Incident) -> dict[str, Any] | None:
    """The incident's own window: traces of its name and environment in its two windows and between them."""
    moments = [incident.baseline_start, incident.baseline_end, incident.incident_start, incident.incident_end]
    known = [moment for moment in moments if moment]
    if not incident.trace_name or not known:
        return None
    filters = {"name": incident.trace_name, "environment": incident.environment}
    return {
        "filters": {name: value for name, value in filters.items() if value},
        "start": format_moment(min(known)),
        "end": format_moment(max(known)),
    }


def _open_import(run: Run, progress: Progress, cursor: dict[str, Any], connection: Connection) -> EvidenceImport:
    """The window's import; an earlier attempt's is gone on with."""
    known = EvidenceImport.objects.filter(pk=cursor["window"].get("import"), incident=run.incident_id).first()
    if known:
        return known
    kind = EvidenceImport.Kind.QUERY if run.payload.get("asked") else EvidenceImport.Kind.WINDOW
    asked = cursor["window"]["asked"]
    origin = run.payload.get("link") or f"{connection.name}: {said_filters(asked['filters']) or 'any trace'}"
    with transaction.atomic():
        evidence_import = begin_import(
            incident=run.incident, by=run.started_by, kind=kind, origin=origin, connection=connection, asked=asked
        )
        cursor["window"]["import"] = evidence_import.pk
        progress.save(cursor=cursor)
    return evidence_import


def _expected(count: int, share_done: float, cap: int) -> int | None:
    """How many traces the window will have brought at the end, guessed from what it brought so far."""
    if share_done < 0.02:
        return None
    return max(count, min(cap, round(count / share_done)))
