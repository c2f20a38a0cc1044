"""OTLP/JSON trace files (the JSON encoding of opentelemetry-proto 1.x), in Langfuse's own words. Pure.

What the attributes mean is told by `conventions`.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.traces.conventions import Attributes, observation_row
from postmortem.traces.values import MAX_ID, check_depth, number, short_text

_ID = re.compile(r"[0-9a-f]{16,32}", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NANOSECOND = 4_102_444_800 * 10**9  # the year 2100
_MAX_ATTRIBUTES = 2_000
_CAMEL_OF = {
    "string_value": "stringValue", "double_value": "doubleValue", "bool_value": "boolValue", "int_value": "intValue",
    "bytes_value": "bytesValue", "array_value": "arrayValue", "kvlist_value": "kvlistValue",
}  # fmt: skip
_VALUES = frozenset(_CAMEL_OF.values())


def is_otlp(value: object) -> bool:
    """Whether a JSON value is an OTLP export of traces."""
    return isinstance(value, Mapping) and isinstance(value.get("resourceSpans"), list)


def rows_of_otlp(document: Mapping[str, Any], what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """("observation" or "score", row) for every span and every evaluation in the document.

    Raises UserError naming the span that has no ids or no time; `what` names the file in it.
    """
    check_depth(document, what)
    count = 0
    for resource_spans in _objects(document.get("resourceSpans")):
        shared = attributes_of(_object(resource_spans.get("resource")).get("attributes"))
        scopes = resource_spans.get("scopeSpans") or resource_spans.get("instrumentationLibrarySpans")
        for scope in _objects(scopes):
            for span in _objects(scope.get("spans")):
                count += 1
                yield from _span(span, shared, f"{what}, span {count}")


def _span(span: Mapping[str, Any], shared: Attributes, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    trace_id, identifier = identifier_of(span.get("traceId")), identifier_of(span.get("spanId"))
    if not trace_id or not identifier:
        raise UserError(f"{where} has no traceId or no spanId; export the traces again as OTLP/JSON.")
    start = moment_of(span.get("startTimeUnixNano"))
    if start is None:
        raise UserError(f"{where}: startTimeUnixNano is no number of nanoseconds since 1970; export the traces again.")
    end = moment_of(span.get("endTimeUnixNano"))
    own = attributes_of(span.get("attributes"))
    attributes = shared | own
    events = list(_objects(span.get("events")))
    status = _object(span.get("status"))
    failed = status.get("code") in {2, "2", "STATUS_CODE_ERROR"}
    row = observation_row(
        identifier=identifier,
        trace_id=trace_id,
        parent_id=identifier_of(span.get("parentSpanId")),
        name=span.get("name"),
        start=start,
        end=end,
        attributes=attributes,
        failed=failed,
        message=status.get("message") or (exception_of(events) if failed else ""),
    )
    yield "observation", row
    for position, event in enumerate(events):
        if event.get("name") == "gen_ai.evaluation.result":
            yield from _evaluation(event, row, position)


def _evaluation(event: Mapping[str, Any], row: dict[str, Any], position: int) -> Iterator[tuple[str, dict[str, Any]]]:
    told = attributes_of(event.get("attributes"))
    name, value = short_text(told.get("gen_ai.evaluation.name")), number(told.get("gen_ai.evaluation.score.value"))
    if name and value is not None:
        at = moment_of(event.get("timeUnixNano"))
        yield (
            "score",
            {
                "id": f"{row['id']}:{position}:{name}"[:400],
                "traceId": row["traceId"],
                "observationId": row["id"],
                "name": name,
                "value": value,
                "dataType": "NUMERIC",
                "source": "EVAL",
                "timestamp": format_moment(at) if at else row["startTime"],
            },
        )


def exception_of(events: list[Mapping[str, Any]]) -> str:
    """The message of the last exception that the span recorded."""
    for event in reversed(events):
        if event.get("name") == "exception":
            told = attributes_of(event.get("attributes"))
            return str(told.get("exception.message") or told.get("exception.type") or "")
    return ""


def attributes_of(value: object) -> Attributes:
    """A list of KeyValues as plain JSON, at most 2,000 of them."""
    found: Attributes = {}
    for item in _objects(value):
        if len(found) >= _MAX_ATTRIBUTES:
            break
        if isinstance(key := item.get("key"), str) and key:
            found[key[:MAX_ID]] = _value(item.get("value"))
    return found


def _value(value: object) -> Any:
    """An AnyValue as plain JSON; integers come as text, as the encoding says."""
    told = _object(value)
    if told and not _VALUES & told.keys():  # protobuf's JSON with the names of its fields
        told = {_CAMEL_OF.get(name, name): item for name, item in told.items()}
    if "intValue" in told:
        text = str(told["intValue"])
        return int(text) if re.fullmatch(r"-?\d{1,19}", text) else text[:MAX_ID]
    if "arrayValue" in told:
        return [_value(item) for item in _objects(_object(told["arrayValue"]).get("values"))]
    if "kvlistValue" in told:
        return attributes_of(_object(told["kvlistValue"]).get("values"))
    return next(
        (told[name] for name in ("stringValue", "doubleValue", "boolValue", "bytesValue") if name in told), None
    )


def identifier_of(value: object) -> str:
    """Hex as the encoding says; base64, as some exporters write it, becomes hex."""
    text = short_text(value, MAX_ID)
    if not text or _ID.fullmatch(text):
        return text.lower()
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text
    return raw.hex() if len(raw) in {8, 16} else text


def moment_of(value: object) -> datetime | None:
    """Nanoseconds since 1970, as number or text; None for anything else."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"\d{1,20}", text) or not 0 < int(text) < _LAST_NANOSECOND:
        return None
    return _EPOCH + timedelta(microseconds=int(text) // 1000)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    return (item for item in (value if isinstance(value, list) else []) if isinstance(item, Mapping))
