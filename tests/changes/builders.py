"""Short ways to write a change and a trace; `hour` counts from midnight of one day, UTC."""

from datetime import UTC, datetime, timedelta
from typing import Any

from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer
from postmortem.traces.records import TraceRecord

MIDNIGHT = datetime(2026, 3, 9, tzinfo=UTC)


def at(hour: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hour)


def change(id: str = "change", *, hour: float = 10, until: float | None = None, **fields: Any) -> ChangeRecord:
    """A change that begins at `hour`; scope values may be written as one string."""
    scope = {facet: (v,) if isinstance(v, str) else tuple(v) for facet, v in fields.pop("scope", {}).items()}
    layer = fields.pop("layer", Layer.PROMPT)
    return ChangeRecord(
        id=id, layer=layer, at=at(hour), until=at(hour if until is None else until), scope=scope, **fields
    )


def trace(hour: float = 12, id: str = "trace", **facets: str) -> TraceRecord:
    return TraceRecord(external_id=id, timestamp=at(hour), facets=facets)
