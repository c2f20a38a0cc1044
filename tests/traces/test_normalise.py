"""From what sources send to facts: facets, scores, latency, cost."""

from dataclasses import replace

import pytest

from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.traces.facets import facets_of, facets_of_metadata, facets_of_tags
from postmortem.traces.normalise import (
    observation_from_langfuse,
    score_from_langfuse,
    scores_by_name,
    trace_from_observations,
    trace_from_open,
    trace_from_v1,
)
from postmortem.traces.records import ObservationRecord, ScoreRecord
from postmortem.traces.signals import SIGNALS, signal_label, signal_value

ROOT = {
    "id": "root", "traceId": "t1", "type": "SPAN", "name": "handle", "parentObservationId": "edge-proxy",
    "isRootObservation": True, "startTime": "2026-03-09T09:00:00.000Z", "endTime": "2026-03-09T09:00:02.500Z",
    "environment": "production", "release": "r42", "traceName": "help-centre", "sessionId": "s1", "userId": "u1",
    "input": "Can I return this?", "output": "No.", "tags": ["region:eu", "vip"],
    "metadata": {"index_version": "2026-03"},
}  # fmt: skip
GENERATION = {
    "id": "gen", "traceId": "t1", "type": "GENERATION", "name": "write", "parentObservationId": "root",
    "startTime": "2026-03-09T09:00:01.000Z", "endTime": "2026-03-09T09:00:02.400Z",
    "completionStartTime": "2026-03-09T09:00:01.300Z", "providedModelName": "m-large", "promptName": "answer",
    "promptVersion": 7, "usageDetails": {"input": 300, "input_cached_tokens": 20, "output": 9}, "totalCost": 0.002,
    "level": "DEFAULT",
}  # fmt: skip


def read(*rows: dict[str, object], scores: tuple[ScoreRecord, ...] = ()):
    return trace_from_observations([observation_from_langfuse(row) for row in rows], scores)


def test_a_trace_of_v2_observations() -> None:
    record = read(GENERATION, ROOT)  # newest first, as the endpoint sends them
    assert record.external_id == "t1"
    assert record.name == "help-centre"
    assert record.facets == {
        "prompt": "answer", "prompt_version": "7", "model": "m-large", "release": "r42", "environment": "production",
        "region": "eu", "index_version": "2026-03",
    }  # fmt: skip
    assert record.latency_seconds == 2.5
    assert record.time_to_first_token_seconds == pytest.approx(0.3)
    assert record.cost_usd == 0.002
    assert record.input_tokens == 320
    assert (record.input_preview, record.output_preview) == ("Can I return this?", "No.")
    assert (record.session_id, record.user_id, record.environment) == ("s1", "u1", "production")
    assert not record.has_error


def test_the_model_is_read_under_both_of_its_names() -> None:
    assert read(GENERATION | {"model": "m-small", "providedModelName": None}).facets["model"] == "m-small"
    assert read(GENERATION).facets["model"] == "m-large"


def test_an_error_anywhere_is_an_error_of_the_trace() -> None:
    assert read(ROOT, GENERATION | {"level": "ERROR"}).has_error


def test_what_has_no_end_or_cost_stays_unknown() -> None:
    record = read(ROOT | {"endTime": None})
    assert record.latency_seconds is None
    assert record.cost_usd is None
    assert record.input_tokens is None


@pytest.mark.parametrize("row", [ROOT | {"id": ""}, ROOT | {"startTime": "yesterday"}, ROOT | {"startTime": None}])
def test_a_row_without_id_or_time_is_refused(row: dict[str, object]) -> None:
    with pytest.raises(UserError, match="no id or no start time"):
        observation_from_langfuse(row)


