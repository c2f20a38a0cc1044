"""Traces of a window came without their texts, to spare the server: some of them are read whole, to be judged."""

from contextlib import ExitStack

from django.db import transaction

from postmortem.attribution.wording import plural
from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import Progress
from postmortem.traces.langfuse_source import UnknownTrace
from postmortem.traces.models import Trace
from postmortem.traces.services import open_source, store_page
from postmortem.traces.sources import TraceSource

MOST_AT_ONCE = 100


def read_texts(run: Run, progress: Progress) -> str:
    """The stage: read each of the payload's `traces` (keys) whole. Its facts stay, it gains the bytes.

    After a break it goes on with the next one. Raises SourceErrors.
    """
    keys = run.payload["traces"]
    cursor = {"done": 0, "gone": 0} | progress.cursor
    rows = Trace.objects.filter(pk__in=keys, incident=run.incident_id)
    traces = rows.select_related("evidence_import__connection", "evidence_import__incident").in_bulk()
    sources: dict[int, TraceSource] = {}
    with ExitStack() as opened:
        for number, key in enumerate(keys[cursor["done"] :], start=cursor["done"] + 1):
            progress.pause()
            trace = traces.get(key)
            connection = trace.evidence_import.connection if trace else None
            with_texts = None
            if trace and connection:
                if connection.pk not in sources:
                    sources[connection.pk] = opened.enter_context(open_source(connection))
                try:
                    with_texts = sources[connection.pk].fetch_trace(trace.external_id, trace.timestamp)
                except UnknownTrace:
                    cursor["gone"] += 1
            cursor |= {"done": number, "waits": 0}
            with transaction.atomic():
                if trace and with_texts:
                    store_page(
                        evidence_import=trace.evidence_import, records=[with_texts.record], pages=with_texts.pages
                    )
                progress.save(text="Reading texts.", done=number, total=len(keys), cursor=cursor)
    gone = cursor["gone"]
    said = f"The texts of {plural(len(keys) - gone, 'trace')} are here."
    return said + (f" {plural(gone, 'trace')} the server no longer has." if gone else "")
