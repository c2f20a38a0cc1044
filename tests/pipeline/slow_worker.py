"""A worker of its own process for test_killed_worker: a window of ten pages that takes its time.

`python -m tests.pipeline.slow_worker setup|work|state`, with DATABASE_URL.
"""

import json
import os
import sys
import time
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "postmortem.settings")
django.setup()

from django.db import transaction  # noqa: E402

from postmortem.pipeline import background  # noqa: E402
from postmortem.pipeline.models import Run  # noqa: E402
from postmortem.traces.models import EvidenceImport  # noqa: E402
from postmortem.traces.services import begin_import, finish_import, store_page  # noqa: E402
from tests.builders import make_incident  # noqa: E402
from tests.pipeline.builders import make_record  # noqa: E402

PAGES, PER_PAGE = 10, 10


def slow_window(run, progress):
    """Stores as the real stage does: a page and the cursor in one transaction."""
    cursor = progress.cursor
    if "import" not in cursor:
        with transaction.atomic():
            imported = begin_import(incident=run.incident, by=run.started_by, kind="window", origin="slow")
            cursor["import"] = imported.pk
            progress.save(cursor=cursor)
    imported = EvidenceImport.objects.get(pk=cursor["import"])
    for page in range(cursor.get("page", 0), PAGES):
        time.sleep(0.2)
        records = [make_record(f"t{page}-{number}") for number in range(PER_PAGE)]
        with transaction.atomic():
            store_page(evidence_import=imported, records=records, pages=[b"page %d" % page])
            progress.save(done=(page + 1) * PER_PAGE, total=PAGES * PER_PAGE, cursor=cursor | {"page": page + 1})
        print(f"page {page}", flush=True)
    finish_import(evidence_import=imported)
    return "All pages are here."


def state():
    run = Run.objects.get()
    imported = EvidenceImport.objects.first()
    return {
        "state": run.state, "attempts": run.attempts, "done": run.progress_done, "message": run.message,
        "traces": run.incident.traces.count(), "blobs": imported.blobs.count() if imported else 0,
        "imports": EvidenceImport.objects.count(),
    }  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] == "setup":
        incident = make_incident()
        Run.objects.create(incident=incident, kind=Run.Kind.IMPORT_WINDOW, started_by=incident.created_by)
    elif sys.argv[1] == "work":
        capability = background.STAGES[Run.Kind.IMPORT_WINDOW][1]
        background.STAGES[Run.Kind.IMPORT_WINDOW] = (slow_window, capability)
        while Run.objects.filter(state__in=background.ACTIVE).exists():
            background.work(once=True, lease=timedelta(seconds=1))
            time.sleep(0.1)
    else:
        print(json.dumps(state()))