def test_facet_names_are_forgiving() -> None:
    assert facets_of_metadata({"gen_ai.response.model": "m-large-2026-02", "cloud.region": "eu-1"}) == {
        "model_served": "m-large-2026-02", "region": "eu-1",
    }  # fmt: skip
    assert facets_of_metadata({"indexVersion": 12, "Tool-Schema": "t3"}) == {"index_version": "12", "tool_schema": "t3"}
    # one level down, as OpenTelemetry's attributes come, also written as text
    assert facets_of_metadata({"resourceAttributes": {"service.version": "r7"}}) == {"release": "r7"}
    assert facets_of_metadata({"attributes": '{"llm.model_name": "m"}'}) == {"model": "m"}
    # the plain name goes before a synonym
    assert facets_of_metadata({"plan": "free", "segment": "enterprise"}) == {"segment": "enterprise"}


def test_what_the_failure_patterns_read_is_found_where_it_is_recorded() -> None:
    stated = {
        "user_language": "de", "query_embedding_model": "e2", "index_encoder": "e1", "tenure": "412",
        "embedded_at": "2026-02-01T05:06:07Z", "http.response.status_code": 200,
    }  # fmt: skip
    assert facets_of([], metadata=stated) == {
        "language": "de", "query_encoder": "e2", "index_encoder": "e1", "embedding_date": "2026-02-01",
        "status_code": "200",
    }  # fmt: skip
    assert facets_of([], metadata={"tenure": "new"}) == {"tenure": "new"}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Error code: 404 - The model `gpt-x` does not exist", "404"),
        ("410 Gone", "410"),
        ("model_not_found: gpt-x", "model_not_found"),
        ("The model gpt-x has been deprecated", "model_not_found"),
        ("503 overloaded", ""),
    ],
)
def test_a_provider_that_says_the_model_is_gone_gives_a_status_code(message: str, code: str) -> None:
    start = parse_moment("2026-03-09T10:00:00Z")
    asked = ObservationRecord(
        "o", "t", None, "GENERATION", "ask", start, level="ERROR", status_message=message, model="gpt-x"
    )
    assert facets_of([asked]).get("status_code", "") == code
    assert "status_code" not in facets_of([replace(asked, level="DEFAULT")])


def test_tags_name_facets() -> None:
    assert facets_of_tags(["vip", "region:eu", "region:us", "Segment=pro", "url:https://x", "tenant:"]) == {
        "region": "eu", "segment": "pro",
    }  # fmt: skip


def test_a_value_that_the_server_cut_is_marked_and_is_no_facet() -> None:
    row = ROOT | {"metadata": {"model_version": "v" * 200, "index_version": "2026-03"}}
    assert observation_from_langfuse(row).truncated_metadata == ("model_version",)
    assert "model_version" not in read(row).facets
    assert read(row).facets["index_version"] == "2026-03"


def test_the_applications_spelling_of_a_prompt_version_is_kept() -> None:
    assert read(ROOT | {"metadata": {"prompt_version": "v7"}}, GENERATION).facets["prompt_version"] == "v7"
    # but what Langfuse linked goes before another word for it
    assert read(ROOT | {"metadata": {"prompt_version": "draft"}}, GENERATION).facets["prompt_version"] == "7"


def test_scores_of_v3_and_v2() -> None:
    shared = {"id": "s", "name": "quality", "timestamp": "2026-03-09T09:01:00Z", "source": "EVAL"}
    on_trace = shared | {"dataType": "NUMERIC", "value": 0.5, "subject": {"kind": "trace", "id": "t1"}}
    trace_id, score = score_from_langfuse(on_trace) or ("", None)
    assert (trace_id, score and score.value, score and score.source) == ("t1", 0.5, "EVAL")
    on_observation = on_trace | {"subject": {"kind": "observation", "id": "gen", "traceId": "t1"}}
    trace_id, score = score_from_langfuse(on_observation) or ("", None)
    assert (trace_id, score and score.observation_id) == ("t1", "gen")
    assert score_from_langfuse(on_trace | {"subject": {"kind": "session", "id": "s1"}}) is None
    _, score = score_from_langfuse(on_trace | {"dataType": "BOOLEAN", "value": True}) or ("", None)
    assert score and score.value == 1.0
    _, score = score_from_langfuse(on_trace | {"dataType": "CATEGORICAL", "value": "bad"}) or ("", None)
    assert score and (score.value, score.text_value) == (None, "bad")
    old = shared | {"traceId": "t1", "dataType": "CATEGORICAL", "value": 3, "stringValue": "bad"}
    trace_id, score = score_from_langfuse(old) or ("", None)
    assert score and (trace_id, score.value, score.text_value) == ("t1", None, "bad")


