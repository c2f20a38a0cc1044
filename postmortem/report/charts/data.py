"""What the pictures show: frozen records built from a finding's JSON and the changes. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import parse_moment
from postmortem.report.charts import wording

LABELLED = 0.03  # from this probability a change keeps its label whatever the crowd
SUSPECT = 0.5
_RELEVANT_BINS = 400
_CAME_LATER = "It came after the last trace"


@dataclass(frozen=True, slots=True)
class Level:
    """A mean over `count` traces with its 95 % interval, in the signal's unit (shares 0 to 1)."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Span:
    """A level over a stretch of time, UTC."""

    start: datetime
    end: datetime
    level: Level

    @property
    def middle(self) -> datetime:
        """Where its point is drawn."""
        return self.start + (self.end - self.start) / 2


@dataclass(frozen=True, slots=True)
class ChangeMark:
    """A change as the lanes draw it. `probability` is 0 to 1; `reached` is False if no trace ran on it.

    `logged` is False for a version that only the traces show. `ends` is when another change of the log took it back,
    None if none did.
    """

    id: str
    layer: str
    summary: str
    at: datetime
    until: datetime
    rollout: str = "instant"
    canary_share: float | None = None
    stages: tuple[str, ...] = ()
    is_rollback: bool = False
    probability: float = 0.0
    reached: bool = True
    ends: datetime | None = None
    logged: bool = True


@dataclass(frozen=True, slots=True)
class SignatureData:
    """Everything in the signature picture. `drop` is (estimate, low, high), incident minus baseline."""

    label: str
    unit: str
    worse: str
    series: tuple[Span, ...]
    changes: tuple[ChangeMark, ...]
    baseline: Span | None = None
    incident: Span | None = None
    drop: tuple[float, float, float] | None = None
    onset: datetime | None = None
    onset_is_estimate: bool = False
    detected: datetime | None = None
    mitigated: datetime | None = None
    layer_probability: tuple[tuple[str, float], ...] = ()

    @property
    def cause(self) -> ChangeMark | None:
        """The most probable change if it is a suspect at all (P of 0.5 and over)."""
        best = max(self.changes, key=lambda mark: mark.probability, default=None)
        return best if best is not None and best.probability >= SUSPECT else None


@dataclass(frozen=True, slots=True)
class ExposedBin:
    """Exposed and unexposed traces of the same stretch of time, None where there were none."""

    start: datetime
    end: datetime
    exposed: Level | None
    unexposed: Level | None

    @property
    def middle(self) -> datetime:
        """Where its points are drawn."""
        return self.start + (self.end - self.start) / 2


@dataclass(frozen=True, slots=True)
class ExposedData:
    """The picture behind one row of arithmetic. `difference` is (estimate, low, high), exposed minus unexposed."""

    title: str
    layer: str
    label: str
    unit: str
    bins: tuple[ExposedBin, ...]
    exposed: Level | None = None
    unexposed: Level | None = None
    difference: tuple[float, float, float] | None = None


