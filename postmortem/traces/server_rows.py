"""Answers of Phoenix and MLflow as rows in Langfuse's own words, from a server or from a saved file. Pure.

Phoenix (REST, `/v1/projects/…/spans`): spans as objects with OpenInference attributes, each annotation by itself.
MLflow (REST 3.0, `traces/get`, `traces/batchGet`, `traces/search`): a trace's info, its spans as protobuf's JSON.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from postmortem.lib.clock import format_moment
from postmortem.traces.conventions import Attributes, first, observation_row
from postmortem.traces.otlp import attributes_of, exception_of, identifier_of, moment_of
from postmortem.traces.values import MAX_ID, check_depth, mapping, measure, moment, number, short_text

ServerRow = tuple[str, dict[str, Any]]

_SOURCES = {"LLM": "EVAL", "LLM_JUDGE": "EVAL", "HUMAN": "ANNOTATION"}
_SECONDS = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)s")
_MLFLOW_NAMES = {
    "name": ("mlflow.traceName",),
    "release": ("service.version", "mlflow.source.git.commit"),
    "environment": ("deployment.environment.name", "deployment.environment"),
    "sessionId": ("mlflow.trace.session",),
    "userId": ("mlflow.trace.user",),
}


def is_server_answer(value: object) -> bool:
    """Whether a JSON value is an answer of Phoenix or MLflow that holds spans, annotations or traces."""
    if not isinstance(value, Mapping):
        return False
    if isinstance(value.get("data"), list):
        head = value["data"][:1]
        return bool(head) and (_is_phoenix_span(head[0]) or _is_phoenix_annotation(head[0]))
    if "trace" not in value and "traces" not in value:
        return False
    return _is_mlflow_trace(value.get("trace")) or any(_is_mlflow_trace(item) for item in _list(value.get("traces")))


def rows_of_answer(value: Mapping[str, Any], what: str) -> Iterator[ServerRow]:
    """("trace", "observation" or "score", row) for everything in the answer; rows without ids or times are left out."""
    check_depth(value, what)
    for item in _list(value.get("data")):
        if _is_phoenix_span(item):
            yield from _phoenix_span(item)
        elif _is_phoenix_annotation(item):
            yield from _phoenix_annotation(item)
    for item in [value.get("trace"), *_list(value.get("traces"))]:
        if _is_mlflow_trace(item):
            yield from _mlflow_trace(item)


def mlflow_id(trace_id: str) -> str:
    """A trace id as MLflow spells it: "tr-" before the hex of OpenTelemetry."""
    return trace_id if not re.fullmatch(r"[0-9a-f]{32}", trace_id) else f"tr-{trace_id}"


# Phoenix


def _is_phoenix_span(item: object) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("context"), Mapping) and "span_kind" in item


def _is_phoenix_annotation(item: object) -> bool:
    return isinstance(item, Mapping) and "annotator_kind" in item and "name" in item


def _phoenix_span(span: Mapping[str, Any]) -> Iterator[ServerRow]:
    context = mapping(span.get("context"))
    identifier, trace_id = short_text(context.get("span_id"), MAX_ID), short_text(context.get("trace_id"), MAX_ID)
    start = moment(span.get("start_time"))
    if not identifier or not trace_id or start is None:
        return
    attributes = {"openinference.span.kind": span.get("span_kind"), **mapping(span.get("attributes"))}
    failed = span.get("status_code") == "ERROR"
    told = short_text(span.get("status_message"), 2000)
    yield (
        "observation",
        observation_row(
            identifier=identifier,
            trace_id=trace_id,
            parent_id=short_text(span.get("parent_id"), MAX_ID),
            name=span.get("name"),
            start=start,
            end=moment(span.get("end_time")),
            attributes=attributes,
            failed=failed,
            message=told or (_phoenix_exception(span) if failed else ""),
        ),
    )


def _phoenix_exception(span: Mapping[str, Any]) -> str:
    for event in reversed(_list(span.get("events"))):
        told = mapping(event.get("attributes")) if isinstance(event, Mapping) else {}
        if message := told.get("exception.message") or told.get("exception.type"):
            return str(message)
    return ""


def _phoenix_annotation(item: Mapping[str, Any]) -> Iterator[ServerRow]:
    result = mapping(item.get("result"))
    score, label = number(result.get("score")), short_text(result.get("label"), 500)
    if score is None and not label:
        return
    on_span = short_text(item.get("span_id"), MAX_ID)
    yield (
        "score",
        {
            "id": f"phoenix:{short_text(item.get('id'), 300)}",
            "traceId": short_text(item.get("trace_id"), MAX_ID),  # a span's annotation does not name it
            "observationId": on_span or None,
            "name": item.get("name"),
            **({"value": score, "dataType": "NUMERIC"} if score is not None else _category(label)),
            "source": _SOURCES.get(str(item.get("annotator_kind")), "API"),
            "timestamp": item.get("updated_at"),
        },
    )


# MLflow


def _is_mlflow_trace(item: object) -> bool:
    return isinstance(item, Mapping) and (
        isinstance(item.get("trace_info"), Mapping) or ("trace_id" in item and "request_time" in item)
    )


def _mlflow_trace(item: Mapping[str, Any]) -> Iterator[ServerRow]:
    told = item.get("trace_info")
    info: Mapping[str, Any] = told if isinstance(told, Mapping) else item
    trace_id, begin = short_text(info.get("trace_id"), MAX_ID), moment(info.get("request_time"))
    if not trace_id or begin is None:
        return
    tags, said = mapping(info.get("tags")), mapping(info.get("trace_metadata"))
    shared = {name: value for name, value in {**said, **tags}.items() if not name.startswith("mlflow.")}
    prompts = _prompts(tags.get("mlflow.linkedPrompts"))
    stated = {**said, **tags}
    yield (
        "trace",
        {
            "id": trace_id,
            "timestamp": format_moment(begin),
            **{field: value for field, names in _MLFLOW_NAMES.items() if (value := first(stated, names))},
            "input": info.get("request_preview"),
            "output": info.get("response_preview"),
            "metadata": {**shared, **prompts},
            "latency": _seconds(info.get("execution_duration")),
        },
    )
    spans = [span for span in _list(item.get("spans")) if isinstance(span, Mapping)]
    for span in spans:
        yield from _mlflow_span(span, trace_id)
    if not spans and isinstance(told, Mapping):
        yield "observation", _stand_in(info, trace_id, begin)
    for assessment in _list(info.get("assessments")):
        if isinstance(assessment, Mapping):
            yield from _assessment(assessment, trace_id)


def _mlflow_span(span: Mapping[str, Any], trace_id: str) -> Iterator[ServerRow]:
    identifier, start = identifier_of(span.get("span_id")), moment_of(span.get("start_time_unix_nano"))
    if not identifier or start is None:
        return
    attributes = attributes_of(span.get("attributes"))
    attributes |= _usage(attributes.pop("mlflow.chat.tokenUsage", None))
    events = [event for event in _list(span.get("events")) if isinstance(event, Mapping)]
    status = mapping(span.get("status"))
    failed = status.get("code") in {2, "STATUS_CODE_ERROR"}
    yield (
        "observation",
        observation_row(
            identifier=identifier,
            trace_id=trace_id,
            parent_id=identifier_of(span.get("parent_span_id")),
            name=span.get("name"),
            start=start,
            end=moment_of(span.get("end_time_unix_nano")),
            attributes=attributes,
            failed=failed,
            message=short_text(status.get("message"), 2000) or (exception_of(events) if failed else ""),
        ),
    )


def _stand_in(info: Mapping[str, Any], trace_id: str, begin: datetime) -> dict[str, Any]:
    """One observation for a trace whose spans the server does not have: they were logged as a file elsewhere."""
    seconds = _seconds(info.get("execution_duration"))
    failed = info.get("state") == "ERROR"
    row = observation_row(
        identifier=f"{trace_id}:info"[:MAX_ID],
        trace_id=trace_id,
        parent_id="",
        name=mapping(info.get("tags")).get("mlflow.traceName") or "trace",
        start=begin,
        end=begin + timedelta(seconds=seconds) if seconds is not None else None,
        attributes=_usage(mapping(info.get("trace_metadata")).get("mlflow.trace.tokenUsage")),
        failed=failed,
        message="",
    )
    return row | {"input": info.get("request_preview"), "output": info.get("response_preview")}


def _assessment(item: Mapping[str, Any], trace_id: str) -> Iterator[ServerRow]:
    value = mapping(item.get("feedback")).get("value")
    if item.get("valid") is False or value is None or isinstance(value, dict | list):
        return
    amount = None if isinstance(value, str) else number(value)
    on_span = identifier_of(item.get("span_id"))
    yield (
        "score",
        {
            "id": f"mlflow:{short_text(item.get('assessment_id'), 300)}",
            "traceId": trace_id,
            "observationId": on_span or None,
            "name": item.get("assessment_name"),
            **({"value": amount, "dataType": "NUMERIC"} if amount is not None else _category(short_text(value, 500))),
            "source": _SOURCES.get(str(mapping(item.get("source")).get("source_type")), "API"),
            "timestamp": item.get("last_update_time"),
        },
    )


def _prompts(value: object) -> dict[str, Any]:
    """The prompt that the trace is linked to, from `mlflow.linkedPrompts`: JSON of names and versions."""
    try:
        linked = json.loads(value) if isinstance(value, str) and len(value) < 20_000 else []
    except (ValueError, RecursionError):
        return {}
    one = linked[0] if isinstance(linked, list) and linked and isinstance(linked[0], dict) else {}
    found = {"prompt_name": short_text(one.get("name")), "prompt_version": short_text(one.get("version"))}
    return {name: value for name, value in found.items() if value}


def _usage(value: object) -> Attributes:
    usage = mapping(value)
    names = {"gen_ai.usage.input_tokens": "input_tokens", "gen_ai.usage.output_tokens": "output_tokens"}
    return {name: usage[key] for name, key in names.items() if measure(usage.get(key)) is not None}


def _category(label: str) -> dict[str, Any]:
    return {"value": None, "stringValue": label, "dataType": "CATEGORICAL"}


def _seconds(value: object) -> float | None:
    """Protobuf's JSON duration, like "1.500s"."""
    match = _SECONDS.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) if match else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
