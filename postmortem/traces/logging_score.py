"""What was not logged: a score for how well traces tell what they ran on, what each gap costs, how to mend it. Pure.

The weights say how much of the analysis rests on a facet: 3 where a change can only be guessed without it, 2 where a
confusion stays possible, 1 where a view is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from postmortem.lib.layers import Layer

ENOUGH = 0.95  # share of the traces from which on a facet counts as logged


@dataclass(frozen=True, slots=True)
class FacetWorth:
    """One facet of the map: weight, layer that it tells about, what its absence costs, where to record it."""

    weight: int
    layer: Layer
    cost: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A facet that too few traces carry; `lost` is how many points of the score it takes."""

    facet: str
    share: float
    lost: float
    worth: FacetWorth


@dataclass(frozen=True, slots=True)
class LoggingScore:
    """Points from 0 to 100, and the gaps, the dearest first."""

    points: float
    gaps: list[Gap]


_M, _P, _R, _I = Layer.MODEL, Layer.PROMPT, Layer.RETRIEVAL, Layer.INFRASTRUCTURE
FACET_WORTH: dict[str, FacetWorth] = {
    "prompt": FacetWorth(
        2, _P, "Prompt changes cannot be told apart by template.",
        "Link the prompt to the generation, or put prompt_name into its metadata.",
    ),
    "prompt_version": FacetWorth(
        3, _P, "Exposure to prompt changes is inferred from the log's times, not seen.",
        "Link the prompt version to the generation, or put prompt_version into its metadata.",
    ),
    "model": FacetWorth(
        2, _M, "Exposure to model changes is inferred from the log's times, not seen.",
        "Record the requested model on every generation (gen_ai.request.model).",
    ),
    "model_served": FacetWorth(
        2, _M, "A provider that serves another model than was asked for goes unnoticed.",
        "Record the model that the provider's answer names (gen_ai.response.model).",
    ),
    "model_version": FacetWorth(
        3, _M, "A silent provider update goes unnoticed.",
        "Put the provider's system_fingerprint or snapshot date into the generation's metadata as model_version.",
    ),
    "index": FacetWorth(
        1, _R, "Traffic cannot be split by index.", "Put index_name into the metadata of the retrieval step.",
    ),
    "index_version": FacetWorth(
        3, _R, "Exposure to index rebuilds is inferred from the log's times, not seen.",
        "Give every index build a number and put index_version into the metadata of the retrieval step.",
    ),
    "encoder": FacetWorth(
        2, _R, "A query encoder that does not match its index goes unnoticed.",
        "Record the embedding call with its model, or put encoder into the metadata of the retrieval step.",
    ),
    "tool_schema": FacetWorth(
        1, _P, "Exposure to tool schema edits is inferred, not seen.",
        "Hash the tool definitions and put tool_schema_version into the generation's metadata.",
    ),
    "judge_version": FacetWorth(
        2, _I, "A drop in a score cannot be told from a change of the judge.",
        "Put judge_version into the metadata of every scored trace.",
    ),
    "release": FacetWorth(
        3, _I, "Exposure to releases is inferred from the log's times, not seen.",
        "Set the release of the tracing client (LANGFUSE_RELEASE or service.version) at deployment.",
    ),
    "environment": FacetWorth(
        1, _I, "Traffic of other environments cannot be kept apart.",
        "Set the environment of the tracing client (LANGFUSE_TRACING_ENVIRONMENT or deployment.environment.name).",
    ),
    "region": FacetWorth(
        2, _I, "Staged rollouts by region cannot be followed.", "Put region into the metadata of the root observation.",
    ),
    "tenant": FacetWorth(
        1, _I, "A noisy or unusual tenant cannot be kept apart.",
        "Put tenant_id into the metadata of the root observation.",
    ),
    "segment": FacetWorth(
        2, _I, "A shift of the traffic between segments looks like a change of quality.",
        "Put the customer's segment or plan into the metadata of the root observation.",
    ),
    "intent": FacetWorth(
        1, _I, "A shift of the questions looks like a change of quality.",
        "Classify the question cheaply and put intent into the metadata of the root observation.",
    ),
}  # fmt: skip


def logging_score(shares: Mapping[str, float]) -> LoggingScore:
    """From {facet: share of the traces that carry it}: points = 100 Σ weight × share / Σ weight."""
    total = sum(worth.weight for worth in FACET_WORTH.values())
    gaps, points = [], 0.0
    for facet, worth in FACET_WORTH.items():
        share = min(max(shares.get(facet, 0.0), 0.0), 1.0)
        points += 100 * worth.weight * share / total
        if share < ENOUGH:
            gaps.append(Gap(facet, share, 100 * worth.weight * (1 - share) / total, worth))
    gaps.sort(key=lambda gap: -gap.lost)
    return LoggingScore(points, gaps)
