"""Columns of many traces, built by a worker, so that the page which needs them first need not wait for them."""

from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import Progress
from postmortem.traces.models import ColumnSegment
from postmortem.traces.stored_columns import build_columns, missing_columns


def prepare_traces(run: Run, progress: Progress) -> str:
    """The stage: build what is missing, segment by segment; each is kept at once, so that a break costs one."""
    segments = list(ColumnSegment.objects.filter(incident=run.incident_id, built=True))
    total = max(0, missing_columns(run.incident_id, segments))
    done = 0

    def tell(traces: int) -> None:
        nonlocal done
        done += traces
        progress.pause()
        progress.save(text="Traces are ready to be counted and filtered.", done=min(done, total), total=total)

    progress.save(text="Reading the traces.", done=0, total=total)
    build_columns(run.incident_id, tell=tell)
    return f"{done:,} traces are ready."
