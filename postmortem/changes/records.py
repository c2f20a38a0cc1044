"""A change as the pure rooms know it. No Django here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from postmortem.lib.layers import Layer


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """One entry of a change log in the open format. `at` and `until` are UTC, the log's own word.

    `scope` maps a facet to the values that the change touched; empty means everything.
    `facet` and `to_version` name the version facet in which traces record the change, None where they do not.
    `stage_facet` and `stage_order` belong to staged rollouts, `canary_share` (0 to 1) to canaries.
    `details` holds what feeds and manifests tell besides: precision, provenance of training rows, document counts.
    """

    id: str
    layer: Layer
    at: datetime
    until: datetime
    rollout: str = "instant"
    scope: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facet: str | None = None
    to_version: str | None = None
    from_version: str | None = None
    canary_share: float | None = None
    stage_facet: str | None = None
    stage_order: tuple[str, ...] = ()
    summary: str = ""
    actor: str = ""
    link: str = ""
    is_rollback: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
