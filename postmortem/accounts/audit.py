"""The audit log: services call `record` in the transaction that makes the change."""

from typing import Any

from postmortem.accounts.announcements import announce
from postmortem.accounts.models import AuditEntry, Person


def record(
    *,
    person: Person | None,
    action: str,
    subject: str,
    incident_number: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEntry:
    """Add one entry, and tell the open pages of its incident. `before` and `after` hold JSON values that changed."""
    entry = AuditEntry.objects.create(
        person=person,
        action=action,
        subject=subject[:200],
        incident_number=incident_number,
        before=before or {},
        after=after or {},
    )
    if incident_number:
        announce(incident_number, f"audit {entry.pk}")
    return entry
