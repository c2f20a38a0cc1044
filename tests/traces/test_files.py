"""Files instead of a link: every shape, and every way of being broken, in one sentence."""

import gzip
import json
import tracemalloc

import pytest

from postmortem.lib.errors import UserError
from postmortem.traces.files import parse_file, read_file
from postmortem.traces.rows import rows_of

OBSERVATION = {
    "id": "o1", "traceId": "t1", "type": "SPAN", "name": "handle", "startTime": "2026-03-09T09:00:00.000Z",
    "endTime": "2026-03-09T09:00:01.000Z", "input": "Can I return this?",
}  # fmt: skip
SCORE = {"id": "s1", "traceId": "t1", "name": "quality", "value": 0.25, "dataType": "NUMERIC", "source": "EVAL"}
V1 = {
    "id": "t1", "timestamp": "2026-03-09T09:00:00.000Z", "name": "help-centre", "htmlPath": "/project/p/traces/t1",
    "observations": [OBSERVATION], "scores": [SCORE], "latency": 1.0, "tags": ["region:eu"],
}  # fmt: skip
OPEN = {"id": "t1", "timestamp": "2026-03-09T09:00:00Z", "facets": {"region": "eu"}, "scores": {"quality": 0.25}}


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.parametrize(
    ("data", "filename"),
    [
        (json.dumps({"observations": [OBSERVATION], "scores": [SCORE]}).encode(), "trace-t1.json"),
        (json.dumps({"trace": {"id": "t1", "timestamp": OBSERVATION["startTime"]}, "observations": [OBSERVATION],
                     "scores": [SCORE]}, indent=2).encode(), "trace-t1.json"),
        (json.dumps(V1).encode(), "body.json"),
        (json.dumps(V1, indent=1).encode(), "body.json"),
        (lines(V1), "bodies.jsonl"),
        (json.dumps([V1]).encode(), "bodies.json"),
        (lines(OPEN), "traces.jsonl"),
        (gzip.compress(lines(OPEN), mtime=0), "traces.jsonl.gz"),
        (b"\xef\xbb\xbf" + lines(OPEN), "traces.jsonl"),
        (json.dumps({"data": [OBSERVATION | {"projectId": "p"}], "meta": {}}).encode(), "page.json"),
    ],
)  # fmt: skip
def test_every_shape_gives_the_trace(data: bytes, filename: str) -> None:
    (record,) = parse_file(data, filename)
    assert record.external_id == "t1"
    assert record.timestamp.isoformat() == "2026-03-09T09:00:00+00:00"
    assert record.scores == (
        {"quality": 0.25} if b"quality" in (gzip.decompress(data) if data[:1] == b"\x1f" else data) else {}
    )


def test_a_download_of_many_observations_has_no_inputs_and_is_read_all_the_same() -> None:
    bare = {key: value for key, value in OBSERVATION.items() if key != "input"}
    rows = [bare | {"id": f"o{n}", "parentObservationId": "o0" if n else None} for n in range(360)]
    (record,) = parse_file(json.dumps({"observations": rows, "scores": []}).encode(), "trace-t1.json")
    assert len(record.observations) == 360
    assert record.input_preview == ""


TABLE = {
    "id": "o1", "traceId": "t1", "traceName": "help-centre", "type": "GENERATION", "name": "write",
    "parentObservationId": None,
    "startTime": "2026-03-09T09:00:00.000Z", "endTime": None, "latencyMs": 1500, "timeToFirstTokenMs": 250,
    "promptName": "answer", "promptVersion": 7, "providedModelName": "m-large", "inputTokens": 300, "totalCost": 0.002,
    "environment": "production", "traceTags": ["region:eu"], "quality": [0.25], "verdict": ["poor"], "helpful": None,
}  # fmt: skip


def test_a_table_export_has_milliseconds_and_scores_as_columns() -> None:
    (record,) = parse_file(lines(TABLE), "1773-lf-observations-export-p1.jsonl")
    assert record.latency_seconds == 1.5
    assert record.time_to_first_token_seconds == 0.25
    assert record.scores == {"quality": 0.25}
    assert record.facets["prompt_version"] == "7"
    assert record.facets["region"] == "eu"
    assert (record.name, record.input_tokens, record.cost_usd) == ("help-centre", 300, 0.002)


