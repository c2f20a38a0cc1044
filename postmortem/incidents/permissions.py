"""Who may what: the one module that web, API, commands and background work ask."""

from dataclasses import dataclass
from enum import StrEnum

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet

from postmortem.accounts.models import Person, Role
from postmortem.incidents.models import Incident, Participant, ParticipantRole, Visibility
from postmortem.lib.layers import Layer


class Capability(StrEnum):
    """What somebody may do; the value completes the sentence "You may not …"."""

    VIEW = "see this incident"
    CREATE = "open an incident"
    IMPORT = "import evidence or changes"
    REVIEW = "answer questions, add evidence or edit the record"
    DECIDE = "decide the verdict of this layer"
    SIGN = "sign off for this layer"
    ACT = "add or change action items"
    MANAGE = "change who takes part or who may see this incident"
    PUBLISH = "publish the report"
    REVEAL = "see secrets and personal data in clear"
    CONFIGURE = "change connections, people or teams"


_ROLE_RANK = {
    Role.VIEWER: 0, ParticipantRole.VIEWER: 0,
    Role.REVIEWER: 1, ParticipantRole.REVIEWER: 1, ParticipantRole.SCRIBE: 1, ParticipantRole.LAYER_LEAD: 1,
    Role.FACILITATOR: 2, ParticipantRole.FACILITATOR: 2,
    Role.ADMINISTRATOR: 3,
}  # fmt: skip
_NEEDED_RANK = {
    Capability.VIEW: 0,
    Capability.CREATE: 1,
    Capability.IMPORT: 1,
    Capability.REVIEW: 1,
    Capability.ACT: 1,
    Capability.DECIDE: 2,
    Capability.SIGN: 2,
    Capability.MANAGE: 2,
    Capability.PUBLISH: 2,
    Capability.REVEAL: 2,
    Capability.CONFIGURE: 3,
}


def visible_incidents(person: Person) -> QuerySet[Incident]:
    """Incidents that `person` may see, by visibility, team and participation."""
    if not person.is_active:
        return Incident.objects.none()
    if person.role == Role.ADMINISTRATOR:
        return Incident.objects.all()
    # A subquery and not a join: no doubled rows, and callers may count, slice and annotate.
    takes_part = Exists(Participant.objects.filter(incident=OuterRef("pk"), person=person))
    visible = Q(visibility=Visibility.EVERYONE) | Q(created_by=person) | Q(takes_part)
    if person.team_id:
        visible |= Q(visibility=Visibility.TEAM, feature__team_id=person.team_id)
    return Incident.objects.filter(visible)


def may(person: Person, capability: Capability, incident: Incident | None = None, layer: Layer | str = "") -> bool:
    """Whether `person` may use `capability`, on `incident` and `layer` where that matters.

    A layer lead decides and signs for the own layer; a facilitator decides for any layer
    but signs only as facilitator (layer ""), so that a signature stays the lead's own.
    """
    if incident is None:
        return person.is_active and _ROLE_RANK[Role(person.role)] >= _NEEDED_RANK[capability]
    part = _part(person, incident)
    return part is not None and _allows(part, capability, str(layer))


def capabilities(person: Person, incident: Incident, layer: Layer | str = "") -> set[Capability]:
    """All that `person` may do on `incident`, for pages that show or hide controls; one query."""
    part = _part(person, incident)
    return set() if part is None else {each for each in Capability if _allows(part, each, str(layer))}


def require(person: Person, capability: Capability, incident: Incident | None = None, layer: Layer | str = "") -> None:
    """Raise PermissionDenied with one sentence unless `person` may."""
    if not may(person, capability, incident, layer):
        raise PermissionDenied(f"You may not {capability.value}. Ask the facilitator or an administrator.")


@dataclass(frozen=True, slots=True)
class _Part:
    """Rank on one incident (the higher of own role and part in it) and the layers led."""

    rank: int
    leads: frozenset[str]


def _part(person: Person, incident: Incident) -> _Part | None:
    """None when `person` may not even see the incident."""
    if not person.is_active:
        return None
    rows = list(Participant.objects.filter(incident=incident, person=person).values_list("role", "layer"))
    if not (rows or incident.created_by_id == person.pk or _sees_without_part(person, incident)):
        return None
    rank = max([_ROLE_RANK[Role(person.role)], *(_ROLE_RANK[ParticipantRole(role)] for role, _ in rows)])
    return _Part(rank, frozenset(layer for role, layer in rows if role == ParticipantRole.LAYER_LEAD))


def _allows(part: _Part, capability: Capability, layer: str) -> bool:
    if layer and capability is Capability.SIGN:
        return layer in part.leads
    if layer and capability is Capability.DECIDE and layer in part.leads:
        return True
    return part.rank >= _NEEDED_RANK[capability]


def _sees_without_part(person: Person, incident: Incident) -> bool:
    if person.role == Role.ADMINISTRATOR or incident.visibility == Visibility.EVERYONE:
        return True
    return (
        incident.visibility == Visibility.TEAM
        and person.team_id is not None
        and incident.feature.team_id == person.team_id
    )
