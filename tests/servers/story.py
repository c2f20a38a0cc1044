"""Twenty traces of a small RAG application as OTLP/JSON, in OpenInference's or in OpenTelemetry's GenAI words."""

from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 3, 9, 9, tzinfo=UTC)
STEP = timedelta(minutes=3)
COUNT = 20
END = START + STEP * COUNT
PROJECT = "help-desk"
SESSION = "conversation 7/a"
FAILED = 7  # the trace whose retriever fails
UPGRADE = 10  # from this trace on, the prompt is version 8


def trace_id(number: int) -> str:
    """32 hex characters."""
    return f"{number + 1:032x}"


def document(words: str) -> dict[str, Any]:
    """All traces. `words` is "openinference" or "genai"."""
    spans = [span for number in range(COUNT) for span in _trace(number, words)]
    resource = {
        "service.name": "help-desk",
        "service.version": "4.18.2",
        "deployment.environment.name": "production",
        "openinference.project.name": PROJECT,
    }
    scope = {"scope": {"name": "tests"}, "spans": spans}
    return {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]}


def _trace(number: int, words: str) -> list[dict[str, Any]]:
    begin = START + STEP * number
    version = "7" if number < UPGRADE else "8"
    whole = {"session.id": SESSION if number % 5 == 0 else f"s-{number}", "user.id": f"u-{number % 3}"}
    region = {"region": "eu" if number % 2 else "us", "index_version": "11"}
    question, answer = f"How do I return order {number}?", f"With the label for order {number}."
    if words == "openinference":
        root = {
            "openinference.span.kind": "CHAIN", "input.value": question, "output.value": answer,
            "metadata": f'{{"region": "{region["region"]}", "index_version": "11"}}', "tag.tags": ["segment:consumer"],
            **whole,
        }  # fmt: skip
        retriever = {"openinference.span.kind": "RETRIEVER", "input.value": question,
                     "retrieval.documents.0.document.content": "Returns are free for 30 days."}  # fmt: skip
        model = {
            "openinference.span.kind": "LLM", "llm.model_name": "atlas-chat", "input.value": question,
            "output.value": answer, "llm.token_count.prompt": 400 + number, "llm.token_count.completion": 20,
            "llm.prompt_template.version": version, "llm.prompt_template.template": "Answer {question}",
        }  # fmt: skip
    else:
        root = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "help-desk", "input.value": question,
                "output.value": answer, "gen_ai.conversation.id": whole["session.id"],
                "user.id": whole["user.id"], **region}  # fmt: skip
        retriever = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
        model = {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "atlas-chat",
            "gen_ai.response.model": "atlas-chat-2026-02", "gen_ai.usage.input_tokens": 400 + number,
            "gen_ai.usage.output_tokens": 20, "gen_ai.prompt.name": "answer", "prompt_version": version,
            "gen_ai.input.messages": f'[{{"role": "user", "content": "{question}"}}]',
        }  # fmt: skip
    failed = number == FAILED
    return [
        _span(number, 0, "answer", begin, 1.5, root),
        _span(number, 1, "search", begin + timedelta(seconds=0.1), 0.3, retriever, failed=failed),
        _span(number, 2, "chat atlas-chat", begin + timedelta(seconds=0.5), 0.9, model),
    ]


def _span(
    number: int, position: int, name: str, start: datetime, seconds: float, attributes: dict[str, Any], *,
    failed: bool = False,
) -> dict[str, Any]:  # fmt: skip
    span = {
        "traceId": trace_id(number),
        "spanId": f"{(number + 1) * 16 + position:016x}",
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(round(start.timestamp() * 1e6) * 1000),
        "endTimeUnixNano": str(round((start + timedelta(seconds=seconds)).timestamp() * 1e6) * 1000),
        "attributes": _attributes(attributes),
        "status": {"code": 2, "message": "index is closed"} if failed else {"code": 1},
    }
    if position:
        span["parentSpanId"] = f"{(number + 1) * 16:016x}"
    return span


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
