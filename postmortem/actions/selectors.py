"""Reads of action items."""

from collections.abc import Iterable

from django.db.models import Count, QuerySet

from postmortem.accounts.models import Person
from postmortem.actions.models import ActionItem
from postmortem.actions.services import OPEN_STATUSES
from postmortem.incidents.models import Incident
from postmortem.review import selectors as review
from postmortem.review.causal_graph import CausalGraph


def actions_for(incident: Incident) -> QuerySet[ActionItem]:
    """The incident's items by due date, with owner, the owner's team and the factor that each cuts. One query."""
    items = incident.action_items.select_related("owner__team", "cuts_factor", "created_by", "plan")
    return items.order_by("due_on", "number")


def open_load(people: Iterable[Person]) -> dict[int, int]:
    """How many items that are open or not yet verified each person owns, 0 included. One query."""
    load = {person.pk: 0 for person in people}
    counts = (
        ActionItem.objects.filter(owner__in=load, status__in=OPEN_STATUSES)
        .order_by()
        .values_list("owner")
        .annotate(count=Count("pk"))
    )
    return load | dict(counts)


def open_items_of(person: Person) -> QuerySet[ActionItem]:
    """A person's items that are open or not yet verified, with their incidents: what a hand-over moves."""
    return ActionItem.objects.filter(owner=person, status__in=OPEN_STATUSES).select_related("incident__feature")


def cuts(incident: Incident) -> dict[int, list[str]]:
    """Factor id to the items that cut it ("A-1"); dropped items cut nothing. One query."""
    found: dict[int, list[str]] = {}
    items = incident.action_items.exclude(status=ActionItem.Status.DROPPED).filter(cuts_factor__isnull=False)
    for factor_id, number in items.order_by("number").values_list("cuts_factor_id", "number"):
        found.setdefault(factor_id, []).append(f"A-{number}")
    return found


def graph(incident: Incident) -> CausalGraph:
    """The causal graph with everything that cuts it: action items and accepted risks. Gate and pages read this one."""
    return review.graph(incident, cut_by=cuts(incident))
