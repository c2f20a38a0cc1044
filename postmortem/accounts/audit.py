"""The audit log: services call `record` in the transaction that makes the change."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from postmortem.accounts.announcements import announce
from postmortem.accounts.models import AuditEntry, Person

_undone: ContextVar[AuditEntry | None] = ContextVar("undone", default=None)
_batch: ContextVar[str | None] = ContextVar("batch", default=None)


def record(
    *,
    person: Person | None,
    action: str,
    subject: str,
    incident_number: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    object_id: int | None = None,
) -> AuditEntry:
    """Add one entry, and tell the open pages of its incident. `before` and `after` hold JSON values that changed.

    `object_id` is the id of the row that changed, so that the change can be undone.
    """
    entry = AuditEntry.objects.create(
        person=person,
        action=action,
        subject=subject[:200],
        incident_number=incident_number,
        object_id=object_id,
        before=before or {},
        after=after or {},
        undoes=_undone.get(),
        batch=_batch.get(),
    )
    if incident_number:
        announce(incident_number, f"audit {entry.pk}")
    return entry


@contextmanager
def undoing(entry: AuditEntry | None) -> Iterator[None]:
    """Entries recorded inside say that they undo `entry`; with None, that they undo nothing."""
    token = _undone.set(entry)
    try:
        yield
    finally:
        _undone.reset(token)


@contextmanager
def together() -> Iterator[None]:
    """Entries recorded inside are one step, to be undone as one."""
    if _batch.get() is not None:
        yield
        return
    token = _batch.set(uuid4().hex)
    try:
        yield
    finally:
        _batch.reset(token)
