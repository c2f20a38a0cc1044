"""An incident as a case without importing its traces: Langfuse groups them, the attribution reads the cells."""

from postmortem.attribution.shapes import AttributionCase
from postmortem.changes.selectors import change_records
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.traces.langfuse_source import LangfuseSource
from postmortem.traces.metric_cells import cells_of_metrics
from postmortem.traces.models import Connection
from postmortem.traces.services import open_source
from postmortem.traces.sources import query_of


def metric_case(incident: Incident, connection: Connection, *, granularity: str = "minute") -> AttributionCase:
    """The incident's windows as cells of one minute or hour, grouped by the connection's server; none is imported.

    Traces of the incident's name and environment, with the facets that the server can group by (see
    traces.metric_cells). Raises UserError for what is still to be entered and for servers that cannot group,
    SourceError when the server cannot be read.
    """
    if connection.kind != Connection.Kind.LANGFUSE:
        raise UserError("Only Langfuse groups traces by itself; import the window from other servers.")
    windows = (incident.baseline_start, incident.baseline_end, incident.incident_start, incident.incident_end)
    baseline_start, baseline_end, incident_start, incident_end = windows
    if not (baseline_start and baseline_end and incident_start and incident_end):
        raise UserError("The baseline or the incident window is missing; enter both on the incident's edit page.")
    if not incident.signal:
        raise UserError("No signal is chosen; choose on the incident's edit page what got worse.")
    filters = {"name": incident.trace_name, "environment": incident.environment}
    start, end = min(baseline_start, incident_start), max(baseline_end, incident_end)
    with open_source(connection) as source:
        if not isinstance(source, LangfuseSource):
            raise TypeError(f"{connection.kind} opened {type(source).__name__}")
        query = query_of(filters, start=start, end=end, cap=1)
        cells = cells_of_metrics(source.iter_metric_cells(query, incident.signal, granularity=granularity))
    if not cells.count.size:
        raise UserError(
            f"{connection.name} counts no traces with the signal {incident.signal} in the incident's windows; "
            "check the trace name, the environment and the windows."
        )
    return AttributionCase(
        signal=incident.signal,
        worse=incident.worse,
        detected_at=incident.detected_at or incident_end,
        cells=cells,
        trace_count=cells.trace_count,
        changes=change_records(incident),
        baseline=(baseline_start, baseline_end),
        incident=(incident_start, incident_end),
    )
