"""Dissent: who disagrees with a layer's verdict, by name and with a reason. The verdict stands, and so does this."""

from django.db.models import F
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.review.editing import editing, known_layer, log_edit
from postmortem.review.models import Dissent, Verdict
from postmortem.review.wording import LONG, clean_text


def record_dissent(*, incident: Incident, by: Person, layer: Layer | str, value: str, reason: str) -> Dissent:
    """Say that `by` would have decided `value`, and why; one dissent a person and layer, the latest stands.

    Raises UserError (no verdict yet, the same value as the verdict, no reason, published), PermissionDenied.
    """
    layer = known_layer(layer)
    if value not in Verdict.Value.values:
        raise UserError("A verdict is IN, OUT or INSUFFICIENT.")
    reason = clean_text(reason, what="The reason for the dissent", limit=LONG)
    with editing(incident, by):
        verdict = incident.verdicts.filter(layer=layer).first()
        if verdict is None:
            raise UserError("There is no verdict to dissent from yet.")
        if verdict.value == value:
            raise UserError(f"The verdict is {value.upper()} already; say what you would have decided instead.")
        stored = incident.dissents.filter(layer=layer, person=by).first()
        before = {"value": stored.value, "reason": stored.reason} if stored else {}
        new = {"value": value, "reason": reason}
        if before == new:
            return stored  # type: ignore[return-value]
        stored, _ = Dissent.objects.update_or_create(
            incident=incident, layer=layer, person=by, defaults={**new, "at": timezone.now()}
        )
        log_edit(by, incident, "dissent.add", layer.label, before, new | {"layer": layer.value}, stored.pk)
    return stored


def withdraw_dissent(*, dissent: Dissent, by: Person) -> None:
    """Take one's own dissent back; the history keeps it. Raises UserError for somebody else's, and when published."""
    incident = dissent.incident
    if dissent.person_id != by.pk:
        raise UserError(f"Only {dissent.person} can take this dissent back.")
    with editing(incident, by):
        deleted, _ = Dissent.objects.filter(pk=dissent.pk, person=by).delete()
        if deleted:
            before = {"value": dissent.value, "reason": dissent.reason, "layer": dissent.layer}
            log_edit(by, incident, "dissent.withdraw", dissent.get_layer_display(), before, {}, dissent.pk)


def standing_dissents(incident: Incident) -> list[Dissent]:
    """Dissents that still differ from their layer's verdict, by layer and time; one query."""
    same = incident.verdicts.filter(layer=F("incident__dissents__layer"), value=F("incident__dissents__value"))
    agreed = same.values_list("incident__dissents__pk", flat=True)
    rows = incident.dissents.exclude(pk__in=agreed).select_related("person")
    return list(rows.order_by("layer", "at", "id"))
