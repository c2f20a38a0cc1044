"""Stage 6: from a frozen record to a document on somebody's desk. Freezing itself is `report.services.publish`."""

from typing import Any

from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.report.documents import Document, make_document
from postmortem.report.models import Report
from postmortem.report.record import assemble_record
from postmortem.report.selectors import latest_report
from postmortem.report.services import read_record


def export_document(
    *,
    incident: Incident,
    view: str,
    form: str,
    version: int | None = None,
    draft: bool = False,
    audience: str = "internal",
) -> Document:
    """One view of the report in one format: of a published version, else of the latest one.

    What is not published yet, or with `draft`, is rendered as it stands now and marked DRAFT.
    Raises UserError for a version that does not exist, KeyError for a view or format that does not.
    """
    report = None if draft else _published(incident, version)
    record, number, sha256 = frozen_or_draft(incident, report)
    return make_document(record, view=view, form=form, version=number, sha256=sha256, audience=audience)


def frozen_or_draft(incident: Incident, report: Report | None) -> tuple[dict[str, Any], int | None, str]:
    """Record, version and hash of `report`; without one the record as it stands now, None and ""."""
    if report is None:
        return assemble_record(incident), None, ""
    return read_record(report), report.version, report.sha256


def _published(incident: Incident, version: int | None) -> Report | None:
    if version is None:
        return latest_report(incident)
    report = Report.objects.filter(incident=incident, version=version).first()
    if report is None:
        latest = latest_report(incident)
        mend = f"the latest is {latest.version}" if latest else "nothing of it is published; ask for the draft"
        raise UserError(f"{incident.number} has no published version {version}: {mend}.")
    return report
