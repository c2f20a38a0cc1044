"""Following an action up: its plan of verification, checks on fresh traces, what looks like it elsewhere."""

from dataclasses import asdict, dataclass

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.actions.models import ActionItem, VerificationCheck, VerificationPlan
from postmortem.actions.services import OPEN_STATUSES
from postmortem.actions.similarity import ALIKE, likeness
from postmortem.actions.verification import NO_DATA, Plan, checked_plan, judge
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require, visible_incidents
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.traces.selectors import trace_records
from postmortem.traces.signals import signal_value

_MOST_COMPARED = 2_000  # open items of other incidents that a title is compared with
_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Alike:
    """An open item of another incident that may promise the same; `likeness` is 0 to 1."""

    item: ActionItem
    likeness: float


def plan_verification(*, action: ActionItem, by: Person, plan: Plan | None) -> VerificationPlan | None:
    """Say by which signal, threshold and window the workbench can check the item itself; None takes it away.

    Follow-up goes on after publication. Raises UserError, PermissionDenied.
    """
    require(by, Capability.ACT, action.incident)
    with transaction.atomic():
        ActionItem.objects.select_for_update(of=("self",)).get(pk=action.pk)
        stored = VerificationPlan.objects.filter(action=action).first()
        before = plan_of(stored)
        if plan is not None:
            plan = checked_plan(plan.signal, plan.comparison, plan.threshold, plan.days)
        if before == plan:
            return stored
        if plan is None:
            VerificationPlan.objects.filter(action=action).delete()
            stored = None
        else:
            fields = {name: getattr(plan, name) for name in ("signal", "comparison", "threshold", "days")}
            stored, _ = VerificationPlan.objects.update_or_create(action=action, defaults=fields)
        audit.record(
            person=by, action="action.plan", subject=str(action), incident_number=action.incident.number,
            before=asdict(before) if before else {}, after=asdict(plan) if plan else {},
            object_id=action.pk,
        )  # fmt: skip
    return stored


def plan_of(stored: VerificationPlan | None) -> Plan | None:
    """A stored plan as a value."""
    if stored is None:
        return None
    return Plan(stored.signal, stored.comparison, stored.threshold, stored.days)


def check_action(*, action: ActionItem, by: Person | None) -> VerificationCheck:
    """Judge the item's plan on the traces that came after the incident, and keep what was found.

    `by` is None for the command. The item's status stays: people move it on. Raises UserError without a plan,
    PermissionDenied.
    """
    incident = action.incident
    if by is not None:
        require(by, Capability.ACT, incident)
    stored = VerificationPlan.objects.filter(action=action).first()
    plan = plan_of(stored)
    if plan is None:
        raise UserError(f"A-{action.number} has no signal, threshold and window yet; change the item to give them.")
    after = max((at for at in (incident.mitigated_at, incident.incident_end) if at is not None), default=None)
    if after is None:
        raise UserError("Set the time of mitigation or the incident window first: what came after it is judged.")
    values = [
        (record.timestamp, float(value))
        for record in trace_records(incident, start=after)
        if (value := signal_value(record, plan.signal)) is not None
    ]
    found = judge(plan, values, after)
    with transaction.atomic():
        check = VerificationCheck.objects.create(
            action=action, checked_by=by, plan=plan.sentence(), outcome=found.outcome, window_start=found.start,
            window_end=found.end, count=found.count, mean=found.mean, low=found.low, high=found.high,
            sentence=found.sentence[:600],
        )  # fmt: skip
        audit.record(
            person=by, action="action.check", subject=str(action), incident_number=incident.number,
            after={"outcome": check.get_outcome_display(), "found": check.sentence}, object_id=action.pk,
        )  # fmt: skip
    return check


def check_open_actions(incident: Incident, by: Person | None) -> list[VerificationCheck]:
    """Check every item of the incident that is open or done and has a plan; those without fresh traces too."""
    items = incident.action_items.filter(status__in=OPEN_STATUSES, plan__isnull=False).select_related("incident")
    return [check_action(action=item, by=by) for item in items.order_by("number")]


def latest_checks(incident: Incident) -> dict[int, VerificationCheck]:
    """Item id to its latest check that had traces to judge, else to its latest. One query."""
    found: dict[int, VerificationCheck] = {}
    for check in (
        VerificationCheck.objects.filter(action__incident=incident).order_by("id").select_related("checked_by")
    ):
        there = found.get(check.action_id)
        if there is None or check.outcome != NO_DATA or there.outcome == NO_DATA:
            found[check.action_id] = check
    return found


def alike_elsewhere(
    *, incident: Incident, person: Person, title: str, layer: Layer | str = "", kind: str = ""
) -> list[Alike]:
    """Open items of other incidents that `person` may see and that may promise the same, most alike first.

    One query; a title of the same layer and kind counts as a little more alike.
    """
    if len(title.strip()) < len("Pin it"):
        return []
    items = (
        ActionItem.objects.filter(
            status__in=OPEN_STATUSES, incident__in=visible_incidents(person).order_by().values("pk")
        )
        .exclude(incident=incident)
        .select_related("incident", "owner")
        .order_by("-id")[:_MOST_COMPARED]
    )
    found = []
    for item in items:
        extra = 0.05 * (item.layer == str(layer)) + 0.05 * (item.kind == str(kind))
        alike = likeness(title, item.title)
        if alike and alike + extra >= ALIKE:
            found.append(Alike(item, min(1.0, alike + extra)))
    return sorted(found, key=lambda one: -one.likeness)[:_MOST_SHOWN]
