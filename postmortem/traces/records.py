"""What the pure rooms know of traces: frozen records without a database. No Django here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScoreRecord:
    """One score. `value` is None for text scores, `text_value` empty for numbers.

    `observation_id` is empty when the score is on the whole trace.
    """

    external_id: str
    name: str
    value: float | None
    text_value: str = ""
    source: str = ""
    timestamp: datetime | None = None
    observation_id: str = ""


@dataclass(frozen=True, slots=True)
class ObservationRecord:
    """One observation of a trace. Times UTC, latency in seconds, cost in USD.

    `truncated_metadata` names the metadata keys whose values the source cut off.
    """

    external_id: str
    trace_id: str
    parent_id: str | None
    kind: str
    name: str
    start: datetime
    end: datetime | None = None
    level: str = "DEFAULT"
    status_message: str = ""
    model: str = ""
    prompt_name: str = ""
    prompt_version: str = ""
    version: str = ""
    environment: str = ""
    release: str = ""
    trace_name: str = ""
    session_id: str = ""
    user_id: str = ""
    tags: tuple[str, ...] = ()
    input: str = ""
    output: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    model_parameters: Mapping[str, object] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)
    cost_usd: float | None = None
    time_to_first_token_seconds: float | None = None
    truncated_metadata: tuple[str, ...] = ()
    is_root: bool = False

    @property
    def latency_seconds(self) -> float | None:
        """End minus start in seconds; None while it has no end."""
        return None if self.end is None else (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """Facts of one trace, normalised from any source: what the join and the attribution read.

    `facets` maps facet names (prompt, prompt_version, model, region, …) to observed values;
    a name that is missing was not recorded for this trace. `scores` maps score names to numbers.
    """

    external_id: str
    timestamp: datetime
    facets: Mapping[str, str]
    scores: Mapping[str, float] = field(default_factory=dict)
    latency_seconds: float | None = None
    cost_usd: float | None = None
    input_tokens: int | None = None
    has_error: bool = False
    name: str = ""
    environment: str = ""
    session_id: str = ""
    user_id: str = ""
    input_preview: str = ""
    output_preview: str = ""
    score_records: tuple[ScoreRecord, ...] = ()
    observations: tuple[ObservationRecord, ...] = ()
    time_to_first_token_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class SourcePage:
    """Bytes as a source sent them, and the traces they tell about (None: every trace stored with them)."""

    body: bytes
    trace_ids: frozenset[str] | None = None
