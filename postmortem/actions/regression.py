"""After verification: the traces that failed, kept as a test that the failure must never pass again."""

import json
from collections.abc import Iterator
from typing import Any

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.actions.following import plan_of
from postmortem.actions.models import ActionItem, VerificationCheck, VerificationPlan
from postmortem.attribution.replays import replay_set
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError

MOST_TRACES = 40


def regression_case(*, action: ActionItem, by: Person, count: int = MOST_TRACES) -> list[dict[str, Any]]:
    """Langfuse dataset items of the incident's failing traces: bodies of `POST /api/public/dataset-items`.

    Each says which item mended it and what the check after the fix found. Texts are masked. Raises UserError before
    the item is verified or without failing traces, PermissionDenied.
    """
    incident = action.incident
    require(by, Capability.REVIEW, incident)
    if action.status != ActionItem.Status.VERIFIED:
        raise UserError(f"A-{action.number} is not verified yet; its regression case follows the verification.")
    lines = replay_set(incident=incident, by=by, count=min(max(count, 1), MOST_TRACES), clear=False)
    plan = plan_of(VerificationPlan.objects.filter(action=action).first())
    check = VerificationCheck.objects.filter(action=action).order_by("-checked_at", "-id").first()
    about = {
        "incident": incident.number,
        "action": f"A-{action.number} {action.title}",
        "verified": action.status_note,
        "must_hold": plan.sentence() if plan else action.verification,
        "after_the_fix": _found(check),
    }
    with transaction.atomic():
        audit.record(
            person=by, action="action.regression", subject=str(action), object_id=action.pk,
            incident_number=incident.number, after={"traces": len(lines)},
        )  # fmt: skip
    return [
        {
            "datasetName": f"{incident.number} regression A-{action.number}",
            "input": line["input"],
            "expectedOutput": line["expected_output"],
            "sourceTraceId": line["id"],
            "metadata": about | {"failed_with": line["output"], "versions": line["versions"]},
        }
        for line in lines
    ]


def as_lines(items: list[dict[str, Any]]) -> Iterator[bytes]:
    """One dataset item a line."""
    return (json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in items)


def _found(check: VerificationCheck | None) -> dict[str, Any] | None:
    if check is None or check.mean is None:
        return None
    return {
        "rate": check.mean, "interval": [check.low, check.high], "traces": check.count,
        "window": [check.window_start.isoformat(), check.window_end.isoformat()], "outcome": check.outcome,
    }  # fmt: skip
