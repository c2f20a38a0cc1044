"""Many action items at once: edited together, or brought in from a file. All of them, or none."""

import csv
import io
from collections.abc import Sequence
from datetime import date
from typing import Any

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.actions import services
from postmortem.actions.models import ActionItem
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.review.models import ContributingFactor

MOST_ROWS = 200
MOST_BYTES = 1_000_000
COLUMNS = ("title", "layer", "kind", "owner", "due_on", "verification", "cuts", "tracker_link")
_NEEDED = ("title", "layer", "owner", "due_on", "verification")


def change_many(
    *, incident: Incident, by: Person, revisions: dict[int, int], today: date | None = None, **fields: Any
) -> list[ActionItem]:
    """Give several items of one incident the same owner, due date, layer or kind, as one step of the history.

    `revisions` maps item numbers to the revisions that were seen. Owner, due date and verification cannot be taken
    away. Raises EditConflict when one was changed meanwhile, UserError; then nothing is changed. PermissionDenied.
    """
    require(by, Capability.ACT, incident)
    if not revisions:
        raise UserError("Choose at least one item.")
    if not fields:
        raise UserError("Choose what to change: the owner, the due date, the layer or the kind.")
    if unknown := set(fields) - {"owner", "due_on", "layer", "kind"}:
        raise UserError(f"{', '.join(sorted(unknown))} cannot be changed for many items at once.")
    rows = incident.action_items.filter(number__in=revisions).select_related("incident__feature", "owner")
    items = list(rows.order_by("number"))
    if len(items) != len(revisions):
        raise UserError("Not all of these items are there any more; reload the page.")
    with transaction.atomic(), audit.together():
        return [
            services.update_action(action=item, by=by, revision=revisions[item.number], today=today, **fields)
            for item in items
        ]


def import_actions(*, incident: Incident, by: Person, data: bytes, today: date | None = None) -> list[ActionItem]:
    """Bring in action items from a CSV file with the columns COLUMNS; owners by e-mail, factors by their words.

    Every line needs an owner, a due date and a verification. Raises UserError naming the first line that is wrong;
    then none is added. PermissionDenied.
    """
    require(by, Capability.ACT, incident)
    rows = _rows(data)
    emails = {str(row["owner"]).strip().lower() for row in rows}
    people = {person.email: person for person in Person.objects.filter(email__in=emails)}
    factors = {factor.text: factor for factor in incident.factors.all()}
    added = []
    with transaction.atomic(), audit.together():
        for line, row in enumerate(rows, start=2):
            try:
                added.append(_add(incident, by, row, people, factors, today))
            except UserError as error:
                raise UserError(f"Line {line}: {error} Nothing was imported.") from error
    return added


def _rows(data: bytes) -> Sequence[dict[str, str]]:
    if len(data) > MOST_BYTES:
        raise UserError(f"The file is larger than {MOST_BYTES:,} bytes; split it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("The file is not UTF-8 text; save it as CSV in UTF-8.") from error
    try:
        reader = csv.DictReader(io.StringIO(text.replace("\0", "")), strict=True)
        missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            raise UserError(f"The file lacks the columns {', '.join(missing)}; its first line names the columns.")
        rows = []
        for row in reader:
            rows.append({name: row.get(name) or "" for name in COLUMNS})
            if len(rows) > MOST_ROWS:
                raise UserError(f"The file has more than {MOST_ROWS} items; split it.")
    except csv.Error as error:
        raise UserError(f"The file is not CSV: {error}.") from error
    if not rows:
        raise UserError("The file holds no action items.")
    return rows


def _add(  # noqa: PLR0917
    incident: Incident, by: Person, row: dict[str, str], people: dict[str, Person],
    factors: dict[str, ContributingFactor], today: date | None,
) -> ActionItem:  # fmt: skip
    email, cut = row["owner"].strip().lower(), row["cuts"].strip()
    if email and email not in people:
        raise UserError(f"{email[:80]} has no account here; give the owner by their e-mail.")
    if cut and cut not in factors:
        raise UserError(f"There is no factor “{cut[:60]}” for it to cut.")
    try:
        due_on = date.fromisoformat(row["due_on"].strip()) if row["due_on"].strip() else None
    except ValueError as error:
        raise UserError(f"“{row['due_on'][:30]}” is not a date; write it like 2026-04-10.") from error
    return services.add_action(
        incident=incident, by=by, title=row["title"], layer=row["layer"].strip().lower(),
        kind=row["kind"].strip().lower() or ActionItem.Kind.PREVENT, owner=people.get(email), due_on=due_on,
        verification=row["verification"], cuts_factor=factors.get(cut), tracker_link=row["tracker_link"], today=today,
    )  # fmt: skip
