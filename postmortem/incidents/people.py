"""Who takes part in an incident, and as what."""

from django.db import IntegrityError, transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident, Participant, ParticipantRole
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYERS


def set_participant(*, incident: Incident, by: Person, person: Person, role: str, layer: str = "") -> Participant:
    """Give `person` a part. Leading a layer replaces that layer's lead; any other role replaces
    the person's other role, so that somebody leads layers and is at most one thing besides.

    Raises UserError (unknown role or layer, inactive person, the last facilitator), PermissionDenied.
    """
    require(by, Capability.MANAGE, incident)
    if role not in ParticipantRole.values:
        raise UserError(f"“{str(role)[:40]}” is not a role; choose one of {', '.join(ParticipantRole.values)}.")
    leads = role == ParticipantRole.LAYER_LEAD
    if leads and layer not in {str(known) for known in LAYERS}:
        raise UserError("A layer lead needs a layer; choose model, prompt, retrieval or infrastructure.")
    if not leads and layer:
        raise UserError("Only a layer lead goes with a layer; leave the layer empty for any other role.")
    if not person.is_active:
        raise UserError(f"{person.name} is not active any more; choose an active person.")
    try:
        with transaction.atomic():
            if leads:
                before, participant = _set_lead(incident, person, str(layer))
            else:
                before, participant = _set_role(incident, person, str(role))
            audit.record(
                person=by,
                action="participant.set",
                subject=f"{person.name} as {role}{' of ' + layer if layer else ''}",
                incident_number=incident.number,
                before=before,
                after={"person": person.email, "role": str(role), "layer": str(layer)},
            )
    except IntegrityError as error:
        raise UserError("Somebody changed the participants at the same moment; look again and repeat.") from error
    return participant


def remove_participant(*, incident: Incident, by: Person, participant: Participant) -> None:
    """Take a part away. Raises UserError for the last facilitator, PermissionDenied."""
    require(by, Capability.MANAGE, incident)
    with transaction.atomic():
        if participant.role == ParticipantRole.FACILITATOR:
            _refuse_last_facilitator(incident, participant.person)
        deleted, _ = Participant.objects.filter(pk=participant.pk, incident=incident).delete()
        if not deleted:
            raise UserError("This participant was removed already.")
        audit.record(
            person=by,
            action="participant.remove",
            subject=f"{participant.person.name} as {participant.role}",
            incident_number=incident.number,
            before={
                "person": participant.person.email, "role": participant.role, "layer": participant.layer,
            },
        )  # fmt: skip


def _set_lead(incident: Incident, person: Person, layer: str) -> tuple[dict[str, str], Participant]:
    lead = Participant.objects.filter(incident=incident, role=ParticipantRole.LAYER_LEAD, layer=layer)
    previous = lead.select_related("person").first()
    if previous is None:
        return {}, Participant.objects.create(
            incident=incident, person=person, role=ParticipantRole.LAYER_LEAD, layer=layer
        )
    lead.update(person=person)
    return {"person": previous.person.email}, lead.select_related("person").get()


def _set_role(incident: Incident, person: Person, role: str) -> tuple[dict[str, str], Participant]:
    others = Participant.objects.filter(incident=incident, person=person).exclude(role=ParticipantRole.LAYER_LEAD)
    previous = others.first()
    if previous is None:
        return {}, Participant.objects.create(incident=incident, person=person, role=role)
    if previous.role == ParticipantRole.FACILITATOR and role != ParticipantRole.FACILITATOR:
        _refuse_last_facilitator(incident, person)
    others.exclude(pk=previous.pk).delete()
    Participant.objects.filter(pk=previous.pk).update(role=role)
    return {"role": previous.role}, Participant.objects.select_related("person").get(pk=previous.pk)


def _refuse_last_facilitator(incident: Incident, person: Person) -> None:
    facilitators = Participant.objects.filter(incident=incident, role=ParticipantRole.FACILITATOR)
    if not facilitators.exclude(person=person).exists():
        raise UserError(f"{person.name} is the only facilitator; name another one first.")