def test_a_table_export_as_csv_says_the_same() -> None:
    text = (
        "id,traceId,traceName,type,name,startTime,latencyMs,timeToFirstTokenMs,promptName,promptVersion,traceTags,quality,note\n"
        'o1,t1,help-centre,GENERATION,write,2026-03-09T09:00:00.000Z,1500,250,answer,7,"[""region:eu""]",[0.25],"two\nlines"\n'
        "o2,t2,help-centre,GENERATION,write,2026-03-09T09:00:05.000Z,100,,answer,7,,,\n"
    )
    first, second = parse_file(text.encode(), "export.csv")
    assert (first.latency_seconds, first.scores, first.facets["region"]) == (1.5, {"quality": 0.25}, "eu")
    assert (second.latency_seconds, second.scores, second.time_to_first_token_seconds) == (0.1, {}, None)


def test_a_blob_export_in_snake_case_whose_rows_repeat() -> None:
    row = {
        "id": "o1", "trace_id": "t1", "project_id": "p", "type": "SPAN", "name": "handle", "provided_model_name": "m",
        "start_time": "2026-03-09 09:00:00.000", "end_time": "2026-03-09 09:00:01.000", "prompt_version": None,
    }  # fmt: skip
    (record,) = parse_file(lines(row, row), "observations.jsonl")
    assert (record.latency_seconds, len(record.observations)) == (1.0, 1)


def test_traces_and_their_observations_and_scores_join_by_id() -> None:
    trace = {key: value for key, value in V1.items() if key not in {"observations", "scores"}}
    (record,) = parse_file(lines(trace, OBSERVATION, SCORE), "mixed.jsonl")
    assert len(record.observations) == 1
    assert record.scores == {"quality": 0.25}


def test_long_files_are_kept_in_pages_of_whole_lines() -> None:
    rows = [OPEN | {"id": f"t{n}", "input": "x" * 3000} for n in range(1000)]
    data = lines(*rows)
    parsed = read_file(data, "traces.jsonl")
    assert len(parsed.pages) == 3
    assert b"".join(page.body for page in parsed.pages) == data
    for page in parsed.pages:
        assert {row.trace_id for row in rows_of(page.body, "page")} == page.trace_ids


DEEP = "[" * 3000 + "]" * 3000


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "traces.jsonl is empty"),
        (b" \n ", "traces.jsonl is empty"),
        (b"\xff{}", "is not UTF-8"),
        (b"PAR1xxxx", "is a damaged Parquet file"),
        (b"PK\x03\x04", "is a ZIP archive"),
        (lines(OPEN)[:-10], "is not valid JSON"),
        (lines(OPEN) + b"{broken\n" + lines(OPEN), "traces.jsonl, line 2 is not valid JSON"),
        (lines(OPEN, [1]), "line 2: a trace must be a JSON object"),
        (lines(OPEN, {"foo": 1}), "line 2: no trace here"),
        (lines(OPEN, OPEN | {"id": "t2", "timestamp": "noon"}), "line 2: “timestamp” is “noon”, which is no time"),
        (lines(OPEN, OPEN | {"id": "t2", "facets": ["eu"]}), "line 2: facets must be an object"),
        (lines(OBSERVATION, OBSERVATION | {"id": "o2", "traceId": ""}), "line 2: it names no trace"),
        (lines(SCORE), "holds scores but no traces"),
        (b"[]", "holds scores but no traces|holds no traces"),
        (b'"text"', "neither JSON nor"),
        (("[" + DEEP + "]").encode(), "nested more than 100"),
        (lines(OPEN | {"facets": {}, "x": json.loads("[" * 200 + "]" * 200)}), "nested more than 100"),
        (b"name,value\na,1\n", "names no id column"),
        (b"id,startTime,traceId\no1,2026-03-09T09:00:00Z\n", "line 2: 2 cells, but the header names 3"),
        (b'id,startTime,traceId\n"o1,2026-03-09\n', "is not valid CSV"),
        (gzip.compress(lines(OPEN), mtime=0)[:-12], "breaks off in the middle"),
        (b"\x1f\x8b" + b"nonsense" * 5, "damaged gzip"),
        (b'{"id": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_a_broken_file_gets_one_clear_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        parse_file(data, "../secret/traces.jsonl")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_small_file_cannot_unpack_into_a_large_one() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    tracemalloc.start()
    with pytest.raises(UserError, match="holds more than 1 MB"):
        parse_file(bomb, "traces.jsonl.gz", max_bytes=1024 * 1024)
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()
