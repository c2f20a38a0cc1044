"""Publication: the gate once more, then one frozen, hashed record."""

import json
from typing import Any

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.states import mark_published, refuse_published
from postmortem.lib.clock import format_moment, utc_now
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import canonical_json, sha256_hex
from postmortem.report.delivery import queue_webhook
from postmortem.report.difference import difference_section
from postmortem.report.models import Report
from postmortem.report.record import assemble_record
from postmortem.report.selectors import gate

_NAMED = 3


def publish(*, incident: Incident, by: Person, correction_reason: str = "") -> Report:
    """Freeze the record of `incident` as its next version.

    Raises UserError naming what the gate misses, or when a correction gives no reason; PermissionDenied.
    """
    require(by, Capability.PUBLISH, incident)
    with transaction.atomic():
        incident = (
            Incident.objects.select_for_update(of=("self",))
            .select_related("feature__team", "created_by")
            .get(pk=incident.pk)
        )
        refuse_published(incident)
        _refuse_what_is_missing(incident)
        last = incident.reports.defer("record").order_by("-version").first()
        if last and not correction_reason.strip():
            raise UserError(f"Version {last.version} is published; say what this version corrects.")
        now = utc_now()
        record = assemble_record(incident)
        corrects = None
        if last:
            old = read_record(Report.objects.get(pk=last.pk))
            corrects = {
                "version": last.version,
                "sha256": last.sha256,
                "differences": difference_section(old, record),
            }
        record |= {
            "publication": {
                "version": last.version + 1 if last else 1,
                "published_by": by.name,
                "published_at": format_moment(now),
                "corrects": corrects,
                "correction_reason": correction_reason.strip(),
            }
        }
        data = canonical_json(record)
        report = Report.objects.create(
            incident=incident,
            version=record["publication"]["version"],
            record=data,
            sha256=sha256_hex(data),
            correction_reason=correction_reason.strip(),
            published_by=by,
            published_at=now,
        )
        mark_published(incident=incident, by=by)
        audit.record(
            person=by,
            action="report.publish",
            subject=f"{incident.number} version {report.version}",
            incident_number=incident.number,
            after={"sha256": report.sha256},
        )
        queue_webhook(report=report, by=by)
    return report


def read_record(report: Report) -> dict[str, Any]:
    """The record of a published report. Raises UserError when its bytes do not match its hash."""
    data = bytes(report.record)
    if sha256_hex(data) != report.sha256:
        raise UserError(
            f"The stored record of version {report.version} does not match its hash; restore it from a backup."
        )
    record: dict[str, Any] = json.loads(data)
    return record


def _refuse_what_is_missing(incident: Incident) -> None:
    missing = [rule.title for rule in gate(incident) if not rule.met]
    if missing:
        more = f", and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise UserError(
            f"{len(missing)} of the gate's rules stand between {incident.number} and publication: "
            f"{'; '.join(missing[:_NAMED])}{more}. Mend them first."
        )
