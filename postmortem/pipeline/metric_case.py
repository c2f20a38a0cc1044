"""An incident without importing its traces: Langfuse groups them, ledger and attribution read the cells."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

from postmortem.accounts.models import Person
from postmortem.attribution.selectors import check_question, grouped_case
from postmortem.attribution.services import run_grouped_attribution
from postmortem.attribution.shapes import AttributionCase
from postmortem.incidents.models import Incident
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import Progress
from postmortem.traces.cells import Cells
from postmortem.traces.grouped import keep_grouped
from postmortem.traces.langfuse_source import LangfuseSource
from postmortem.traces.metric_cells import MetricCell, cells_of_metrics
from postmortem.traces.models import Connection, GroupedCells
from postmortem.traces.services import open_source
from postmortem.traces.sources import query_of

_TOLD_EVERY = 500  # cells


def metric_case(incident: Incident, connection: Connection, *, granularity: str = "minute") -> AttributionCase:
    """The incident's windows as cells of one minute or hour, grouped by the connection's server; nothing is stored.

    Raises UserError for what is still to be entered and for servers that cannot group, SourceError when the server
    cannot be read.
    """
    return grouped_case(incident, read_grouped(incident, connection, granularity=granularity))


def read_grouped(
    incident: Incident,
    connection: Connection,
    *,
    granularity: str = "minute",
    tell: Callable[[MetricCell, int], None] | None = None,
) -> Cells:
    """Cells of the traces of the incident's name and environment in its windows, from the connection's server.

    They have the facets that the server can group by (see traces.metric_cells). `tell` hears of cells as they come.
    Raises as `metric_case`.
    """
    check_groups(incident, connection)
    filters = {"name": incident.trace_name, "environment": incident.environment}
    start = min(incident.baseline_start, incident.incident_start)
    end = max(incident.baseline_end, incident.incident_end)
    with open_source(connection) as source:
        if not isinstance(source, LangfuseSource):
            raise TypeError(f"{connection.kind} opened {type(source).__name__}")
        query = query_of(filters, start=start, end=end, cap=1)
        found = source.iter_metric_cells(query, incident.signal, granularity=granularity)
        cells = cells_of_metrics(_told(found, tell) if tell else found)
    if not cells.count.size:
        raise UserError(
            f"{connection.name} counts no traces with the signal {incident.signal} in the incident's windows; "
            "check the trace name, the environment and the windows."
        )
    return cells


def keep_window(
    *,
    incident: Incident,
    by: Person,
    connection: Connection,
    granularity: str,
    tell: Callable[[MetricCell, int], None] | None = None,
) -> GroupedCells:
    """`read_grouped`, and keep what it gave as evidence."""
    cells = read_grouped(incident, connection, granularity=granularity, tell=tell)
    return keep_grouped(
        incident=incident, by=by, connection=connection, signal=incident.signal, granularity=granularity, cells=cells
    )


def check_groups(incident: Incident, connection: Connection) -> None:
    """Raise UserError when the connection's server cannot group, or signal or windows are still to be entered."""
    if connection.kind != Connection.Kind.LANGFUSE:
        raise UserError("Only Langfuse groups traces by itself; import the window from other servers.")
    check_question(incident)


def attribute_grouped(run: Run, progress: Progress) -> str:
    """Let the run's connection group the window, keep the cells, attribute them; returns the finding's headline."""
    incident, by = run.incident, run.started_by
    connection = Connection.objects.filter(pk=run.payload["connection"]).first()
    if connection is None:
        raise UserError("The connection is gone; choose another one.")
    granularity = run.payload.get("granularity", "minute")
    progress.save(text=f"Asking {connection.name} to group the window.")
    grouped = keep_window(
        incident=incident, by=by, connection=connection, granularity=granularity, tell=partial(_save, progress)
    )
    progress.save(text="Comparing exposed with unexposed traces.")
    finding = run_grouped_attribution(incident=incident, by=by, grouped=grouped)
    headline = str(finding.result.get("headline", "")).rstrip(".")
    return f"Finding {finding.number}, from {grouped.trace_count:,} traces that {connection.name} grouped: {headline}."


def _told(cells: Iterator[MetricCell], tell: Callable[[MetricCell, int], None]) -> Iterator[MetricCell]:
    for number in count(1):
        cell = next(cells, None)
        if cell is None:
            return
        if number % _TOLD_EVERY == 0:
            tell(cell, number)
        yield cell


def _save(progress: Progress, cell: MetricCell, number: int) -> None:
    progress.pause()
    progress.save(text=f"{number:,} cells, up to {format_moment(cell.end)}.")
