"""Taking back any recorded change of an incident, the annex of its report included."""

from collections.abc import Mapping

from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions import undo as undoing
from postmortem.actions.undo.guards import CHANGED_SINCE, Undo
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.report.annex import latest_annex, save_annex


def may_undo(entry: AuditEntry) -> bool:
    """Whether there is a way to take this kind of change back."""
    return undoing.may_undo(entry, ways=WAYS)


def undo(*, entry: AuditEntry, incident: Incident, by: Person) -> None:
    """Take `entry` back: what it changed stands again as before. Undoing an undo does it again.

    Raises UserError when it cannot be undone, was undone already, was changed again since, or the incident is
    published; PermissionDenied when `by` may not make the change that this amounts to.
    """
    undoing.undo(entry=entry, incident=incident, by=by, ways=WAYS)


def _annex_edit(entry: AuditEntry, incident: Incident, by: Person) -> None:
    stored = latest_annex(incident)
    values = dict(stored.values) if stored else {}
    changed = {*entry.before, *entry.after}
    # Fields that were changed since and are not part of this save stay as they are.
    if stored is None or any(values.get(name) != entry.after.get(name) for name in changed):
        raise UserError(CHANGED_SINCE)
    kept = {name: value for name, value in values.items() if name not in changed}
    save_annex(incident=incident, by=by, values=kept | entry.before, revision=stored.revision)


WAYS: Mapping[str, Undo] = {**undoing.WAYS, "annex.edit": _annex_edit}
