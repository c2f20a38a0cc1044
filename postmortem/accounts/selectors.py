"""Reads of accounts."""

from django.db.models import QuerySet

from postmortem.accounts.models import AuditEntry, Person, Team


def active_people() -> QuerySet[Person]:
    """People who can own and decide, with their team, by name."""
    return Person.objects.filter(is_active=True).select_related("team").order_by("name", "email")


def teams() -> QuerySet[Team]:
    """All teams by name."""
    return Team.objects.order_by("name")


def audit_entries(incident_number: str) -> QuerySet[AuditEntry]:
    """What was done on one incident, newest first, with who did it."""
    return AuditEntry.objects.filter(incident_number=incident_number).select_related("person")
