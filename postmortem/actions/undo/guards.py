"""What every way back asks first: is it still as the change left it?"""

from collections.abc import Callable
from typing import Any

from postmortem.accounts.models import AuditEntry, Person
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError

Undo = Callable[[AuditEntry, Incident, Person], None]
CHANGED_SINCE = "It was changed again since; undo the later change first, or edit it by hand."
GONE = "What this changed is gone since; undo its removal first."


def same(current: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise UserError unless the fields that `current` has are as `expected` says."""
    if any(current.get(name) != value for name, value in expected.items() if name in current):
        raise UserError(CHANGED_SINCE)


def stored_row(rows: Any, pk: int | None) -> Any:
    """The row of that id. Raises UserError when it is gone."""
    row = rows.filter(pk=pk).first()
    if row is None:
        raise UserError(GONE)
    return row
