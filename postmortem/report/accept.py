"""Accepting a proposed text: it becomes the team's own, under the name of who accepted it."""

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.services import update_incident
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.report.models import MachineDraft
from postmortem.report.record import assemble_record
from postmortem.report.summaries import FIELDS, ProposedText, propose


def proposals(incident: Incident) -> list[ProposedText]:
    """What the templates say of the record as stored now, for the fields that nobody has written yet."""
    return [one for one in propose(assemble_record(incident)) if not getattr(incident, one.field).strip()]


def machine_drafts(incident: Incident) -> list[MachineDraft]:
    """The latest draft of each text that a model wrote and nobody has accepted yet."""
    latest: dict[str, MachineDraft] = {}
    for one in incident.machine_drafts.select_related("asked_by")[:60]:
        latest.setdefault(one.field, one)
    return [one for field in FIELDS if (one := latest.get(field)) and one.accepted_at is None]


def supported_text(draft: MachineDraft) -> str:
    """The sentences of a draft that rest on facts, as one paragraph: what stands in the field to begin with."""
    return " ".join(str(one["text"]) for one in draft.sentences if not one["doubt"])


def accept_text(
    *, incident: Incident, by: Person, field: str, text: str, revision: int, draft: int | None = None
) -> Incident:
    """Store `text`, as proposed or edited, in the incident's `field`.

    `draft` is the id of the machine draft that it came from, if it did. The audit log keeps the hash of the proposal
    and whether people changed it. Raises UserError for a field
    without a proposal or an empty text, EditConflict by `revision`, PermissionDenied.
    """
    require(by, Capability.REVIEW, incident)
    if field not in FIELDS:
        raise UserError(f"No text is proposed for “{field[:40]}”; there are summary, impact and detection_gap.")
    if not text.strip():
        raise UserError("An empty text cannot be accepted; write it or leave the proposal.")
    made = {one.field: one.text for one in propose(assemble_record(incident))}
    source = "templates"
    if draft is not None:
        written = incident.machine_drafts.filter(pk=draft, field=field).first()
        if written is None:
            raise UserError("This draft is gone; reload the page.")
        made, source = {field: supported_text(written)}, written.model
    with transaction.atomic():
        update_incident(incident=incident, by=by, revision=revision, **{field: text.strip()})
        incident.machine_drafts.filter(pk=draft).update(accepted_at=utc_now())
        audit.record(
            person=by, action="text.accept", subject=FIELDS[field], incident_number=incident.number,
            after={
                "source": source,
                "proposal_sha256": sha256_hex(made[field].encode()) if field in made else "",
                "edited": made.get(field) != text.strip(),
            },
        )  # fmt: skip
    return Incident.objects.get(pk=incident.pk)
