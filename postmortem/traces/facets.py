"""The facet map: where each named property of a trace is found in what sources record. No Django here.

A facet is something that a change can move (`prompt_version`) or that a group of traces shares
(`region`). For each facet the first place that has a value wins: fields of the observations, then
metadata (root observation first), then tags written like "region:eu".
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from postmortem.traces.records import ObservationRecord
from postmortem.traces.values import mapping, short_text

# The names every facet goes by in metadata: plain ones, OpenTelemetry GenAI and OpenInference.
# Spelling is forgiving: "gen_ai.request.model", "genAiRequestModel" and "Gen-AI request model" are one.
_METADATA_NAMES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt_name", "langfuse_prompt_name", "gen_ai_prompt_name", "llm_prompt_template_name", "prompt"),
    "prompt_version": ("prompt_version", "langfuse_prompt_version", "llm_prompt_template_version"),
    "model": ("model", "model_name", "model_requested", "gen_ai_request_model", "llm_model_name"),
    "model_served": ("model_served", "served_model", "response_model", "gen_ai_response_model"),
    "model_version": ("model_version", "model_snapshot", "provider_model_version", "system_fingerprint"),
    "index": ("index", "index_name", "collection", "collection_name", "vector_store", "db_collection_name"),
    "index_version": ("index_version", "index_generation", "index_build", "corpus_version"),
    "encoder": ("encoder", "encoder_version", "embedding_model", "embedding_model_name"),
    "tool_schema": ("tool_schema", "tool_schema_version", "tools_version"),
    "judge_version": ("judge_version", "evaluator_version", "judge"),
    "release": ("release", "service_version", "deployment_version", "git_sha"),
    "environment": ("environment", "deployment_environment", "deployment_environment_name"),
    "region": ("region", "cloud_region", "deployment_region"),
    "tenant": ("tenant", "tenant_id", "tenant_name", "organisation", "organization", "customer"),
    "segment": ("segment", "customer_segment", "user_segment", "plan", "tier"),
    "intent": ("intent", "use_case", "topic"),
}
FACETS: tuple[str, ...] = tuple(_METADATA_NAMES)
# Facets that carry a version; the rest are groups and names.
VERSION_FACETS: tuple[str, ...] = (
    "prompt_version", "model_served", "model_version", "index_version", "encoder", "tool_schema", "judge_version",
    "release",
)  # fmt: skip

# What the failure patterns read besides, where an application records it: groups of people and of requests, the
# encoders of index and query apart, when the documents that were found had been embedded, how the provider answered.
_ALSO_NAMES: dict[str, tuple[str, ...]] = {
    "index_encoder": ("index_encoder", "encoder_index", "index_embedding_model"),
    "query_encoder": ("query_encoder", "encoder_query", "query_embedding_model"),
    "embedding_date": ("embedding_date", "embedded_at"),
    "status_code": ("status_code", "http_status_code", "http_response_status_code", "error_code"),
    "language": ("language", "lang", "user_language"),
    "locale": ("locale", "user_locale"),
    "country": ("country", "country_code", "user_country"),
    "cohort": ("cohort", "user_cohort"),
    "age_group": ("age_group",),
    "gender": ("gender",),
    "accessibility": ("accessibility",),
    "feature": ("feature", "feature_name"),
    "tenure": ("tenure", "tenure_group", "user_tenure"),
}
_FACET_OF_NAME = {
    name: (facet, rank)
    for facet, names in (*_METADATA_NAMES.items(), *_ALSO_NAMES.items())
    for rank, name in enumerate(names)
}
_GONE = re.compile(r"\b(404|410)\b|model.{0,80}?(?:not[ _-]?found|not exist|deprecat|retired|decommission)", re.I)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_TRUNCATED_AT = 200
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_TAG = re.compile(r"([A-Za-z][\w.\- ]{0,60})[:=](.{1,200})", re.DOTALL)


def truncated_keys(metadata: Mapping[str, object]) -> tuple[str, ...]:
    """Metadata keys whose values Langfuse cut: it sends the first 200 characters and no mark of it."""
    return tuple(key for key, value in metadata.items() if isinstance(value, str) and len(value) == _TRUNCATED_AT)


def facets_of(
    observations: Iterable[ObservationRecord],
    *,
    tags: Iterable[str] = (),
    metadata: Mapping[str, object] | None = None,
    release: str = "",
    environment: str = "",
) -> dict[str, str]:
    """The facets recorded by a trace's observations (root first, then in order of time).

    The keywords are what the trace itself says where a source has trace objects; it goes before its observations.
    """
    ordered = list(observations)
    found = _from_fields(ordered)
    found |= {name: value for name, value in (("release", release), ("environment", environment)) if value}
    stated = facets_of_metadata(metadata, truncated_keys(metadata)) if metadata else {}
    for observation in ordered:
        for facet, value in facets_of_metadata(observation.metadata, observation.truncated_metadata).items():
            stated.setdefault(facet, value)
    # "v7" in metadata and 7 in Langfuse are one version; the application's spelling matches its own change log.
    native = found.get("prompt_version")
    if native and stated.get("prompt_version") == f"v{native}":
        found["prompt_version"] = stated["prompt_version"]
    found = stated | found
    for facet, value in facets_of_tags([*tags, *(tag for item in ordered for tag in item.tags)]).items():
        found.setdefault(facet, value)
    return _coarse(found)


def _coarse(facets: dict[str, str]) -> dict[str, str]:
    """An embedding's moment as its day, and no bare number as tenure: else every trace were a kind of its own."""
    if day := _DAY.match(facets.get("embedding_date", "")):
        facets["embedding_date"] = day[0]
    if facets.get("tenure", "").replace(".", "").isdigit():
        del facets["tenure"]
    return facets