def signature_data(
    result: Mapping[str, Any],
    changes: Iterable[ChangeRecord],
    *,
    onset: datetime | None = None,
    detected: datetime | None = None,
    mitigated: datetime | None = None,
    reached: Collection[str] | None = None,
) -> SignatureData:
    """Build from a finding's JSON. Without a confirmed `onset` the finding's estimate is shown and said to be one.

    `reached`: changes that ran in some trace; without them the finding is believed, which compared only the traces
    of its windows and says nothing of what came later.
    """
    probabilities = {
        one["changes"][0]: float(one["probability"]) for one in result["hypotheses"] if one["kind"] == "change"
    }
    unreached = {
        row["change"]
        for row in result.get("reconciliation", {}).get("never_observed", [])
        if (row["change"] not in reached if reached is not None else not row["reason"].startswith(_CAME_LATER))
    }
    logged = sorted(changes, key=lambda change: (change.at, change.id))
    windows = result.get("windows", {})
    estimated = onset is None and bool(result.get("onset"))
    return SignatureData(
        label=wording.label(result["signal"]["label"]),
        unit=result["signal"]["unit"],
        worse=result["signal"]["worse"],
        series=tuple(_span(part) for part in result.get("series", [])[:_RELEVANT_BINS]),
        changes=tuple(
            ChangeMark(
                id=change.id,
                layer=change.layer.value,
                summary=change.summary or change.id,
                at=change.at,
                until=change.until,
                rollout=change.rollout,
                canary_share=change.canary_share,
                stages=change.stage_order,
                is_rollback=change.is_rollback,
                probability=probabilities.get(change.id, 0.0),
                reached=change.id not in unreached,
                ends=_taken_back(change, logged),
            )
            for change in logged
        )
        + _unlogged(result),
        baseline=_span(windows["baseline"]) if windows.get("baseline") else None,
        incident=_span(windows["incident"]) if windows.get("incident") else None,
        drop=_estimate(result.get("drop")),
        onset=parse_moment(result["onset"]["at"]) if estimated else onset,
        onset_is_estimate=estimated,
        detected=detected,
        mitigated=mitigated,
        layer_probability=tuple((one["layer"], float(one["probability"])) for one in result["layers"]),
    )


def _unlogged(result: Mapping[str, Any]) -> tuple[ChangeMark, ...]:
    """The version that no log mentions, where it is the likeliest cause; a step without a layer has no lane."""
    moves = result.get("reconciliation", {}).get("never_logged", [])
    return tuple(
        ChangeMark(
            id=f"unlogged {move['facet']} {move['to']}",
            layer=move["layer"],
            summary=one["title"],
            at=parse_moment(move["at"]),
            until=parse_moment(move["at"]),
            probability=float(one["probability"]),
            logged=False,
        )
        for one in result["hypotheses"]
        if one["kind"] == "unlogged" and float(one["probability"]) >= SUSPECT
        for move in moves
        if move["layer"] == one["layer"] and f"{move['from']} → {move['to']}," in one["title"]
    )[:1]


def exposed_data(result: Mapping[str, Any], hypothesis: Mapping[str, Any]) -> ExposedData | None:
    """The picture of one hypothesis; None when the finding kept no series for it."""
    series = hypothesis.get("exposed_series")
    if not series:
        return None
    arithmetic = hypothesis.get("arithmetic") or {}
    return ExposedData(
        title=hypothesis["title"],
        layer=hypothesis.get("layer") or "",
        label=wording.label(result["signal"]["label"]),
        unit=result["signal"]["unit"],
        bins=tuple(
            ExposedBin(
                parse_moment(part["start"]), parse_moment(part["end"]),
                _optional_level(part.get("exposed")), _optional_level(part.get("unexposed")),
            )
            for part in series[:_RELEVANT_BINS]
        ),
        exposed=_optional_level(arithmetic.get("exposed")),
        unexposed=_optional_level(arithmetic.get("unexposed")),
        difference=_estimate(arithmetic.get("difference")),
    )  # fmt: skip


def _taken_back(change: ChangeRecord, logged: Sequence[ChangeRecord]) -> datetime | None:
    """When a later change of the same target brought the earlier version back, or a rollback of its layer came."""
    for later in logged:
        if later.at <= change.at or later.layer != change.layer or later.id == change.id:
            continue
        same_target = later.facet == change.facet
        if same_target and change.from_version and later.to_version == change.from_version:
            return later.until
        if same_target and later.is_rollback and (change.facet or later.scope == change.scope):
            return later.until
    return None


def _span(part: Mapping[str, Any]) -> Span:
    return Span(parse_moment(part["start"]), parse_moment(part["end"]), _level(part))


def _optional_level(part: Mapping[str, Any] | None) -> Level | None:
    return _level(part) if part else None


def _level(part: Mapping[str, Any]) -> Level:
    low, high = part["interval"]
    return Level(float(part["mean"]), float(low), float(high), int(part["count"]))


def _estimate(part: Mapping[str, Any] | None) -> tuple[float, float, float] | None:
    if not part:
        return None
    low, high = part["interval"]
    return float(part["estimate"]), float(low), float(high)
