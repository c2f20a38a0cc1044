"""Writes of action items. Owner, due date and verification are refused here in words, by the database in fact."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Max

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.actions.models import ActionItem
from postmortem.actions.triggers import HAS_OPEN_ITEMS, OWNER_INACTIVE
from postmortem.incidents.models import Incident, Severity
from postmortem.incidents.permissions import Capability, may, require
from postmortem.incidents.states import refuse_published
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import Layer
from postmortem.review import factors as review
from postmortem.review.editing import hold, known_layer
from postmortem.review.models import ContributingFactor
from postmortem.review.wording import LONG, clean_link, clean_text

Status = ActionItem.Status
OPEN_STATUSES = (Status.OPEN, Status.DONE)  # done but not verified still has its owner
_DUE_DAYS = {Severity.SEV1: 7, Severity.SEV2: 14, Severity.SEV3: 30, Severity.SEV4: 60}
_TITLE = 200
_VERIFICATION = 4_000
_FIELDS = ("title", "layer", "kind", "owner", "due_on", "verification", "cuts_factor", "tracker_link")


def due_default(severity: str, today: date) -> date:
    """A sensible due date: 7, 14, 30 or 60 days from `today` for SEV-1 to SEV-4."""
    return today + timedelta(days=_DUE_DAYS.get(Severity(severity), 30))


def add_action(
    *,
    incident: Incident,
    by: Person,
    title: str,
    layer: Layer | str,
    kind: str,
    owner: Person | None,
    due_on: date | None,
    verification: str,
    cuts_factor: ContributingFactor | None = None,
    tracker_link: str = "",
    today: date | None = None,
) -> ActionItem:
    """Add the incident's next action item (A-1, A-2, …).

    `today` (UTC, default the present day) is the day before which it cannot be due.
    Raises UserError for whatever is missing or wrong and when the incident is published, PermissionDenied.
    """
    require(by, Capability.ACT, incident)
    fields = checked_fields(
        incident,
        {
            "title": title, "layer": layer, "kind": kind, "owner": owner, "due_on": due_on,
            "verification": verification, "cuts_factor": cuts_factor, "tracker_link": tracker_link,
        },
    )  # fmt: skip
    _not_past(fields["due_on"], today)
    with _said_clearly(), transaction.atomic():
        hold(incident)
        refuse_published(incident)
        last = incident.action_items.aggregate(last=Max("number"))["last"] or 0
        item = ActionItem.objects.create(incident=incident, number=last + 1, created_by=by, **fields)
        _log(by, item, "action.add", {}, action_values(item))
    return item


def update_action(
    *, action: ActionItem, by: Person, revision: int, today: date | None = None, **fields: Any
) -> ActionItem:
    """Change an item's title, layer, kind, owner, due_on, verification, cuts_factor or tracker_link.

    `revision` is what the person saw. A due date may be kept when it has passed, not moved into the past.
    Raises EditConflict when somebody saved meanwhile, UserError (also when published), PermissionDenied.
    """
    incident = action.incident
    require(by, Capability.ACT, incident)
    if unknown := set(fields) - set(_FIELDS):
        raise UserError(f"An action item has no field {', '.join(sorted(unknown))}.")
    with _said_clearly(), transaction.atomic():
        hold(incident)
        refuse_published(incident)
        stored = _stored(action)
        new = checked_fields(
            incident, {name: getattr(stored, name) for name in _FIELDS} | fields, open_item=is_open(stored)
        )
        if new["due_on"] != stored.due_on:
            _not_past(new["due_on"], today)
        before = action_values(stored)
        _save(stored, revision, new)
        after = action_values(stored)
        if changed := [name for name in after if before[name] != after[name]]:
            _log(by, stored, "action.update", {n: before[n] for n in changed}, {n: after[n] for n in changed})
    return stored


def set_status(*, action: ActionItem, by: Person, status: str, revision: int, note: str = "") -> ActionItem:
    """Move an item to open, done, verified or dropped; the audit log keeps who, when and the note.

    Verified and dropped need a note: what showed that it works, or why it is not done. Follow-up goes on
    after publication: the report keeps the items as they were.
    Raises EditConflict, UserError, PermissionDenied.
    """
    require(by, Capability.ACT, action.incident)
    if status not in Status.values:
        raise UserError("An action item is open, done, verified or dropped.")
    note = clean_text(note, what="The note", limit=LONG, needed=False)
    if status == Status.VERIFIED and not note:
        raise UserError("Say in the note what showed that it works, for example the rate after the fix.")
    if status == Status.DROPPED and not note:
        raise UserError("Say in the note why this item will not be done.")
    with _said_clearly(), transaction.atomic():
        stored = _stored(action)
        if status in OPEN_STATUSES and not stored.owner.is_active:
            raise UserError(f"{stored.owner} is no longer active; choose another owner before you reopen the item.")
        before = {"status": str(stored.status), "note": stored.status_note}
        _save(stored, revision, {"status": status, "status_note": note})
        _log(by, stored, "action.status", before, {"status": str(status), "note": note})
    return stored


def remove_factor(*, factor: ContributingFactor, by: Person) -> None:
    """Take a factor out of the graph, remembering which items cut it, so that undo ties them to it again."""
    cut_by = list(factor.incident.action_items.filter(cuts_factor=factor.pk).values_list("number", flat=True))
    review.remove_factor(factor=factor, by=by, cut_by=cut_by)


def hand_over(
    *, from_person: Person, to_person: Person, by: Person, actions: Iterable[ActionItem] | None = None
) -> int:
    """Give `from_person`'s open items (all, or those of `actions`) to `to_person`; returns how many.

    Raises UserError (inactive receiver, the same person, somebody else's item), PermissionDenied unless `by` is an
    administrator or may change action items on each incident concerned.
    """
    if from_person.pk == to_person.pk:
        raise UserError("Choose somebody else to take the items over.")
    if not to_person.is_active:
        raise UserError(f"{to_person} is not active; choose an active person to take the items over.")
    with _said_clearly(), transaction.atomic():
        owned = ActionItem.objects.select_for_update(of=("self",)).filter(owner=from_person, status__in=OPEN_STATUSES)
        items = list(owned.select_related("incident__feature"))
        if actions is not None:
            wanted = {action.pk for action in actions}
            if wanted - {item.pk for item in items}:
                raise UserError(f"Not all of these items are open items of {from_person}; reload the page.")
            items = [item for item in items if item.pk in wanted]
        if not may(by, Capability.CONFIGURE):
            for incident in {item.incident_id: item.incident for item in items}.values():
                require(by, Capability.ACT, incident)
        for item in items:
            ActionItem.objects.filter(pk=item.pk).update(owner=to_person, revision=F("revision") + 1)
            _log(by, item, "action.hand_over", {"owner": _person(from_person)}, {"owner": _person(to_person)})
    return len(items)


def deactivate_person(*, person: Person, by: Person) -> Person:
    """Take away a person's sign-in. Refused while they own open items: hand those over first.

    Raises UserError, PermissionDenied (administrators only).
    """
    require(by, Capability.CONFIGURE)
    if person.pk == by.pk:
        raise UserError("You cannot deactivate yourself; ask another administrator.")
    with transaction.atomic():
        count = ActionItem.objects.filter(owner=person, status__in=OPEN_STATUSES).count()
        if count:
            items = "1 open action item" if count == 1 else f"{count} open action items"
            raise UserError(f"{person} owns {items}; hand them over to somebody else first.")
        with _said_clearly():
            changed = Person.objects.filter(pk=person.pk, is_active=True).update(is_active=False)
        if changed:
            audit.record(
                person=by, action="person.deactivate", subject=str(person),
                before={"is_active": True}, after={"is_active": False},
            )  # fmt: skip
    person.is_active = False
    return person


def explain(error: IntegrityError) -> str:
    """The sentence for a refusal by the database, for doors that do not go through these services."""
    text = str(error)
    if HAS_OPEN_ITEMS in text:
        return HAS_OPEN_ITEMS
    if OWNER_INACTIVE in text:
        return f"{OWNER_INACTIVE} Choose somebody who can still sign in."
    if "owner_id" in text:
        return "An action item needs an owner; choose one active person."
    if "due_on" in text:
        return "An action item needs a due date."
    if "verification" in text:
        return "An action item needs a verification: the signal, threshold and window that will show that it works."
    return "The database refused this action item; check its number, title, owner, due date and verification."


@contextmanager
def _said_clearly() -> Iterator[None]:
    """Turns what the database refuses into a UserError; goes around the transaction, so that it is rolled back."""
    try:
        yield
    except IntegrityError as error:
        raise UserError(explain(error)) from error


def checked_fields(incident: Incident, fields: dict[str, Any], *, open_item: bool = True) -> dict[str, Any]:
    """All the fields of an item (title to tracker_link), cleaned. Raises UserError for the first that is wrong.

    `open_item` says whether the owner has to be active. Forms call it to refuse before anything is lost.
    """
    owner, due_on, factor = fields["owner"], fields["due_on"], fields["cuts_factor"]
    if not isinstance(owner, Person):
        raise UserError("An action item needs an owner; choose one active person.")
    if open_item and not owner.is_active:
        raise UserError(f"{owner} is no longer active; choose an active person as owner.")
    if not isinstance(due_on, date) or isinstance(due_on, datetime):
        raise UserError("An action item needs a due date; write it like 2026-03-27.")
    if factor is not None and factor.incident_id != incident.pk:
        raise UserError("That factor belongs to another incident; choose one of this incident's.")
    if factor is not None and factor.kind == ContributingFactor.Kind.IMPACT:
        raise UserError("An action cuts a cause, not the impact; choose one of its causes.")
    if fields["kind"] not in ActionItem.Kind.values:
        raise UserError(f"An action item is one of {', '.join(map(str, ActionItem.Kind.labels)).lower()}.")
    if not str(fields["verification"] or "").strip():
        raise UserError(
            "An action item needs a verification: the signal, threshold and window that will show that it works."
        )
    return {
        "title": clean_text(fields["title"], what="The title", limit=_TITLE, one_line=True),
        "layer": known_layer(fields["layer"]),
        "kind": fields["kind"],
        "owner": owner,
        "due_on": due_on,
        "verification": clean_text(fields["verification"], what="The verification", limit=_VERIFICATION),
        "cuts_factor": factor,
        "tracker_link": clean_link(fields["tracker_link"], what="The tracker link"),
    }


def _not_past(due_on: date, today: date | None) -> None:
    if due_on < (today or utc_now().date()):
        raise UserError(f"The due date {due_on.isoformat()} has passed; choose today or later.")


def is_open(item: ActionItem) -> bool:
    """Whether the item is open or done but not verified, so that its owner has to stay active."""
    return item.status in OPEN_STATUSES


def _stored(action: ActionItem) -> ActionItem:
    stored = ActionItem.objects.filter(pk=action.pk).select_related("incident", "owner", "cuts_factor").first()
    if stored is None:
        raise UserError("This action item is gone; reload the page.")
    return stored


def _save(stored: ActionItem, revision: int, fields: dict[str, Any]) -> None:
    """Conditional UPDATE: it takes hold only on the revision that the person saw."""
    current: dict[str, object] = action_values(stored) | {"owner": stored.owner.name}
    rows = ActionItem.objects.filter(pk=stored.pk, revision=revision)
    if not rows.update(**fields, revision=F("revision") + 1):
        raise EditConflict(
            f"Somebody changed A-{stored.number} since you opened it; compare both and save again.",
            current=current,
            revision=stored.revision,
        )
    stored.refresh_from_db()


def _person(person: Person) -> str:
    return f"{person.name} <{person.email}>"


def action_values(item: ActionItem) -> dict[str, Any]:
    """An item as JSON values, for the audit log and for conflicts."""
    return {
        "title": item.title, "layer": str(item.layer), "kind": str(item.kind), "owner": _person(item.owner),
        "due_on": item.due_on.isoformat(), "verification": item.verification,
        "cuts_factor": item.cuts_factor.text if item.cuts_factor else "",
        "cuts_factor_id": item.cuts_factor_id, "tracker_link": item.tracker_link,
        "status": str(item.status), "status_note": item.status_note,
    }  # fmt: skip


def _log(by: Person, item: ActionItem, action: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    audit.record(
        person=by, action=action, subject=str(item), incident_number=item.incident.number,
        before=before, after=after, object_id=item.pk,
    )  # fmt: skip
