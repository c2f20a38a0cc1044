"""Gathers the facts for the prefills from the rooms below."""

from collections.abc import Mapping
from datetime import datetime

from django.db.models import Avg, Count, Q

from postmortem.attribution.models import Finding
from postmortem.changes.selectors import read_join
from postmortem.incidents.models import Incident
from postmortem.lib.layers import Layer
from postmortem.review.facts import ChangeFact, FacetFact, MoveFact, ReviewFacts, WindowFact
from postmortem.traces.models import Trace
from postmortem.traces.selectors import facet_coverage


def review_facts(incident: Incident, finding: Finding | None) -> ReviewFacts:
    """What is known now: the join of the present evidence, and `finding`, the latest attribution run."""
    baseline = (incident.baseline_start, incident.baseline_end)
    during = (incident.incident_start, incident.incident_end)
    windows = _windows(incident, {"baseline": baseline, "incident": during})
    joined = read_join(incident)
    return ReviewFacts(
        trace_count=windows.pop("all").count,
        changes=tuple(
            ChangeFact(
                id=row.change.external_id,
                layer=Layer(row.change.layer),
                summary=row.change.summary,
                at=row.change.at,
                until=row.change.until,
                rollout=row.change.rollout,
                facet=row.change.facet,
                from_version=row.change.from_version,
                to_version=row.change.to_version,
                canary_share=row.change.canary_share,
                is_rollback=row.change.is_rollback,
                exposed_count=row.exposed_count,
                state=row.state,
            )
            for row in joined.ledger
        ),
        never_observed={row.change_id: row.reason for row in joined.reconciliation.never_observed},
        moves=tuple(
            MoveFact(
                move.facet,
                move.layer,
                move.from_version,
                move.to_version,
                move.at,
                move.trace_count,
                ", ".join(f"{facet} {value}" for facet, value in move.scope.items()),
            )
            for move in joined.reconciliation.never_logged
        ),
        facets={
            row.name: FacetFact(row.name, row.count, tuple(row.values)) for row in facet_coverage(incident) if row.count
        },
        baseline=windows["baseline"],
        incident=windows["incident"],
        finding=finding.result if finding else None,
        finding_number=finding.number if finding else None,
        onset_at=incident.onset_at,
        detected_at=incident.detected_at,
        mitigated_at=incident.mitigated_at,
    )


def _windows(
    incident: Incident, spans: Mapping[str, tuple[datetime | None, datetime | None]]
) -> dict[str, WindowFact | None]:
    """Sums over all traces ("all") and over each span; one query. None for a span without both ends."""
    within = {"all": Q()}
    for name, (start, end) in spans.items():
        if start is not None and end is not None:
            within[name] = Q(timestamp__gte=start, timestamp__lt=end)
    sums = {}
    for name, condition in within.items():
        sums[f"{name}_count"] = Count("pk", filter=condition)
        sums[f"{name}_errors"] = Count("pk", filter=condition & Q(has_error=True))
        sums[f"{name}_tokens"] = Avg("input_tokens", filter=condition)
        sums[f"{name}_latency"] = Avg("latency_seconds", filter=condition)
    row = Trace.objects.filter(incident=incident).aggregate(**sums)
    return {
        name: WindowFact(row[f"{name}_count"], row[f"{name}_errors"], row[f"{name}_tokens"], row[f"{name}_latency"])
        if name in within
        else None
        for name in ("all", *spans)
    }
