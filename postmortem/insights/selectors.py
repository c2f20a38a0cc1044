"""What is read across incidents: open and overdue actions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.db.models import Count, Min, Q, QuerySet

from postmortem.accounts.models import Person
from postmortem.actions.models import ActionItem
from postmortem.incidents.permissions import visible_incidents
from postmortem.lib.clock import utc_now

# Done is not enough: an item counts until somebody verified it.
UNFINISHED = (ActionItem.Status.OPEN, ActionItem.Status.DONE)


@dataclass(frozen=True, slots=True)
class ActionCounts:
    """Action items of one incident that are not verified or dropped."""

    unfinished: int = 0
    overdue: int = 0
    next_due_on: date | None = None


def overdue_actions(person: Person, *, today: date | None = None) -> QuerySet[ActionItem]:
    """Unfinished items past their due date (UTC) on incidents that `person` may see, longest overdue first."""
    return (
        ActionItem.objects.filter(
            incident__in=visible_incidents(person).order_by().values("pk"),
            status__in=UNFINISHED,
            due_on__lt=today or utc_now().date(),
        )
        .select_related("incident", "owner__team")
        .order_by("due_on", "incident__number", "number")
    )


def open_action_counts(incident_ids: Iterable[int], *, today: date | None = None) -> dict[int, ActionCounts]:
    """Counts for each incident, zero for those without items; one query whatever the number."""
    ids = list(incident_ids)
    rows = (
        ActionItem.objects.filter(incident_id__in=ids, status__in=UNFINISHED)
        .order_by()
        .values("incident_id")
        .annotate(
            unfinished=Count("pk"),
            overdue=Count("pk", filter=Q(due_on__lt=today or utc_now().date())),
            next_due_on=Min("due_on"),
        )
    )
    counts = {row.pop("incident_id"): ActionCounts(**row) for row in rows}
    return {pk: counts.get(pk, ActionCounts()) for pk in ids}
