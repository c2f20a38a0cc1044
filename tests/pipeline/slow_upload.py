"""A worker of its own process for test_killed_worker: a file of ten pieces, each stored with a pause.

`python -m tests.pipeline.slow_upload setup|work|state`, with DATABASE_URL.
"""

import io
import json
import os
import sys
import time
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "postmortem.settings")
django.setup()

from django.conf import settings  # noqa: E402

from postmortem.pipeline import background, services  # noqa: E402
from postmortem.pipeline.models import Run  # noqa: E402
from postmortem.traces import piecewise, spill  # noqa: E402
from postmortem.traces.models import EvidenceImport, Score, TraceBlob, Upload  # noqa: E402
from tests.builders import make_incident  # noqa: E402

TRACES, TOGETHER = 200, 20


def file_bytes():
    """Two rows a trace, far apart, and a score each; one line is broken."""
    lines = []
    for part in ("a", "b"):
        for number in range(TRACES):
            row = {"id": f"{part}{number}", "traceId": f"t{number}", "type": "SPAN", "name": "step"}
            lines.append(row | {"startTime": f"2026-03-09T{number % 24:02d}:00:00Z", "input": "x" * 50})
    score = {"name": "grounded", "value": 1, "dataType": "NUMERIC", "source": "EVAL"}
    lines += [score | {"id": f"s{n}", "traceId": f"t{n}", "timestamp": "2026-03-09T09:00:00Z"} for n in range(TRACES)]
    return b"\n".join([json.dumps(line).encode() for line in lines] + [b"{broken"])


def state():
    run, imported = Run.objects.get(), EvidenceImport.objects.first()
    return {
        "state": run.state, "attempts": run.attempts, "done": run.progress_done, "message": run.message,
        "traces": run.incident.traces.count(), "scores": Score.objects.count(), "told": TraceBlob.objects.count(),
        "imports": EvidenceImport.objects.count(), "uploads": Upload.objects.count(),
        "counted": [imported.trace_count, imported.score_count, imported.finished] if imported else [],
        "sha256": imported.file_sha256 if imported else "",
    }  # fmt: skip


def slowly(storing):
    def store(*args, **kwargs):
        time.sleep(0.2)
        found = storing(*args, **kwargs)
        print("piece", flush=True)
        return found

    return store


if __name__ == "__main__":
    spill.STAGED_TOGETHER = TOGETHER
    spill.MEMORY_BYTES = 4_000  # so that traces come out of parts on disk
    settings.IMPORT_AT_ONCE_BYTES = 1_000
    if sys.argv[1] == "setup":
        incident = make_incident()
        services.import_uploaded(
            incident=incident, by=incident.created_by, filename="export.jsonl", file=io.BytesIO(file_bytes()),
            keep_good=True,
        )  # fmt: skip
    elif sys.argv[1] == "work":
        piecewise.store_traces = slowly(piecewise.store_traces)
        while Run.objects.filter(state__in=background.ACTIVE).exists():
            background.work(once=True, lease=timedelta(seconds=1))
            time.sleep(0.1)
    else:
        print(json.dumps(state()))
