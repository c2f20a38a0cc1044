"""A change as a row of the database and as a record of the pure rooms: one place for the way there and back."""

from typing import Any

from postmortem.changes.models import Change
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer


def record_of(change: Change) -> ChangeRecord:
    """The stored change as a record."""
    stages: dict[str, Any] = change.stages or {}
    return ChangeRecord(
        id=change.external_id,
        layer=Layer(change.layer),
        at=change.at,
        until=change.until,
        rollout=change.rollout,
        scope={facet: tuple(v) if isinstance(v, list) else (str(v),) for facet, v in change.scope.items()},
        facet=change.facet or None,
        to_version=change.to_version or None,
        from_version=change.from_version or None,
        canary_share=change.canary_share,
        stage_facet=stages.get("facet"),
        stage_order=tuple(stages.get("order", ())),
        summary=change.summary,
        actor=change.actor,
        link=change.link,
        is_rollback=change.is_rollback,
        details=change.details,
    )


def fields_of(record: ChangeRecord) -> dict[str, Any]:
    """The model fields that a record fills; feature, source and content hash are the caller's."""
    return {
        "external_id": record.id,
        "layer": record.layer.value,
        "summary": record.summary,
        "at": record.at,
        "until": record.until,
        "rollout": record.rollout,
        "canary_share": record.canary_share,
        "stages": {"facet": record.stage_facet, "order": list(record.stage_order)} if record.stage_facet else {},
        "scope": {facet: list(values) for facet, values in record.scope.items()},
        "facet": record.facet or "",
        "from_version": record.from_version or "",
        "to_version": record.to_version or "",
        "actor": record.actor,
        "link": record.link,
        "is_rollback": record.is_rollback,
        "details": dict(record.details),
    }
