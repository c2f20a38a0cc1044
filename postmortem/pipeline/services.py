"""What people start: each puts one run into the queue and returns it."""

from django.conf import settings

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.services import refuse_published
from postmortem.lib.errors import UserError
from postmortem.pipeline.background import enqueue
from postmortem.pipeline.models import Run
from postmortem.traces.links import TraceLink, parse_link
from postmortem.traces.models import Connection
from postmortem.traces.services import connection_for_link


def start_link_import(*, incident: Incident, by: Person, link: str, cap: int | None = None) -> Run:
    """Import a pasted link: its trace, then at most `cap` traces of the window around it.

    Raises UserError at once for what needs no server to see: no such link, no trace in it, no connection.
    """
    require(by, Capability.IMPORT, incident)
    refuse_published(incident)
    parsed = parse_link(link)
    if not parsed.trace_id:
        raise UserError("This link leads to a session or a prompt; open one of its traces and copy that link.")
    if _answers_without_asking(parsed):
        connection_for_link(parsed)
    payload = {"link": link.strip(), "cap": _cap(cap)}
    return enqueue(incident=incident, by=by, kind=Run.Kind.IMPORT_LINK, payload=payload)


def start_window_import(*, incident: Incident, by: Person, connection: Connection, cap: int | None = None) -> Run:
    """Read the incident's window again, e.g. after its times were corrected. Nothing is stored twice.

    Raises UserError when the incident does not say which traces, or from when to when.
    """
    require(by, Capability.IMPORT, incident)
    if not incident.trace_name or not (incident.baseline_start or incident.incident_start):
        raise UserError("Set the trace name and the windows of the incident first.")
    payload = {"connection": connection.pk, "cap": _cap(cap)}
    return enqueue(incident=incident, by=by, kind=Run.Kind.IMPORT_WINDOW, payload=payload)


def start_prompt_pull(*, incident: Incident, by: Person, connection: Connection) -> Run:
    """Pull the prompt versions of a connection into the prompt log of the incident's feature."""
    payload = {"connection": connection.pk}
    return enqueue(incident=incident, by=by, kind=Run.Kind.IMPORT_PROMPTS, payload=payload)


def start_attribution(*, incident: Incident, by: Person) -> Run:
    """Run the attribution on what is stored. Raises UserError when no signal is chosen or there are no traces."""
    require(by, Capability.REVIEW, incident)
    if not incident.signal:
        raise UserError("Choose the signal that got worse first, on the incident's Overview.")
    if not incident.traces.exists():
        raise UserError("There are no traces yet; import a trace link or a file first.")
    return enqueue(incident=incident, by=by, kind=Run.Kind.ATTRIBUTE, payload={})


def _answers_without_asking(link: TraceLink) -> bool:
    """Whether the stored connections settle the link; else a server must be asked, which a run may wait for."""
    same_server = Connection.objects.filter(base_url=link.base_url)
    return not (link.project_id and same_server.filter(project_id="").exists())


def _cap(cap: int | None) -> int:
    most = settings.IMPORT_WINDOW_MAX_TRACES
    if cap is None:
        return most
    if cap < 1:
        raise UserError("The cap is the largest number of traces to read; give at least 1.")
    return min(cap, most)
