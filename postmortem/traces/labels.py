"""Reviewers say of traces whether they fail or are fine; the labels are a signal named `label` (1 failing, 0 fine).

Every label is kept. The one that counts stands beside the trace's scores as well, so that the list, the join and
the attribution read it like any other signal.
"""

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.services import refuse_published
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.models import Score, Trace, TraceLabel
from postmortem.traces.signals import LABEL, LABEL_ID


def label_trace(*, trace: Trace, by: Person, value: str) -> TraceLabel:
    """Label a trace `fail` or `fine`; earlier labels stay as history.

    Raises PermissionDenied, and UserError for another value or a published incident.
    """
    incident = trace.incident
    require(by, Capability.REVIEW, incident)
    refuse_published(incident)
    if value not in TraceLabel.Value.values:
        raise UserError("A label is either fail or fine; choose one of the two.")
    with transaction.atomic():
        Trace.objects.select_for_update().only("pk").get(pk=trace.pk)
        label = TraceLabel.objects.create(trace=trace, by=by, value=value)
        _carry(trace)
        _note(incident, by, "label trace", label)
    return label


def withdraw_label(*, label: TraceLabel, by: Person) -> None:
    """Take a label back; the one before it counts again. Only who gave it may, and a facilitator.

    Taking it back twice changes nothing. Raises PermissionDenied, UserError for a published incident.
    """
    trace, incident = label.trace, label.trace.incident
    require(by, Capability.REVIEW if label.by_id == by.pk else Capability.MANAGE, incident)
    refuse_published(incident)
    with transaction.atomic():
        Trace.objects.select_for_update().only("pk").get(pk=trace.pk)
        if not TraceLabel.objects.filter(pk=label.pk, withdrawn_at=None).update(withdrawn_at=utc_now()):
            return
        _carry(trace)
        _note(incident, by, "withdraw label", label)


def _carry(trace: Trace) -> None:
    """Bring the score in line with the label that counts now."""
    counts = TraceLabel.objects.filter(trace=trace, withdrawn_at=None).order_by("-at", "-id").first()
    if counts is None:
        Score.objects.filter(trace=trace, external_id=LABEL_ID).delete()
        return
    failing = counts.value == TraceLabel.Value.FAIL
    Score.objects.update_or_create(
        trace=trace,
        external_id=LABEL_ID,
        defaults={"name": LABEL, "value": float(failing), "source": "LABEL", "timestamp": counts.at},
    )


def _note(incident: Incident, by: Person, action: str, label: TraceLabel) -> None:
    given, none = {"label": label.get_value_display()}, dict[str, str]()
    before, after = (given, none) if action == "withdraw label" else (none, given)
    audit.record(
        person=by, action=action, subject=label.trace.external_id, incident_number=incident.number,
        object_id=label.pk, before=before, after=after,
    )  # fmt: skip
