"""What people start: each puts one run into the queue and returns it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, BinaryIO

from django.conf import settings

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.services import refuse_published
from postmortem.lib.clock import format_moment, utc_now
from postmortem.lib.errors import UserError
from postmortem.pipeline.background import ACTIVE, enqueue
from postmortem.pipeline.import_upload import import_at_once, upload_payload
from postmortem.pipeline.metric_case import check_groups
from postmortem.pipeline.models import Run
from postmortem.pipeline.read_texts import MOST_AT_ONCE
from postmortem.pipeline.render import finished_rendering, render_payload
from postmortem.report.draft_settings import drafting_settings
from postmortem.report.models import Report
from postmortem.report.summaries import FIELDS
from postmortem.traces.kept_uploads import forget_upload, keep_upload, open_upload, takes_long
from postmortem.traces.links import TraceLink, parse_link
from postmortem.traces.mapped import TableMapping
from postmortem.traces.metric_cells import GRANULARITIES
from postmortem.traces.models import Connection, EvidenceImport, Trace, Upload
from postmortem.traces.services import connection_for_link
from postmortem.traces.sources import query_of


def start_link_import(*, incident: Incident, by: Person, link: str, cap: int | None = None, again: bool = False) -> Run:
    """Import a pasted link: its trace or its session, then at most `cap` traces of the window around it.

    `again`: of the window only what no earlier import has covered.

    Raises UserError at once for what needs no server to see: no such link, no trace in it, no connection.
    """
    require(by, Capability.IMPORT, incident)
    refuse_published(incident)
    parsed = parse_link(link)
    if not parsed.trace_id and not parsed.session_id:
        raise UserError("This link leads to a prompt; open one of its traces and copy that link.")
    if _answers_without_asking(parsed):
        connection_for_link(parsed)
    payload: dict[str, Any] = {"link": link.strip(), "cap": _cap(cap)} | ({"again": True} if again else {})
    return enqueue(incident=incident, by=by, kind=Run.Kind.IMPORT_LINK, payload=payload)


def import_uploaded(
    *,
    incident: Incident,
    by: Person,
    filename: str,
    file: BinaryIO,
    keep_good: bool = False,
    mapping: TableMapping | None = None,
) -> EvidenceImport | Run:
    """Import a file, with a mapping as a table. A small one is there when this returns, a large one gets a run.

    Raises UserError naming file, line and field when a small one is wrong; a run tells it at its end.
    """
    require(by, Capability.IMPORT, incident)
    refuse_published(incident)
    if not takes_long(file):
        return import_at_once(
            incident=incident, by=by, filename=filename, file=file, keep_good=keep_good, mapping=mapping
        )
    upload = keep_upload(incident=incident, by=by, filename=filename, file=file, awaits=Upload.Awaits.IMPORT)
    return _start_upload(upload, incident, by, keep_good=keep_good, mapping=mapping)


def import_kept(
    *, incident: Incident, by: Person, upload: Upload, keep_good: bool, mapping: TableMapping
) -> EvidenceImport | Run:
    """`import_uploaded` of a table that was kept until its mapping was made."""
    require(by, Capability.IMPORT, incident)
    refuse_published(incident)
    with open_upload(upload) as file:
        if takes_long(file):
            return _start_upload(upload, incident, by, keep_good=keep_good, mapping=mapping)
        done = import_at_once(
            incident=incident, by=by, filename=upload.filename, file=file, keep_good=keep_good, mapping=mapping
        )
    forget_upload(upload)
    return done


def _start_upload(
    upload: Upload, incident: Incident, by: Person, *, keep_good: bool, mapping: TableMapping | None
) -> Run:
    payload = upload_payload(upload, keep_good=keep_good, mapping=mapping)
    for active in incident.runs.filter(kind=Run.Kind.IMPORT_FILE, state__in=ACTIVE):
        if active.payload | {"upload": 0} == payload | {"upload": 0}:  # the same bytes are on their way
            forget_upload(upload)
            return active
    Upload.objects.filter(pk=upload.pk).update(awaits=Upload.Awaits.IMPORT)
    return enqueue(incident=incident, by=by, kind=Run.Kind.IMPORT_FILE, payload=payload)


def start_window_import(
    *,
    incident: Incident,
    by: Person,
    connection: Connection,
    cap: int | None = None,
    filters: dict[str, Any] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Run:
    """Read a window through a connection. Nothing is stored twice.

    Without filters and times the incident's own window is read again, e.g. after its times were corrected. Else
    traces that pass the filters (see WindowQuery) and began in [start, end): `start` defaults to the beginning of
    the incident's windows, `end` to their end, then to now. Raises UserError when it is not said which traces, or
    from when.
    """
    require(by, Capability.IMPORT, incident)
    payload: dict[str, Any] = {"connection": connection.pk, "cap": _cap(cap)}
    moments = [incident.baseline_start, incident.baseline_end, incident.incident_start, incident.incident_end]
    known = [moment for moment in moments if moment]
    if filters or start or end:
        begin, until = start or min(known, default=None), end or max(known, default=None)
        if begin is None:
            raise UserError("Say from when: give the window a beginning, or set the windows of the incident first.")
        query = query_of(filters or {}, start=begin, end=until or utc_now(), cap=1)
        payload["asked"] = {
            "filters": query.filters(),
            "start": format_moment(begin),
            "end": format_moment(until) if until else None,
        }
    elif not incident.trace_name or not known:
        raise UserError("Set the trace name and the windows of the incident first.")
    return enqueue(incident=incident, by=by, kind=Run.Kind.IMPORT_WINDOW, payload=payload)


def start_pull_again(*, incident: Incident, by: Person, evidence_import: EvidenceImport) -> Run:
    """Read what is new since an import: of a window what no import of the same has covered yet.

    A link's trace or session is read whole again, and of its window what is new.

    Raises UserError when it came from no server, or its connection is gone.
    """
    require(by, Capability.IMPORT, incident)
    kind, connection = evidence_import.kind, evidence_import.connection
    if kind in {EvidenceImport.Kind.LINK, EvidenceImport.Kind.SESSION}:
        return start_link_import(incident=incident, by=by, link=evidence_import.origin, again=True)
    if kind not in {EvidenceImport.Kind.WINDOW, EvidenceImport.Kind.QUERY}:
        raise UserError("This evidence came from a file; upload a newer file instead.")
    if connection is None:
        raise UserError("The connection that this came through is gone; import the window through another one.")
    payload: dict[str, Any] = {"connection": connection.pk, "cap": _cap(None), "again": True}
    if kind == EvidenceImport.Kind.QUERY:
        payload["asked"] = evidence_import.asked
    return enqueue(incident=incident, by=by, kind=Run.Kind.IMPORT_WINDOW, payload=payload)


def start_reading_texts(*, incident: Incident, by: Person, traces: Sequence[Trace]) -> Run:
    """Read traces whole that a window brought without their texts. Raises UserError when no server can be asked."""
    asked = [trace.pk for trace in traces if trace.evidence_import.connection_id is not None]
    if not asked:
        raise UserError("These traces came from no server that could be asked; what was imported of them is all.")
    if len(asked) > MOST_AT_ONCE:
        raise UserError(f"At most {MOST_AT_ONCE} traces are read whole at once.")
    return enqueue(incident=incident, by=by, kind=Run.Kind.READ_TEXTS, payload={"traces": asked})


def start_prompt_pull(*, incident: Incident, by: Person, connection: Connection) -> Run:
    """Pull the prompt versions of a connection into the prompt log of the incident's feature."""
    if connection.kind != Connection.Kind.LANGFUSE:
        raise UserError("Prompt versions are pulled from Langfuse; choose a connection to a Langfuse project.")
    payload = {"connection": connection.pk}
    return enqueue(incident=incident, by=by, kind=Run.Kind.IMPORT_PROMPTS, payload=payload)


