"""Reads of incidents: what somebody may see, who takes part."""

from django.db.models import Q, QuerySet

from postmortem.accounts.models import Person
from postmortem.incidents.models import Feature, Incident, Participant, ParticipantRole, Status, TimelineEntry
from postmortem.incidents.permissions import visible_incidents
from postmortem.lib.layers import Layer


def incident_list(person: Person, *, text: str = "", status: str = "") -> QuerySet[Incident]:
    """Incidents that `person` may see, newest first; `text` is looked for in number, title and feature.

    An unknown `status` gives an empty list. One query; the feature and its team come along.
    """
    incidents = visible_incidents(person).select_related("feature__team", "created_by")
    if text := text.strip()[:200]:
        incidents = incidents.filter(
            Q(number__icontains=text) | Q(title__icontains=text) | Q(feature__name__icontains=text)
        )
    if status:
        incidents = incidents.filter(status=status) if status in Status.values else incidents.none()
    return incidents


def get_incident(person: Person, number: str) -> Incident:
    """The incident with `number`, with its feature and creator.

    Raises Incident.DoesNotExist when there is none and, just the same, when `person` may not see it.
    """
    return visible_incidents(person).select_related("feature__team", "created_by").get(number=number)


def participants(incident: Incident) -> QuerySet[Participant]:
    """Who takes part, facilitators first, with person and team."""
    return incident.participants.select_related("person__team").order_by("role", "layer", "person__name")


def layer_lead(incident: Incident, layer: Layer | str) -> Person | None:
    """The one person who leads `layer` on this incident."""
    lead = (
        Participant.objects.filter(incident=incident, role=ParticipantRole.LAYER_LEAD, layer=str(layer))
        .select_related("person__team")
        .first()
    )
    return lead.person if lead else None


def facilitators(incident: Incident) -> list[Person]:
    """People who facilitate this incident, by name."""
    rows = incident.participants.filter(role=ParticipantRole.FACILITATOR).select_related("person__team")
    return [row.person for row in rows.order_by("person__name")]


def timeline_entries(incident: Incident, *, include_hidden: bool = False) -> QuerySet[TimelineEntry]:
    """Notes on the timeline in order of time."""
    entries = incident.timeline_entries.select_related("written_by").order_by("at", "id")
    return entries if include_hidden else entries.filter(hidden=False)


def features() -> QuerySet[Feature]:
    """All AI features with their teams, by name."""
    return Feature.objects.select_related("team").order_by("name")
