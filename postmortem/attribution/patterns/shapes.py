"""What a failure-pattern detector reads and what it answers: frozen records. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from postmortem.attribution.shapes import Interval, Level, SignalFacts, Span
from postmortem.attribution.wording import signal_facts
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer
from postmortem.traces.records import TraceRecord
from postmortem.traces.signals import signal_value

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]
Words = npt.NDArray[np.object_]
Answer = Literal["match", "no_match", "not_enough_data"]


@dataclass(frozen=True)
class PatternInput:
    """An incident as the detectors see it. Times are UTC; `traces` are in order of time.

    `suspected` is the layer that the team named first, None if nobody wrote it down. `retirements` maps a model id
    to the day from which its provider no longer serves it.
    """

    traces: Sequence[TraceRecord]
    changes: Sequence[ChangeRecord]
    signal: str
    worse: str
    baseline: Span
    incident: Span
    mitigated_at: datetime | None = None
    suspected: Layer | None = None
    retirements: Mapping[str, datetime] = field(default_factory=dict)

    @cached_property
    def seconds(self) -> Floats:
        """When each trace began, seconds since 1970."""
        return np.array([trace.timestamp.timestamp() for trace in self.traces], dtype=np.float64)

    @cached_property
    def values(self) -> Floats:
        """The incident's signal, NaN where a trace has none."""
        return self.of_signal(self.signal)

    @cached_property
    def facts(self) -> SignalFacts:
        """What the signal is, for sentences."""
        return self.facts_of(self.signal, self.worse)

    @cached_property
    def before(self) -> Masks:
        """Traces of the baseline window."""
        return self.within(self.baseline)

    @cached_property
    def during(self) -> Masks:
        """Traces of the incident window."""
        return self.within(self.incident)

    @property
    def sign(self) -> float:
        """+1 where a higher signal is worse, −1 where a lower one is."""
        return -1.0 if self.worse == "lower" else 1.0

    def within(self, span: Span) -> Masks:
        """Traces with start ≤ time < end."""
        return (self.seconds >= span[0].timestamp()) & (self.seconds < span[1].timestamp())

    def of_signal(self, name: str) -> Floats:
        """Another signal of every trace, NaN where it has none."""
        found = (signal_value(trace, name) for trace in self.traces)
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)

    def facts_of(self, name: str, worse: str) -> SignalFacts:
        """What a signal is: binary if its values are 0 and 1 alone."""
        values = self.of_signal(name)
        known = values[np.isfinite(values)]
        return signal_facts(name, worse, binary=bool(known.size) and bool(np.isin(known, (0.0, 1.0)).all()))

    def facet(self, name: str) -> Words:
        """One facet of every trace, "" where it was not recorded."""
        if name == "environment":
            return np.array([t.environment or t.facets.get(name, "") for t in self.traces], dtype=object)
        return np.array([trace.facets.get(name, "") for trace in self.traces], dtype=object)

    def score_names(self) -> list[str]:
        """Names of the scores that any trace has, in alphabetical order."""
        return sorted({name for trace in self.traces for name in trace.scores})

    def is_worse_than(self, level: float) -> Masks:
        """Traces whose signal is worse than `level`."""
        return np.asarray(self.sign * self.values > self.sign * level)

    def ids(self, rows: Masks, most: int = 20) -> tuple[str, ...]:
        """External ids of some of these traces, the earliest first."""
        return tuple(self.traces[row].external_id for row in np.flatnonzero(rows)[:most])


@dataclass(frozen=True, slots=True)
class Number:
    """One number behind an answer: with its interval, its count and the window or side that it is about."""

    label: str
    estimate: float
    interval: Interval | None
    count: int
    unit: str
    about: str = ""
    signed: bool = False  # a difference, shown with its sign


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One line of the picture: a level before and a level after, None where there were no traces."""

    label: str
    before: Level | None
    after: Level | None


@dataclass(frozen=True, slots=True)
class Picture:
    """Levels side by side; `first` and `second` name the two sides.

    `parts`: the parts of a whole instead, each a difference (`after`) with its interval, set against zero.
    """

    first: str
    second: str
    unit: str
    rows: tuple[PictureRow, ...]
    kind: Literal["levels", "parts"] = "levels"


@dataclass(frozen=True, slots=True)
class SuggestedAction:
    """An action item that the pattern calls for; people give it an owner and a date."""

    title: str
    kind: str
    verification: str


@dataclass(frozen=True, slots=True)
class PatternFinding:
    """A detector's answer. It decides nothing: it puts evidence before the reviewers, for and against.

    `layer` is the one that it speaks for, None if for none; `missing` names what to log next time.
    """

    pattern: str
    title: str
    layer: Layer | None
    answer: Answer
    sentence: str
    numbers: tuple[Number, ...] = ()
    evidence_for: tuple[str, ...] = ()
    evidence_against: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    picture: Picture | None = None
    missing: tuple[str, ...] = ()
    actions: tuple[SuggestedAction, ...] = ()


def finding_to_json(finding: PatternFinding, number: int) -> dict[str, Any]:
    """The stored form of an answer of pattern `number` (1 to 11); rates are fractions."""
    picture = finding.picture
    return {
        "number": number,
        "pattern": finding.pattern,
        "title": finding.title,
        "layer": finding.layer.value if finding.layer else None,
        "answer": finding.answer,
        "sentence": finding.sentence,
        "numbers": [
            {
                "label": one.label,
                "estimate": one.estimate,
                "interval": list(one.interval) if one.interval else None,
                "count": one.count,
                "unit": one.unit,
                "about": one.about,
                "signed": one.signed,
            }
            for one in finding.numbers
        ],
        "for": list(finding.evidence_for),
        "against": list(finding.evidence_against),
        "traces": list(finding.traces),
        "picture": None
        if picture is None
        else {
            "kind": picture.kind,
            "first": picture.first,
            "second": picture.second,
            "unit": picture.unit,
            "rows": [
                {"label": row.label, "before": _level(row.before), "after": _level(row.after)} for row in picture.rows
            ],
        },
        "missing": list(finding.missing),
        "actions": [
            {"title": one.title, "kind": one.kind, "verification": one.verification} for one in finding.actions
        ],
    }


def _level(level: Level | None) -> dict[str, Any] | None:
    return None if level is None else {"count": level.count, "mean": level.mean, "interval": list(level.interval)}
