"""Gathers the facts for the prefills from the rooms below."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import numpy.typing as npt

from postmortem.attribution.models import Finding
from postmortem.changes.selectors import read_join
from postmortem.incidents.models import Incident
from postmortem.lib.layers import Layer
from postmortem.review.facts import ChangeFact, FacetFact, MoveFact, ReviewFacts, WindowFact
from postmortem.traces.counts import evidence_state
from postmortem.traces.selectors import evidence_counts, facet_coverage
from postmortem.traces.stored_cells import columns_of, number_column


def review_facts(incident: Incident, finding: Finding | None) -> ReviewFacts:
    """What is known now: the join of the present evidence, and `finding`, the latest attribution run."""
    baseline = (incident.baseline_start, incident.baseline_end)
    during = (incident.incident_start, incident.incident_end)
    windows = _windows(incident, {"baseline": baseline, "incident": during})
    joined = read_join(incident)
    return ReviewFacts(
        trace_count=evidence_counts(incident).traces,
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
    """Sums over each span. None for a span without both ends."""
    state = evidence_state(incident)
    columns = columns_of(state)
    found: dict[str, WindowFact | None] = dict.fromkeys(spans)
    for name, (start, end) in spans.items():
        if start is not None and end is not None:
            inside = (columns.seconds >= start.timestamp()) & (columns.seconds < end.timestamp())
            found[name] = WindowFact(
                int(inside.sum()),
                int(columns.failed[inside].sum()),
                _mean(number_column(state, "input_tokens")[inside]),
                _mean(number_column(state, "latency")[inside]),
            )
    return found


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
