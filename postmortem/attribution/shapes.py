"""What goes into an attribution and what comes out of it: frozen records, no Django, no arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer
from postmortem.traces.cells import Cells

Span = tuple[datetime, datetime]
Interval = tuple[float, float]
HypothesisKind = Literal["change", "unlogged", "mix", "none"]
ProposedVerdict = Literal["ruled_in", "ruled_out", "open"]


@dataclass(frozen=True, slots=True)
class AttributionCase:
    """One question: which change made `signal` worse before `detected_at`?

    `worse` is "lower" or "higher". `baseline` and `incident` are (start, end) in UTC, None where the
    method shall find them. `cells` hold the traces that have the signal, in order of time; `trace_count` counts
    those without it too.
    """

    signal: str
    worse: str
    detected_at: datetime
    cells: Cells
    trace_count: int
    changes: Sequence[ChangeRecord]
    baseline: Span | None = None
    incident: Span | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval."""

    estimate: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Level:
    """A mean (a rate, if the signal is 0 or 1) with its count and 95 % interval."""

    count: int
    mean: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class WindowLevel:
    """A level over a span of time."""

    start: datetime
    end: datetime
    level: Level


@dataclass(frozen=True, slots=True)
class ExposedBin:
    """Exposed and unexposed traces of one span of time, None where there were none."""

    start: datetime
    end: datetime
    exposed: Level | None
    unexposed: Level | None


@dataclass(frozen=True, slots=True)
class SignalFacts:
    """What the signal is: `kind` binary or continuous, `unit` share, s, USD or score."""

    name: str
    label: str
    worse: str
    kind: str
    unit: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The row that a reviewer can check by hand: difference = exposed − unexposed, like with like.

    `inflation` is λ, by which every variance was widened because quiet days wobble more than chance does.
    """

    exposed: Level
    unexposed: Level
    difference: Estimate
    strata: int
    z: float
    log_bayes_factor: float
    prior: float
    inflation: float
    probability: float
    observed: int
    inferred: int
    expected: int


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One explanation. `changes` holds the id of a logged change, and is empty for the other kinds."""

    kind: HypothesisKind
    changes: tuple[str, ...]
    layer: Layer | None
    probability: float
    effect: Estimate | None
    title: str
    sentence: str
    arithmetic: Arithmetic | None = None
    exposed_series: tuple[ExposedBin, ...] | None = None


@dataclass(frozen=True, slots=True)
class EvidenceText:
    """One sentence for or against a layer, with the change it speaks of."""

    text: str
    change: str | None = None


@dataclass(frozen=True, slots=True)
class LayerFinding:
    """The proposed verdict of one layer. `largest_hidden_harm` is in the signal's unit, ≥ 0."""

    layer: Layer
    probability: float
    verdict: ProposedVerdict
    largest_hidden_harm: float | None
    evidence_for: tuple[EvidenceText, ...]
    evidence_against: tuple[EvidenceText, ...]


@dataclass(frozen=True, slots=True)
class NeverObservedRow:
    """A logged change that reached no trace."""

    change: str
    layer: Layer
    reason: str


@dataclass(frozen=True, slots=True)
class NeverLoggedRow:
    """A version move that traces show and no log mentions."""

    facet: str
    layer: Layer
    from_version: str
    to_version: str
    at: datetime
    count: int
    scope: str


@dataclass(frozen=True, slots=True)
class MixGroup:
    """One value of the facet by which the traffic mix moved most."""

    value: str
    share_before: float
    share_after: float
    mean_before: float | None
    mean_after: float | None
    count_before: int
    count_after: int


@dataclass(frozen=True, slots=True)
class MixSplit:
    """Kitagawa's split of the change in the mean: total = mix + within."""

    total: float
    mix: Estimate
    within: Estimate
    facet: str
    groups: tuple[MixGroup, ...]


@dataclass(frozen=True, slots=True)
class Experiment:
    """What would settle it: `kind` replay, canary or rollback of one change.

    `traces` are needed on the side without the change; `hours` of traffic, None where no traffic is waited for;
    `harm` is the effect that it can see, in the signal's unit.
    """

    kind: str
    change: str
    layer: Layer
    traces: int
    hours: float | None
    harm: float
    title: str
    sentence: str


@dataclass(frozen=True, slots=True)
class OnsetFinding:
    """When the adjusted series stepped, with a 95 % interval."""

    at: datetime
    interval: Span


@dataclass(frozen=True, slots=True)
class RecoveryFinding:
    """When the levelled signal stepped back, with a 95 % interval, and the share of the harm (1: all) gone since.

    `during` and `after` count the traces on both sides.
    """

    at: datetime
    interval: Span
    share: Estimate
    during: int
    after: int


@dataclass(frozen=True, slots=True)
class Ending:
    """A suspect that stopped reaching traces `at`: the share of the harm of its traffic that went along."""

    change: str
    at: datetime
    share: Estimate
    during: int
    after: int


@dataclass(frozen=True, slots=True)
class Interaction:
    """Two changes that may do harm only together, where `traces` ran on both; `effect` is in the signal's unit."""

    changes: tuple[str, str]
    probability: float
    effect: Estimate
    traces: int
    sentence: str


@dataclass(frozen=True, slots=True)
class VersionWindow:
    """The versions of one facet in one window: (value, traces) of the most frequent, how many more values there are,
    and how many of the window's `traces` record none.
    """

    traces: int
    values: tuple[tuple[str, int], ...]
    more: int
    unrecorded: int


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One part of the version tuple, in the baseline window and in the incident's."""

    facet: str
    layer: Layer
    before: VersionWindow
    after: VersionWindow


@dataclass(frozen=True, slots=True)
class CredibleSet:
    """Explanations of one harm that the data cannot tell apart; together they hold `share` (0 to 1) of it.

    `changes` are logged ones; `beside` names rivals in the set that are none: "unlogged", "none".
    """

    changes: tuple[str, ...]
    beside: tuple[HypothesisKind, ...]
    share: float
    sentence: str


@dataclass(frozen=True, slots=True)
class AttributionResult:
    """Everything one attribution run says. `interface.result_to_json` gives its published form."""

    method: str
    headline: str
    lede: str
    signal: SignalFacts
    baseline: WindowLevel
    incident: WindowLevel
    drop: Estimate
    onset: OnsetFinding | None
    series: tuple[WindowLevel, ...]
    hypotheses: tuple[Hypothesis, ...]
    layers: tuple[LayerFinding, ...]
    credible_sets: tuple[CredibleSet, ...]
    never_observed: tuple[NeverObservedRow, ...]
    never_logged: tuple[NeverLoggedRow, ...]
    mix: MixSplit | None
    experiments: tuple[Experiment, ...]
    recovery: RecoveryFinding | None
    endings: tuple[Ending, ...]
    interactions: tuple[Interaction, ...]
    versions: tuple[VersionRow, ...]
    trace_count: int
    with_signal_count: int
    change_count: int
