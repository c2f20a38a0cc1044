"""OTLP/JSON files: what GenAI and OpenInference instrumentations write becomes traces with their facets."""

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.lib.errors import UserError
from postmortem.traces.files import parse_file, read_file

NANO = 10**9
START = 1_773_000_000


def attribute(key: str, value: Any) -> dict[str, Any]:
    kind = "intValue" if isinstance(value, int) else "doubleValue" if isinstance(value, float) else "stringValue"
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def span(trace: str = "a" * 32, identifier: str = "1" * 16, seconds: float = 0, **fields: Any) -> dict[str, Any]:
    attributes = fields.pop("attributes", {})
    return {
        "traceId": trace,
        "spanId": identifier,
        "name": "answer",
        "startTimeUnixNano": str(int((START + seconds) * NANO)),
        "endTimeUnixNano": str(int((START + seconds + 2) * NANO)),
        "attributes": [attribute(key, value) for key, value in attributes.items()],
        **fields,
    }


def document(*spans: dict[str, Any], **resource: Any) -> dict[str, Any]:
    attributes = [attribute(key, value) for key, value in resource.items()]
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": list(spans)}]}]}


def read(*documents: dict[str, Any]) -> Any:
    return parse_file("\n".join(json.dumps(one) for one in documents).encode(), "otlp.jsonl")


def test_genai_spans_become_a_trace_with_its_facets_cost_tokens_and_score() -> None:
    call = span(
        identifier="2" * 16,
        parentSpanId="1" * 16,
        name="chat atlas",
        attributes={
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "atlas-mini",
            "gen_ai.response.model": "atlas-mini-2026-03", "gen_ai.usage.input_tokens": 640,
            "gen_ai.usage.output_tokens": 120, "gen_ai.usage.cost": 0.004, "gen_ai.conversation.id": "s-1",
            "gen_ai.input.messages": "[{}]", "region": "eu-west", "prompt_version": "v7",
        },
        events=[
            {
                "name": "gen_ai.evaluation.result",
                "timeUnixNano": str(START * NANO),
                "attributes": [
                    attribute("gen_ai.evaluation.name", "grounded"),
                    attribute("gen_ai.evaluation.score.value", 0.25),
                ],
            }
        ],
    )  # fmt: skip
    (trace,) = read(
        document(span(), call, **{"service.version": "2026.3.1", "deployment.environment.name": "production"})
    )
    assert trace.external_id == "a" * 32 and trace.session_id == "s-1" and trace.environment == "production"
    assert trace.latency_seconds == 2 and trace.cost_usd == pytest.approx(0.004) and trace.input_tokens == 640
    assert trace.scores == {"grounded": 0.25}
    told = {name: trace.facets[name] for name in ("model", "model_served", "prompt_version", "region", "release")}
    assert told == {
        "model": "atlas-mini", "model_served": "atlas-mini-2026-03", "prompt_version": "v7", "region": "eu-west",
        "release": "2026.3.1",
    }  # fmt: skip
    generation = next(one for one in trace.observations if one.external_id == "2" * 16)
    assert generation.kind == "GENERATION" and generation.parent_id == "1" * 16 and generation.input == "[{}]"


def test_openinference_spans_have_their_kinds_documents_and_errors() -> None:
    retriever = span(
        identifier="3" * 16,
        attributes={"openinference.span.kind": "RETRIEVER", "input.value": "refund?", "db.collection.name": "help"},
        status={"code": 2},
        events=[{"name": "exception", "attributes": [attribute("exception.message", "index is away")]}],
    )
    (trace,) = read(document(span(attributes={"openinference.span.kind": "CHAIN", "user.id": "u-1"}), retriever))
    kinds = {one.external_id[0]: one.kind for one in trace.observations}
    assert kinds == {"1": "CHAIN", "3": "RETRIEVER"} and trace.has_error and trace.user_id == "u-1"
    failed = next(one for one in trace.observations if one.level == "ERROR")
    assert failed.status_message == "index is away" and failed.input == "refund?"
    assert trace.facets["index"] == "help"


def test_lines_with_several_traces_each_find_their_page_again() -> None:
    lines = [
        document(span("a" * 32, "1" * 16), span("b" * 32, "2" * 16)),
        document(span("a" * 32, "3" * 16, seconds=5)),
    ]
    data = gzip.compress("\n".join(json.dumps(line) for line in lines).encode())
    parsed = read_file(data, "otlp.jsonl.gz")
    assert {record.external_id: len(record.observations) for record in parsed.records} == {"a" * 32: 2, "b" * 32: 1}
    assert frozenset().union(*(page.trace_ids or frozenset() for page in parsed.pages)) == {"a" * 32, "b" * 32}


def test_ids_in_base64_become_hex() -> None:
    (trace,) = read(document(span(base64.b64encode(b"\x01" * 16).decode(), base64.b64encode(b"\x02" * 8).decode())))
    assert trace.external_id == "01" * 16 and trace.observations[0].external_id == "02" * 8


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"spanId": ""}, "has no traceId or no spanId"),
        ({"startTimeUnixNano": "soon"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": -5}, "startTimeUnixNano"),
        ({"startTimeUnixNano": "9" * 30}, "startTimeUnixNano"),
    ],
)
def test_a_broken_span_is_named(broken: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=f"otlp.jsonl.*span 2.*{sentence}"):
        read(document(span(), {**span(), **broken}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["traceId", "spanId", "name", "startTimeUnixNano", "attributes", "events", "status"]), JSON)
def test_whatever_a_span_holds_gives_traces_or_a_sentence(field: str, value: Any) -> None:
    try:
        found = read(document({**span(), field: value}))
    except UserError:
        return
    assert found and all(record.external_id for record in found)
