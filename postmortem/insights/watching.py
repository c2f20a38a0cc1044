"""Closed incidents are watched: does this one look like one of them, and what was promised then and never finished?"""

from dataclasses import dataclass
from typing import Any

from django.db.models import Max

from postmortem.accounts.models import Person
from postmortem.actions.models import ActionItem
from postmortem.attribution.models import Finding
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident, Status
from postmortem.incidents.permissions import visible_incidents
from postmortem.insights.recurrence import LIKELY, ChangeTarget, Shared, Signature, shared, signature
from postmortem.insights.selectors import UNFINISHED
from postmortem.review.models import Verdict

_MOST_WATCHED = 500  # closed incidents, the newest first
_MOST_REMEMBERED = 2_000
_parts: dict[int, dict[str, Any]] = {}  # of findings, which never change: only what a signature needs


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A closed incident that looks the same, what both share, and its items that were never finished."""

    incident: Incident
    shared: Shared
    unfinished: list[ActionItem]


def recurrences(incident: Incident, person: Person) -> list[Recurrence]:
    """Published incidents that `person` may see and that match `incident`, the newest first.

    Empty before its first attribution run. The number of queries does not grow with the incidents.
    """
    closed = list(
        visible_incidents(person)
        .filter(status=Status.PUBLISHED, created_at__lte=incident.created_at)
        .exclude(pk=incident.pk)
        .select_related("feature")
        .order_by("-created_at", "-id")[:_MOST_WATCHED]
    )
    if not closed:
        return []
    known = _signatures([incident, *closed])
    mine = known[incident.pk]
    found = [(other, same) for other in closed if (same := shared(mine, known[other.pk])) is not None]
    if not found:
        return []
    items: dict[int, list[ActionItem]] = {}
    rows = ActionItem.objects.filter(incident__in=[other for other, _ in found], status__in=UNFINISHED)
    for item in rows.select_related("owner").order_by("due_on", "number"):
        items.setdefault(item.incident_id, []).append(item)
    return [Recurrence(other, same, items.get(other.pk, [])) for other, same in found]


def _signatures(incidents: list[Incident]) -> dict[int, Signature]:
    latest = dict(
        Finding.objects.filter(incident__in=incidents).order_by().values_list("incident").annotate(last=Max("pk"))
    )
    parts = _read_parts(set(latest.values()))
    ruled_in: dict[int, list[str]] = {}
    for pk, layer in Verdict.objects.filter(incident__in=incidents, value=Verdict.Value.IN).values_list(
        "incident", "layer"
    ):
        ruled_in.setdefault(pk, []).append(layer)
    features = {one.feature_id for one in incidents}
    ids = {str(c) for pk in latest.values() for row in parts[pk]["hypotheses"] for c in row.get("changes") or []}
    changes: dict[int, dict[str, ChangeTarget]] = {}
    for row in Change.objects.filter(feature__in=features, external_id__in=ids).only(
        "feature", "external_id", "layer", "facet", "scope"
    ):
        changes.setdefault(row.feature_id, {})[row.external_id] = ChangeTarget(row.layer, row.facet, row.scope)
    return {
        one.pk: signature(
            parts.get(latest.get(one.pk, 0)),
            ruled_in=ruled_in.get(one.pk, []),
            changes=changes.get(one.feature_id, {}),
            feature=one.feature.name,
        )
        for one in incidents
    }


def _read_parts(wanted: set[int]) -> dict[int, dict[str, Any]]:
    if len(_parts) > _MOST_REMEMBERED:
        _parts.clear()
    found = {pk: _parts[pk] for pk in wanted if pk in _parts}
    rows = Finding.objects.filter(pk__in=wanted - found.keys()).values_list("pk", "result")
    for pk, result in rows.iterator(chunk_size=20):
        found[pk] = _parts[pk] = {
            "hypotheses": [_picked(row, "kind", "layer", "probability", "changes") for row in _likely(result)],
            "patterns": [_picked(row, "pattern", "answer", "layer") for row in result.get("patterns") or []],
            "reconciliation": {"never_logged": (result.get("reconciliation") or {}).get("never_logged") or []},
        }
    return found


def _likely(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in result.get("hypotheses") or [] if float(row.get("probability") or 0) >= LIKELY]


def _picked(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row.get(name) for name in names}