def facet_of_name(name: str) -> str:
    """The facet that goes by this name in metadata, "" for none."""
    return _facet_and_rank(name)[0]


def facets_of_metadata(metadata: Mapping[str, object], truncated: tuple[str, ...] = ()) -> dict[str, str]:
    """Facets in metadata, at the top or one level down (`attributes`, `resourceAttributes`, …).

    A value that the source cut is no facet: half a version is not a version.
    """
    best: dict[str, tuple[int, str]] = {}
    for key, value in metadata.items():
        if key in truncated:
            continue
        _keep_better(best, key, value, 0)
        if isinstance(value, dict) or (isinstance(value, str) and value[:1] == "{"):
            for name, item in mapping(value).items():
                _keep_better(best, name, item, 100)
    return {facet: value for facet, (_, value) in best.items()}


def _keep_better(best: dict[str, tuple[int, str]], name: str, value: object, depth: int) -> None:
    facet, rank = _facet_and_rank(name)
    if not facet:
        return
    text = short_text(value).strip()
    if text and text[0] != "{" and (facet not in best or rank + depth < best[facet][0]):
        best[facet] = (rank + depth, text)


def facets_of_tags(tags: Iterable[str]) -> dict[str, str]:
    """Facets in tags written like "region:eu" or "segment=pro"; the first of a facet wins."""
    found: dict[str, str] = {}
    for tag in tags:
        match = _TAG.fullmatch(tag)
        facet, _ = _facet_and_rank(match[1]) if match else ("", 0)
        if match and facet and match[2].strip():
            found.setdefault(facet, match[2].strip())
    return found


def _from_fields(observations: list[ObservationRecord]) -> dict[str, str]:
    found: dict[str, str] = {}
    prompted = next((item for item in observations if item.prompt_name), None)
    generation = prompted if prompted and prompted.model else None
    generation = generation or next((o for o in observations if o.kind == "GENERATION" and o.model), None)
    generation = generation or next((o for o in observations if o.model and o.kind != "EMBEDDING"), None)
    embedding = next((item for item in observations if item.kind == "EMBEDDING" and item.model), None)
    candidates = {
        "prompt": prompted.prompt_name if prompted else "",
        "prompt_version": prompted.prompt_version if prompted else "",
        "model": generation.model if generation else "",
        "encoder": embedding.model if embedding else "",
        "status_code": _status(observations),
        "release": next((item.release for item in observations if item.release), ""),
        "environment": next((item.environment for item in observations if item.environment), ""),
    }
    found.update({facet: value for facet, value in candidates.items() if value})
    return found


def _status(observations: Iterable[ObservationRecord]) -> str:
    """How the provider said that a model is gone, "" where it did not; whatever else failed has other words."""
    for observation in observations:
        found = _GONE.search(observation.status_message[:500]) if observation.level == "ERROR" else None
        if found is not None and (observation.model or "model" in observation.status_message.lower()):
            return found[1] or "model_not_found"
    return ""


@lru_cache(maxsize=4096)
def _facet_and_rank(name: str) -> tuple[str, int]:
    """The facet that goes by this name, and how far down the list of its names; ("", 0) for none."""
    plain = _NOT_WORD.sub("_", _CAMEL.sub("_", name[:120]).lower()).strip("_")
    return _FACET_OF_NAME.get(plain, ("", 0))
