"""What the join, the traces and the attribution know of an incident, as the prefills read it. No Django here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from postmortem.lib.layers import Layer


@dataclass(frozen=True, slots=True)
class ChangeFact:
    """A logged change with its exposure: `exposed_count` traces, `state` observed, inferred or never observed."""

    id: str
    layer: Layer
    summary: str
    at: datetime
    until: datetime
    rollout: str = "instant"
    facet: str = ""
    from_version: str = ""
    to_version: str = ""
    canary_share: float | None = None
    is_rollback: bool = False
    exposed_count: int = 0
    state: str = "inferred"


@dataclass(frozen=True, slots=True)
class MoveFact:
    """A version that moved in the traces and is in no log."""

    facet: str
    layer: Layer
    from_version: str
    to_version: str
    at: datetime
    trace_count: int
    scope: str = ""


@dataclass(frozen=True, slots=True)
class FacetFact:
    """How many traces record a facet, and its most frequent values with their counts."""

    name: str
    count: int
    values: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class WindowFact:
    """Plain sums over a window: traces, failed traces, mean input tokens, mean latency in seconds."""

    count: int
    errors: int
    input_tokens: float | None = None
    latency_seconds: float | None = None


@dataclass(frozen=True)
class ReviewFacts:
    """Everything that a prefill may use. `finding` is the JSON of the latest attribution run."""

    trace_count: int = 0
    changes: tuple[ChangeFact, ...] = ()
    never_observed: Mapping[str, str] = field(default_factory=dict)  # change id: reason
    moves: tuple[MoveFact, ...] = ()
    facets: Mapping[str, FacetFact] = field(default_factory=dict)
    baseline: WindowFact | None = None
    incident: WindowFact | None = None
    finding: Mapping[str, Any] | None = None
    finding_number: int | None = None
    onset_at: datetime | None = None
    detected_at: datetime | None = None
    mitigated_at: datetime | None = None

    def of_layer(self, layer: Layer) -> tuple[ChangeFact, ...]:
        """The logged changes of `layer`, by time."""
        return tuple(change for change in self.changes if change.layer == layer)

    def layer_finding(self, layer: Layer) -> Mapping[str, Any] | None:
        """What the attribution says of `layer`, None before the first run."""
        rows = (self.finding or {}).get("layers") or []
        return next((row for row in rows if row.get("layer") == layer.value), None)

    def hypotheses(self, layer: Layer | None = None, kind: str = "change") -> list[Mapping[str, Any]]:
        """Hypotheses of that kind, and layer if given, most probable first."""
        rows = [row for row in (self.finding or {}).get("hypotheses") or [] if row.get("kind") == kind]
        if layer is not None:
            rows = [row for row in rows if row.get("layer") == layer.value]
        return sorted(rows, key=lambda row: -float(row.get("probability") or 0))
