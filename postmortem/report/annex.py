"""The annex's extra fields of one incident: every save is a revision, and all of them stay."""

from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.states import refuse_published
from postmortem.lib.clock import format_moment, utc_now
from postmortem.lib.errors import EditConflict
from postmortem.report import article73
from postmortem.report.models import AnnexRevision


def annex_rules() -> dict[str, Any]:
    """The rules in force: the administrator's file, else the shipped one."""
    return article73.load_rules(settings.ARTICLE73_RULES)


def latest_annex(incident: Incident) -> AnnexRevision | None:
    """What is stored now; None before the first save."""
    return incident.annex_revisions.select_related("edited_by").first()


def annex_history(incident: Incident) -> list[AnnexRevision]:
    """All revisions, newest first."""
    return list(incident.annex_revisions.select_related("edited_by"))


def annex_values(incident: Incident) -> tuple[dict[str, Any], int]:
    """Stored values and their revision; before the first save the authority of the rules and revision 0."""
    stored = latest_annex(incident)
    if stored:
        return dict(stored.values), stored.revision
    default = annex_rules()["default_authority"]
    found = {f"authority_{key}": value for key, value in default.items() if value}
    if settings.ORGANISATION_NAME:
        found["provider_name"] = settings.ORGANISATION_NAME
    return found | {"system_name": incident.feature.name}, 0


def annex_state(incident: Incident) -> dict[str, Any]:
    """What a page or a client needs to edit the annex: values, revision, missing labels, clocks, rules."""
    rules = annex_rules()
    values, revision = annex_values(incident)
    detected = format_moment(incident.detected_at) if incident.detected_at else None
    return {
        "revision": revision,
        "values": values,
        "missing": article73.missing_fields(rules, values),
        "clocks": article73.clocks(rules, values, detected),
        "rules": rules,
    }


def save_annex(*, incident: Incident, by: Person, values: dict[str, Any], revision: int) -> AnnexRevision:
    """Store `values` as the next revision; fields that are left out become empty.

    Raises UserError for a wrong value or a published incident, EditConflict when somebody saved after
    `revision` was read, PermissionDenied.
    """
    require(by, Capability.REVIEW, incident)
    checked = article73.check_values(annex_rules(), values)
    with transaction.atomic():
        Incident.objects.select_for_update(of=("self",)).get(pk=incident.pk)
        refuse_published(incident)
        stored = latest_annex(incident)
        current = stored.revision if stored else 0
        before = dict(stored.values) if stored else {}
        if current != revision:
            raise _conflict(before, current)
        if stored and before == checked:
            return stored
        try:
            with transaction.atomic():
                row = AnnexRevision.objects.create(
                    incident=incident, revision=current + 1, values=checked, edited_by=by, edited_at=utc_now()
                )
        except IntegrityError as error:
            raise _conflict(before, current) from error
        changed = [name for name in {**before, **checked} if before.get(name) != checked.get(name)]
        audit.record(
            person=by, action="annex.edit", subject=f"Article 73 annex, revision {row.revision}",
            incident_number=incident.number,
            before={name: before[name] for name in changed if name in before},
            after={name: checked[name] for name in changed if name in checked},
        )  # fmt: skip
    return row


def annex_section(incident: Incident) -> dict[str, Any] | None:
    """The annex as the record freezes it, with the rules that it was written under."""
    stored = latest_annex(incident)
    if stored is None:
        return None
    return {
        "revision": stored.revision,
        "edited_by": stored.edited_by.name,
        "edited_at": format_moment(stored.edited_at),
        "values": stored.values,
        "rules": annex_rules(),
    }


def _conflict(current: dict[str, object], revision: int) -> EditConflict:
    return EditConflict(
        "Somebody else saved the annex while you were editing it; compare and save again.",
        current=current, revision=revision,
    )  # fmt: skip
