"""Small worlds for the attribution tests: a few thousand traces, one thing that happens to them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from postmortem.attribution.shapes import AttributionCase
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer
from postmortem.traces.cells import cells_of_records
from postmortem.traces.records import TraceRecord

START = datetime(2026, 3, 2, tzinfo=UTC)
DETECTED = START + timedelta(days=9)


def at(hours: float) -> datetime:
    """A moment `hours` after the start of the traces."""
    return START + timedelta(hours=hours)


def change(identifier: str, layer: Layer, hours: float, *, length: float = 0.0, **fields: Any) -> ChangeRecord:
    """A logged change that began `hours` after the start and took `length` hours."""
    return ChangeRecord(id=identifier, layer=layer, at=at(hours), until=at(hours + length), **fields)


def world(
    *,
    seed: int = 1,
    count: int = 3000,
    days: float = 9.5,
    versions: Callable[[float, dict[str, str], float], dict[str, str]] | None = None,
    harm: Callable[[float, dict[str, str]], float] | None = None,
    prompts: Callable[[float], list[float]] | None = None,
    latency: bool = False,
) -> list[TraceRecord]:
    """Traces with prompt, segment, region and model.

    `versions(hours, facets, dice)` adds version facets; `harm(hours, facets)` lowers the success rate by its value,
    or multiplies latency by 1 + its value; `prompts(hours)` gives the shares of answer, draft and triage.
    """
    rng = np.random.default_rng(seed)
    traces = []
    for number, hours in enumerate(np.sort(rng.uniform(0, days * 24, count))):
        shares = prompts(hours) if prompts else [0.4, 0.35, 0.25]
        facets = {
            "prompt": str(rng.choice(["answer", "draft", "triage"], p=shares)),
            "segment": str(rng.choice(["free", "paid"])),
            "region": str(rng.choice(["eu", "us"])),
            "model": str(rng.choice(["small", "large"])),
        }
        if versions:
            facets |= versions(hours, facets, float(rng.random()))
        hurt = harm(hours, facets) if harm else 0.0
        rate = {"answer": 0.9, "draft": 0.8, "triage": 0.6}[facets["prompt"]] - (0 if latency else hurt)
        seconds = float(np.exp(rng.normal(0.2, 0.4))) * (1 + (hurt if latency else 0))
        traces.append(
            TraceRecord(
                external_id=f"t{number}",
                timestamp=at(float(hours)),
                facets=facets,
                scores={"success": float(rng.random() < rate)},
                latency_seconds=seconds,
            )
        )
    return traces


def bystanders() -> list[ChangeRecord]:
    """Logged changes of all layers that did nothing."""
    return [
        change("model-a", Layer.MODEL, 60, scope={"model": ("small",)}),
        change("retrieval-a", Layer.RETRIEVAL, 120),
        change("infra-a", Layer.INFRASTRUCTURE, 180, scope={"region": ("eu",)}),
        change("prompt-a", Layer.PROMPT, 150, scope={"prompt": ("triage",)}),
    ]


def case(traces: list[TraceRecord], changes: list[ChangeRecord], **fields: Any) -> AttributionCase:
    """A case detected nine days in."""
    defaults: dict[str, Any] = {"signal": "success", "worse": "lower", "detected_at": DETECTED}
    chosen = defaults | fields
    cells = cells_of_records(traces, chosen["signal"], bin_seconds=0)
    return AttributionCase(cells=cells, trace_count=len(traces), changes=changes, **chosen)


@dataclass(frozen=True)
class Written:
    """A symmetric matrix written out, where the product keeps only its products."""

    matrix: npt.NDArray[np.float64]

    @property
    def diagonal(self) -> npt.NDArray[np.float64]:
        return np.diag(self.matrix).copy()

    def times(self, vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.matrix @ vector

    def block(self, places: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        return self.matrix[np.ix_(places, places)]
