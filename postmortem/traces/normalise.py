"""What sources send, as TraceRecords. No Django here.

Langfuse's v2 observations with v3 scores, its old trace bodies, and the open format.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from postmortem.lib.errors import UserError
from postmortem.traces.facets import facets_of, truncated_keys
from postmortem.traces.records import ObservationRecord, ScoreRecord, TraceRecord
from postmortem.traces.values import (
    MAX_ID,
    MAX_NAME,
    long_text,
    mapping,
    measure,
    moment,
    number,
    preview,
    short_text,
    whole,
)

_MAX_TAGS = 100
_MAX_SCORES = 1000
# Texts that are taken over as they are: the row's name for them, the record's, the longest.
_TEXTS = (
    ("name", "name", 400), ("promptName", "prompt_name", MAX_NAME), ("promptVersion", "prompt_version", MAX_NAME),
    ("version", "version", MAX_NAME), ("environment", "environment", 120), ("release", "release", MAX_NAME),
    ("traceName", "trace_name", 400), ("sessionId", "session_id", 400), ("userId", "user_id", 400),
)  # fmt: skip
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def observation_from_langfuse(row: Mapping[str, Any], trace_id: str = "") -> ObservationRecord:
    """One observation of the v2 endpoint, a v1 trace body or a trace download.

    `trace_id` stands in where the row has none. Raises UserError for a row without id or start time.
    """
    identifier = short_text(row.get("id"), MAX_ID)
    start = moment(row.get("startTime"))
    if not identifier or start is None:
        raise UserError("An observation has no id or no start time; export the trace again.")
    end = moment(row.get("endTime"))
    first_token = moment(row.get("completionStartTime"))
    to_first_token = measure(row.get("timeToFirstToken"))
    if to_first_token is None and first_token is not None and first_token >= start:
        to_first_token = (first_token - start).total_seconds()
    metadata = mapping(row.get("metadata"))
    usage = mapping(row.get("usageDetails") or row.get("usage"))
    texts = {"name": ""}
    for name, field, limit in _TEXTS:
        if (value := row.get(name)) is not None:
            texts[field] = short_text(value, limit)
    cost = measure(row.get("totalCost"))
    if cost is None:
        cost = measure(row.get("calculatedTotalCost"))
    return ObservationRecord(
        external_id=identifier,
        trace_id=short_text(row.get("traceId"), MAX_ID) or trace_id,
        parent_id=short_text(row.get("parentObservationId"), MAX_ID) or None,
        kind=short_text(row.get("type"), 40).upper() or "SPAN",
        start=start,
        end=end if end is not None and end >= start else None,
        level=short_text(row.get("level"), 20).upper() or "DEFAULT",
        status_message=long_text(row.get("statusMessage"), 2000),
        # The server says providedModelName where its documentation says model.
        model=short_text(row.get("model")) or short_text(row.get("providedModelName")),
        tags=_tags(row.get("tags")),
        input=long_text(row.get("input")),
        output=long_text(row.get("output")),
        metadata=metadata,
        model_parameters=mapping(row.get("modelParameters")),
        usage={key: amount for key, value in usage.items() if (amount := measure(value)) is not None},
        cost_usd=cost,
        time_to_first_token_seconds=to_first_token,
        truncated_metadata=truncated_keys(metadata),
        is_root=row.get("isRootObservation") is True,
        **texts,
    )


def score_from_langfuse(row: Mapping[str, Any]) -> tuple[str, ScoreRecord] | None:
    """(trace id, score) of a v3 or v2 score; None for scores on sessions and experiments and for rows without name."""
    subject = mapping(row.get("subject"))
    kind = subject.get("kind")
    if kind == "trace":
        trace_id, observation_id = short_text(subject.get("id"), MAX_ID), ""
    elif kind == "observation":
        trace_id, observation_id = short_text(subject.get("traceId"), MAX_ID), short_text(subject.get("id"), MAX_ID)
    else:
        trace_id, observation_id = short_text(row.get("traceId"), MAX_ID), short_text(row.get("observationId"), MAX_ID)
    name = short_text(row.get("name"))
    if not name or (kind not in {None, "trace", "observation"}):
        return None
    value, text = row.get("value"), row.get("stringValue")
    if str(row.get("dataType", "")).upper() in {"CATEGORICAL", "TEXT", "CORRECTION"} or isinstance(value, str):
        text = text if isinstance(text, str) else value
        value = None
    else:
        text = ""
    return trace_id, ScoreRecord(
        external_id=short_text(row.get("id"), 400) or f"{name}:{observation_id}"[:400],
        name=name,
        value=number(value),
        text_value=short_text(text, 500),
        source=short_text(row.get("source"), 40),
        timestamp=moment(row.get("timestamp")),
        observation_id=observation_id,
    )


def scores_by_name(scores: Iterable[ScoreRecord]) -> dict[str, float]:
    """The one number for each score name: a score on the trace before one on an observation, then the latest."""
    ordered = sorted(
        (score for score in scores if score.value is not None),
        key=lambda score: (not score.observation_id, score.timestamp or _LONG_AGO, score.external_id),
    )
    return {score.name: score.value for score in ordered if score.value is not None}


def trace_from_observations(
    observations: Sequence[ObservationRecord], scores: Sequence[ScoreRecord] = ()
) -> TraceRecord:
    """A trace of its observations (v2 has no trace object). Latency is last end minus first start, in seconds.

    Raises UserError when there are none.
    """
    if not observations:
        raise UserError("This trace has no observations.")
    ordered = sorted(_each_once(observations), key=lambda item: (item.start, not item.is_root, item.external_id))
    root_first = _root_first(ordered)
    root = root_first[0]
    generations = [item for item in ordered if item.kind == "GENERATION"] or ordered
    ends = [item.end for item in ordered if item.end is not None]
    costs = [item.cost_usd for item in ordered if item.cost_usd is not None]
    tokens = [
        value for item in ordered for key, value in item.usage.items() if key == "input" or key.startswith("input_")
    ]
    waits = [item.time_to_first_token_seconds for item in ordered if item.time_to_first_token_seconds is not None]
    return TraceRecord(
        external_id=root.trace_id,
        timestamp=ordered[0].start,
        facets=facets_of(root_first),
        scores=scores_by_name(scores),
        latency_seconds=(max(ends) - ordered[0].start).total_seconds() if ends else None,
        cost_usd=sum(costs) if costs else None,
        input_tokens=whole(sum(tokens)) if tokens else None,
        has_error=any(item.level == "ERROR" for item in ordered),
        name=_first(item.trace_name for item in root_first) or root.name,
        environment=_first(item.environment for item in root_first),
        session_id=_first(item.session_id for item in root_first),
        user_id=_first(item.user_id for item in root_first),
        input_preview=preview(root.input or _first(item.input for item in generations)),
        output_preview=preview(root.output or _first(item.output for item in reversed(generations))),
        score_records=tuple(scores[:_MAX_SCORES]),
        observations=tuple(ordered),
        time_to_first_token_seconds=waits[0] if waits else None,
    )


def trace_from_v1(body: Mapping[str, Any]) -> TraceRecord:
    """The body of `GET /api/public/traces/{id}`, or a trace of the old list with ids instead of observations.

    Raises UserError for a body without id or timestamp.
    """
    trace_id = short_text(body.get("id"), MAX_ID)
    timestamp = moment(body.get("timestamp"))
    if not trace_id or timestamp is None:
        raise UserError("A trace has no id or no timestamp; it is no body of GET /api/public/traces/{id}.")
    rows = [row for row in _list(body.get("observations")) if isinstance(row, Mapping)]
    observations = [observation_from_langfuse(row, trace_id) for row in rows]
    found = [score_from_langfuse(row) for row in _list(body.get("scores")) if isinstance(row, Mapping)]
    scores = tuple(item[1] for item in found if item is not None)
    inner = trace_from_observations(observations, scores) if observations else None
    facets = facets_of(
        _root_first(inner.observations) if inner else (),
        tags=_tags(body.get("tags")),
        metadata=mapping(body.get("metadata")),
        release=short_text(body.get("release")),
        environment=short_text(body.get("environment"), 120),
    )
    latency, cost = measure(body.get("latency")), measure(body.get("totalCost"))
    return TraceRecord(
        external_id=trace_id,
        timestamp=timestamp,
        facets=facets,
        scores=scores_by_name(scores),
        latency_seconds=latency if latency is not None else (inner.latency_seconds if inner else None),
        cost_usd=cost if cost is not None else (inner.cost_usd if inner else None),
        input_tokens=inner.input_tokens if inner else None,
        has_error=inner.has_error if inner else False,
        name=short_text(body.get("name"), 400) or (inner.name if inner else ""),
        environment=short_text(body.get("environment"), 120) or (inner.environment if inner else ""),
        session_id=short_text(body.get("sessionId"), 400),
        user_id=short_text(body.get("userId"), 400),
        input_preview=preview(long_text(body.get("input"))) or (inner.input_preview if inner else ""),
        output_preview=preview(long_text(body.get("output"))) or (inner.output_preview if inner else ""),
        score_records=scores,
        observations=inner.observations if inner else (),
        time_to_first_token_seconds=inner.time_to_first_token_seconds if inner else None,
    )


def trace_from_open(row: Mapping[str, Any]) -> TraceRecord:
    """One line of the open format `traces.jsonl`: id, timestamp, facets, input_tokens, scores or latency (seconds).

    Optional besides: name, environment, session_id, user_id, input, output, cost (USD), error,
    time_to_first_token (seconds). Raises UserError for a row without id or timestamp.
    """
    trace_id = short_text(row.get("id"), MAX_ID)
    timestamp = moment(row.get("timestamp"))
    if not trace_id or timestamp is None:
        raise UserError("a trace needs an id and a timestamp like 2026-03-09T09:40:00Z")
    facets = row.get("facets") or {}
    if not isinstance(facets, Mapping):
        raise UserError("facets must be an object of names and values")
    scores = row.get("scores") or {}
    if not isinstance(scores, Mapping):
        raise UserError("scores must be an object of names and numbers")
    named = {short_text(name, 80): short_text(value) for name, value in list(facets.items())[:100]}
    environment = short_text(row.get("environment"), 120) or named.get("environment", "")
    return TraceRecord(
        external_id=trace_id,
        timestamp=timestamp,
        facets={name: value for name, value in named.items() if name and value},
        scores={
            short_text(name): value
            for name, raw in list(scores.items())[:_MAX_SCORES]
            if name and (value := number(raw)) is not None
        },
        latency_seconds=measure(row.get("latency")),
        cost_usd=measure(row.get("cost")),
        input_tokens=whole(row.get("input_tokens")),
        has_error=row.get("error") is True,
        name=short_text(row.get("name"), 400),
        environment=environment,
        session_id=short_text(row.get("session_id"), 400),
        user_id=short_text(row.get("user_id"), 400),
        input_preview=preview(long_text(row.get("input"))),
        output_preview=preview(long_text(row.get("output"))),
        time_to_first_token_seconds=measure(row.get("time_to_first_token")),
    )


def _each_once(observations: Sequence[ObservationRecord]) -> list[ObservationRecord]:
    """The same id twice is the same observation, read on two pages; the last reading counts."""
    return list({item.external_id: item for item in observations}.values())


def _root_first(ordered: Sequence[ObservationRecord]) -> list[ObservationRecord]:
    """The trace's own observation before the rest: marked as root, else without a parent in the list."""
    ids = {item.external_id for item in ordered}
    root = next((item for item in ordered if item.is_root), None)
    root = root or next((item for item in ordered if item.parent_id not in ids), ordered[0])
    return [root, *(item for item in ordered if item is not root)]


def _first(values: Iterable[str]) -> str:
    return next((value for value in values if value), "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _tags(value: Any) -> tuple[str, ...]:
    return tuple(short_text(tag) for tag in _list(value)[:_MAX_TAGS] if isinstance(tag, str))
