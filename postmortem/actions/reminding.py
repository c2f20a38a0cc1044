"""Reminders of unfinished items: to the owner, and when that does not help to those who facilitate the review.

They run until an item is verified or dropped; done alone does not end them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.actions.models import ActionItem, Reminder
from postmortem.actions.schedule import ESCALATED, Sent, is_due, level_on
from postmortem.actions.services import OPEN_STATUSES
from postmortem.incidents.models import Incident, ParticipantRole, Status
from postmortem.incidents.permissions import visible_incidents


@dataclass(frozen=True, slots=True)
class DueReminder:
    """What goes out about one item, and to whom."""

    item: ActionItem
    level: str
    people: tuple[Person, ...]


def due_reminders(today: date) -> list[DueReminder]:
    """What is to go out today (UTC), of published incidents; three queries, whatever the number of items."""
    items = list(
        ActionItem.objects.filter(status__in=OPEN_STATUSES, incident__status=Status.PUBLISHED)
        .select_related("incident", "owner")
        .prefetch_related("incident__participants__person")
        .order_by("due_on", "incident__number", "number")
    )
    last: dict[int, Sent] = {}
    for action, level, on in (
        Reminder.objects.filter(action__in=[item.pk for item in items])
        .order_by("sent_on", "pk")
        .values_list("action", "level", "sent_on")
    ):
        last[action] = Sent(level, on)
    found = []
    for item in items:
        level = level_on(item.due_on, today, item.incident.severity)
        if is_due(level, last.get(item.pk), today):
            others = _facilitators(item.incident) if level == ESCALATED else []
            people = {person.pk: person for person in [item.owner, *others] if person.is_active}
            found.append(DueReminder(item, level, tuple(people.values())))
    return found


def keep_reminder(due: DueReminder, today: date) -> bool:
    """Write down that it goes out; False when another worker was first, so that nobody hears of it twice."""
    try:
        with transaction.atomic():
            for person in due.people:
                Reminder.objects.create(action=due.item, level=due.level, to=person, sent_on=today)
            audit.record(
                person=None, action="action.remind", subject=str(due.item), object_id=due.item.pk,
                incident_number=due.item.incident.number,
                after={"level": due.level, "to": [person.name for person in due.people]},
            )  # fmt: skip
    except IntegrityError:
        return False
    return True


def latest_reminders(incident: Incident) -> dict[int, list[Reminder]]:
    """Item id to the reminders of the last day on which some went out. One query."""
    found: dict[int, list[Reminder]] = {}
    for one in Reminder.objects.filter(action__incident=incident).select_related("to").order_by("-sent_on", "pk"):
        kept = found.setdefault(one.action_id, [])
        if not kept or kept[0].sent_on == one.sent_on:
            kept.append(one)
    return found


def escalated_to(person: Person) -> QuerySet[ActionItem]:
    """Unfinished items of others that were escalated to `person`, on incidents that they may see, oldest first."""
    return (
        ActionItem.objects.filter(
            status__in=OPEN_STATUSES,
            incident__in=visible_incidents(person).order_by().values("pk"),
            pk__in=Reminder.objects.filter(to=person, level=ESCALATED).values("action"),
        )
        .exclude(owner=person)
        .select_related("incident", "owner__team")
        .order_by("due_on", "incident__number", "number")
    )


def _facilitators(incident: Incident) -> Iterable[Person]:
    return [one.person for one in incident.participants.all() if one.role == ParticipantRole.FACILITATOR]