def test_one_number_for_each_score_name() -> None:
    early, late = (observation_from_langfuse(row).start for row in (ROOT, GENERATION))
    assert scores_by_name(
        [
            ScoreRecord("1", "quality", 0.9, timestamp=late, observation_id="gen"),
            ScoreRecord("2", "quality", 0.2, timestamp=early),
            ScoreRecord("3", "quality", 0.4, timestamp=late),
            ScoreRecord("4", "grounded", 0.7, observation_id="gen"),
            ScoreRecord("5", "remark", None, text_value="poor"),
        ]
    ) == {"quality": 0.4, "grounded": 0.7}


def test_the_body_of_the_old_endpoint() -> None:
    body = {
        "id": "t1", "timestamp": "2026-03-09T09:00:00.000Z", "name": "help-centre", "release": "r42",
        "tags": ["region:eu"], "environment": "production", "metadata": {"segment": "pro", "prompt": "not this"},
        "latency": 2.5, "totalCost": -1,
        "input": {"question": "Can I return this?"}, "output": "No.", "observations": [GENERATION],
        "scores": [{"id": "s", "name": "quality", "value": 0.25, "dataType": "NUMERIC", "traceId": "t1"}],
    }  # fmt: skip
    record = trace_from_v1(body)
    assert record.facets == {
        "prompt": "answer", "prompt_version": "7", "model": "m-large", "release": "r42", "environment": "production",
        "region": "eu", "segment": "pro",
    }  # fmt: skip
    assert record.scores == {"quality": 0.25}
    assert record.latency_seconds == 2.5
    assert record.cost_usd == 0.002  # -1 says that it was left out
    assert record.observations[0].trace_id == "t1"


def test_the_open_format() -> None:
    record = trace_from_open(
        {"id": "t1", "timestamp": "2026-03-09T09:00:00Z", "facets": {"prompt": "answer", "region": None, "shard": 3},
         "input_tokens": 432, "scores": {"success": 1, "text": "x", "nan": float("nan")}, "latency": 1.25}
    )  # fmt: skip
    assert record.facets == {"prompt": "answer", "shard": "3"}
    assert record.scores == {"success": 1.0}
    assert (record.latency_seconds, record.input_tokens) == (1.25, 432)


def test_hostile_values_become_storable() -> None:
    record = read(
        ROOT
        | {
            "traceName": "nul\x00 half \ud800",
            "input": {"deep": ["x" * 900_000]},
            "tags": [1, None, "region:" + "é" * 900],
        }
        | {"usageDetails": {"input": 1e300}, "totalCost": float("inf"), "metadata": {"tenant": "a\x00b"}}
    )
    assert record.name == "nul� half �"
    assert len(record.input_preview) <= 300
    assert len(record.observations[0].input) < 201_000
    assert record.cost_usd is None
    assert record.input_tokens is None
    assert record.facets["tenant"] == "a�b"


def test_signals() -> None:
    record = read(ROOT, GENERATION, scores=(ScoreRecord("s", "quality", 0.25),))
    assert signal_value(record, "latency") == 2.5
    assert signal_value(record, "time_to_first_token") == pytest.approx(0.3)
    assert signal_value(record, "cost") == 0.002
    assert signal_value(record, "error") == 0.0
    assert signal_value(record, "quality") == 0.25
    assert signal_value(record, "unknown") is None
    assert {name: signal_label(name) for name in [*SIGNALS, "quality"]}["time_to_first_token"] == "Time to first token"
    assert signal_label("quality") == "quality"
