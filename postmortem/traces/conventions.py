"""What span attributes mean: OpenTelemetry GenAI, OpenInference, Langfuse and MLflow in Langfuse's own words. Pure.

Sources: the OpenTelemetry semantic conventions for generative AI, the OpenInference specification, and the
attributes that Langfuse's and MLflow's SDKs write. Every attribute stays in the observation's metadata, where the
facet map looks for what has no field of its own.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from postmortem.lib.clock import format_moment
from postmortem.traces.values import number, short_text

Attributes = dict[str, Any]

_KINDS = {
    "LLM": "GENERATION", "CHAT": "GENERATION", "CHAT_MODEL": "GENERATION", "TEXT_COMPLETION": "GENERATION",
    "GENERATE_CONTENT": "GENERATION", "GENERATION": "GENERATION", "EMBEDDING": "EMBEDDING",
    "EMBEDDINGS": "EMBEDDING", "RETRIEVER": "RETRIEVER", "RETRIEVAL": "RETRIEVER", "RERANKER": "RETRIEVER",
    "TOOL": "TOOL", "EXECUTE_TOOL": "TOOL", "AGENT": "AGENT", "INVOKE_AGENT": "AGENT", "CREATE_AGENT": "AGENT",
    "CHAIN": "CHAIN", "GUARDRAIL": "GUARDRAIL", "EVALUATOR": "EVALUATOR", "EVENT": "EVENT",
}  # fmt: skip
_KIND_NAMES = ("langfuse.observation.type", "openinference.span.kind", "gen_ai.operation.name", "mlflow.spanType")
# For each field of an observation the attributes that may hold it, the most telling first.
_FIELDS = {
    "model": (
        "langfuse.observation.model.name", "gen_ai.request.model", "llm.model_name", "embedding.model_name",
        "reranker.model_name", "mlflow.llm.model", "gen_ai.response.model",
    ),
    "input": (
        "langfuse.observation.input", "input.value", "mlflow.spanInputs", "gen_ai.input.messages", "gen_ai.prompt",
        "gen_ai.tool.call.arguments",
    ),
    "output": (
        "langfuse.observation.output", "output.value", "mlflow.spanOutputs", "gen_ai.output.messages",
        "gen_ai.completion", "gen_ai.tool.call.result",
    ),
    "sessionId": ("langfuse.session.id", "session.id", "gen_ai.conversation.id"),
    "userId": ("langfuse.user.id", "user.id", "enduser.id"),
    "promptName": ("langfuse.observation.prompt.name", "gen_ai.prompt.name"),
    "promptVersion": ("langfuse.observation.prompt.version", "llm.prompt_template.version"),
    "release": ("langfuse.release", "service.version"),
    "environment": ("langfuse.environment", "deployment.environment.name", "deployment.environment"),
    "traceName": ("langfuse.trace.name",),
    "tags": ("langfuse.trace.tags", "tag.tags"),
    "completionStartTime": ("langfuse.observation.completion_start_time",),
}  # fmt: skip
_USAGE = {
    "input": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "output": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
}
_COST = ("gen_ai.usage.cost", "llm.cost.total")
_BODIES = frozenset(name for field in ("input", "output") for name in _FIELDS[field])
_NESTED = "metadata."


def observation_row(
    *,
    identifier: str,
    trace_id: str,
    parent_id: str,
    name: object,
    start: datetime,
    end: datetime | None,
    attributes: Mapping[str, Any],
    failed: bool,
    message: str,
) -> dict[str, Any]:
    """A span as a row of Langfuse's observations; times in UTC, `attributes` with the resource's among them."""
    row: dict[str, Any] = {
        "id": identifier,
        "traceId": trace_id,
        "parentObservationId": parent_id or None,
        "name": name,
        "type": kind_of(attributes),
        "startTime": format_moment(start),
        "endTime": format_moment(end) if end else None,
        "level": "ERROR" if failed else "DEFAULT",
        "statusMessage": message,
        "metadata": _metadata(attributes),
        "usageDetails": {
            field: amount for field, names in _USAGE.items() if (amount := number(first(attributes, names))) is not None
        },
        "totalCost": number(first(attributes, _COST)),
    }
    return row | fields_of(attributes)


def fields_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The observation's fields that attributes tell; fields that none tells are left out."""
    return {field: found for field, names in _FIELDS.items() if (found := first(attributes, names)) not in (None, "")}


def kind_of(attributes: Mapping[str, Any]) -> str:
    """Langfuse's type of observation, SPAN where nothing says more."""
    for name in _KIND_NAMES:
        if kind := _KINDS.get(short_text(attributes.get(name), 40).upper()):
            return kind
    return "GENERATION" if "gen_ai.request.model" in attributes or "llm.model_name" in attributes else "SPAN"


def first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first attribute of `names` that says something; objects as JSON text."""
    for name in names:
        value = attributes.get(name)
        if value not in (None, ""):
            return json.dumps(value) if isinstance(value, dict) else value
    return None


def _metadata(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Everything but inputs and outputs. "metadata.region", as Phoenix writes it, goes back into an object."""
    kept: dict[str, Any] = {}
    nested: dict[str, Any] = {}
    for name, value in attributes.items():
        if name.startswith(_NESTED):
            nested[name.removeprefix(_NESTED)] = value
        elif name not in _BODIES:
            kept[name] = value
    if nested:
        stated = kept.get("metadata")
        kept["metadata"] = (stated if isinstance(stated, dict) else {}) | nested
    return kept
