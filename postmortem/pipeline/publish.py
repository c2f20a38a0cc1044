"""Stage 6: from a frozen record to a document on somebody's desk. Freezing itself is `report.services.publish`."""

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
    if report is None:
        record = assemble_record(incident)
        return make_document(record, view=view, form=form, version=None, sha256="", audience=audience)
    return make_document(
        read_record(report),
        view=view,
        form=form,
        version=report.version,
        sha256=report.sha256,
        audience=audience,
    )


def _published(incident: Incident, version: int | None) -> Report | None:
    if version is None:
        return latest_report(incident)
    report = Report.objects.filter(incident=incident, version=version).first()
    if report is None:
        raise UserError(f"{incident.number} has no published version {version}; leave it out for the latest one.")
    return report
