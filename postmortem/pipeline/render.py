"""Long documents in the background: a run renders, a row keeps the bytes for a day."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings

from postmortem.incidents.models import Incident
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.pipeline.models import Rendering, Run
from postmortem.pipeline.progress import Progress
from postmortem.pipeline.publish import frozen_or_draft
from postmortem.report.documents import FORMATS, VIEWS, Document, make_document, takes_long
from postmortem.report.external import AUDIENCES
from postmortem.report.models import Report
from postmortem.report.pdf import in_line

KEPT = timedelta(days=1)
# So many renderings may wait for one another in a web process; more go to the workers.
_MOST_IN_LINE = 3
_SAY_EVERY = 0.5  # seconds


def render_payload(*, view: str, form: str, audience: str, report: Report | None) -> dict[str, Any]:
    """What a run is asked to render. Raises UserError for a view, format or audience that does not exist."""
    if view not in VIEWS or form not in FORMATS or audience not in AUDIENCES:
        raise UserError("There is no such view, format or audience of the report.")
    version = report.version if report else None
    # With the version of the product: what an older one laid out is not given for what this one would.
    return {"view": view, "form": form, "audience": audience, "version": version, "code": settings.CODE_VERSION}


def belongs_in_background(record: Mapping[str, Any], *, view: str, form: str) -> bool:
    """Whether a request should not wait: the document is long, or enough others are waiting already."""
    return takes_long(record, view=view, form=form) or (form == "pdf" and in_line() >= _MOST_IN_LINE)


def finished_rendering(incident: Incident, payload: dict[str, Any]) -> Run | None:
    """A run that has rendered the same published version already; None for drafts, which change."""
    if payload["version"] is None:
        return None
    recent = incident.runs.filter(kind=Run.Kind.RENDER, state=Run.State.DONE, rendering__isnull=False)
    return next((run for run in recent.select_related("started_by")[:20] if run.payload == payload), None)


def render_document(run: Run, progress: Progress) -> str:
    """The stage: render what the payload names and keep the bytes. Raises UserError."""
    forget_old()
    asked = run.payload
    progress.save(text="Reading the record.")
    report = None
    if asked["version"] is not None:
        report = Report.objects.get(incident=run.incident, version=asked["version"])
    record, version, sha256 = frozen_or_draft(run.incident, report)
    document = make_document(
        record, view=asked["view"], form=asked["form"], version=version, sha256=sha256, audience=asked["audience"],
        on_page=_say_pages(progress),
    )  # fmt: skip
    Rendering.objects.update_or_create(
        run=run, defaults={"filename": document.filename, "media_type": document.media_type, "data": document.data}
    )
    return f"{document.filename} is ready, {max(1, len(document.data) // 1024):,} kB."


def _say_pages(progress: Progress) -> Callable[[int], None]:
    said = 0.0

    def say(page: int) -> None:
        nonlocal said
        progress.pause()
        if time.monotonic() - said >= _SAY_EVERY:
            said = time.monotonic()
            progress.save(text=f"Page {page} is laid out.", done=page, total=None)

    return say


def rendered(run: Run) -> Document | None:
    """The document of a run that has ended well, while it is kept."""
    if run.kind != Run.Kind.RENDER or run.state != Run.State.DONE:
        return None
    row = Rendering.objects.filter(run=run).first()
    return Document(bytes(row.data), row.media_type, row.filename) if row else None


def forget_old() -> int:
    """Drop documents that were made more than a day ago; the records they came from stay."""
    return Rendering.objects.filter(created_at__lt=utc_now() - KEPT).delete()[0]