def start_attribution(*, incident: Incident, by: Person) -> Run:
    """Run the attribution on what is stored. Raises UserError when no signal is chosen or there are no traces."""
    require(by, Capability.REVIEW, incident)
    if not incident.signal:
        raise UserError("Choose the signal that got worse first, under Signal and windows on the Evidence page.")
    if not incident.traces.exists():
        raise UserError("There are no traces yet; import a trace link or a file first.")
    return enqueue(incident=incident, by=by, kind=Run.Kind.ATTRIBUTE, payload={})


def start_grouped_attribution(
    *, incident: Incident, by: Person, connection: Connection, granularity: str = "minute"
) -> Run:
    """Run the attribution on a window that the connection's server groups; none of its traces is imported.

    Raises UserError for a server that cannot group, or when signal or windows are missing.
    """
    require(by, Capability.REVIEW, incident)
    check_groups(incident, connection)
    if granularity not in GRANULARITIES:
        raise UserError("Cells are one minute or one hour long; choose one of them.")
    payload = {"connection": connection.pk, "granularity": granularity}
    return enqueue(incident=incident, by=by, kind=Run.Kind.ATTRIBUTE, payload=payload)


def start_rendering(
    *, incident: Incident, by: Person, view: str, form: str, audience: str = "internal", report: Report | None = None
) -> Run:
    """Render a document in the background; a published version that is kept already is not rendered again.

    Raises UserError for a view, format or audience that does not exist.
    """
    require(by, Capability.VIEW, incident)
    payload = render_payload(view=view, form=form, audience=audience, report=report)
    return finished_rendering(incident, payload) or enqueue(
        incident=incident, by=by, kind=Run.Kind.RENDER, payload=payload
    )


def prepare_later(incident_id: int, by: Person) -> Run:
    """Have a worker build the columns that pages read; a run that is at it already is given."""
    incident = Incident.objects.get(pk=incident_id)
    return enqueue(incident=incident, by=by, kind=Run.Kind.PREPARE, payload={})


def start_draft(*, incident: Incident, by: Person, field: str) -> Run:
    """Ask the configured model for a draft of one text. Raises UserError while drafts are off or for another field."""
    require(by, Capability.REVIEW, incident)
    if not drafting_settings().enabled:
        raise UserError("Drafts by a model are turned off; an administrator can turn them on.")
    if field not in FIELDS:
        raise UserError(f"No draft is made of “{field[:40]}”; there are {', '.join(FIELDS)}.")
    return enqueue(incident=incident, by=by, kind=Run.Kind.DRAFT, payload={"field": field})


def _answers_without_asking(link: TraceLink) -> bool:
    """Whether the stored connections settle the link; else a server must be asked, which a run may wait for."""
    same_server = Connection.objects.filter(base_url=link.base_url, kind=link.kind)
    return not (link.project_id and same_server.filter(project_id="").exists())


def _cap(cap: int | None) -> int:
    most = settings.IMPORT_WINDOW_MAX_TRACES
    if cap is None:
        return most
    if cap < 1:
        raise UserError("The cap is the largest number of traces to read; give at least 1.")
    return min(cap, most)
