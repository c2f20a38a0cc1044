"""The stand-in speaks Langfuse: every answer passes the SDK's own response models."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from langfuse.api import LangfuseAPI
from langfuse.api.core.api_error import ApiError

from fixtures.standin import StandIn, awkward
from tests.traces.stories import BEGIN, END, ENVIRONMENT, NAME, write_story

ALL_FIELDS = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_story(tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="module")
def dual(story: Path) -> Iterator[StandIn]:
    with StandIn(mode="dual", stories=[story]) as stand_in:
        yield stand_in


@pytest.fixture
def sdk(dual: StandIn) -> LangfuseAPI:
    return LangfuseAPI(base_url=dual.base_url, username=dual.public_key, password=dual.secret_key)


def plain(stand_in: StandIn, path: str, **params: object) -> httpx.Response:
    keys = (stand_in.public_key, stand_in.secret_key)
    return httpx.get(f"{stand_in.base_url}/api/public/{path}", params=params, auth=keys)  # type: ignore[arg-type]


def test_health_and_projects(sdk: LangfuseAPI) -> None:
    assert sdk.health.health().version.startswith("4.")
    (project,) = sdk.projects.get().data
    assert (project.id, project.name) == ("demo-project", "Demo shop")


def test_observations_come_newest_first_by_cursor(sdk: LangfuseAPI) -> None:
    found, cursor = [], None
    while True:
        page = sdk.observations.get_many(fields=ALL_FIELDS, limit=50, cursor=cursor)
        found += page.data
        cursor = page.meta.cursor
        if cursor is None:
            break
    assert len(found) == 60 * 3 + len(awkward.observations())
    assert len({(item.trace_id, item.id) for item in found}) == len(found)
    starts = [item.start_time for item in found]
    assert starts == sorted(starts, reverse=True)


def test_an_observation_has_what_the_real_one_has(sdk: LangfuseAPI) -> None:
    generation, retriever, root = sdk.observations.get_many(fields=ALL_FIELDS, trace_id=f"{59:032x}").data
    assert [item.type for item in (root, retriever, generation)] == ["SPAN", "RETRIEVER", "GENERATION"]
    assert generation.prompt_name == "answer"
    assert generation.prompt_version == 7
    # the server says providedModelName, the SDK's model knows only `model`
    assert generation.model is None
    assert generation.model_extra is not None
    assert generation.model_extra["providedModelName"] == "atlas-chat"
    assert generation.parent_observation_id == root.id
    assert root.is_root_observation
    assert (root.trace_name, root.release, root.environment) == (NAME, "4.18.2", ENVIRONMENT)
    assert "region:us" in (root.tags or [])
    assert isinstance(root.input, str)


def test_field_groups_and_filters(sdk: LangfuseAPI) -> None:
    core = sdk.observations.get_many(limit=1).data[0]
    assert core.name is not None
    assert core.latency is None
    assert core.metadata is None
    conditions = [
        {"type": "string", "column": "traceName", "operator": "=", "value": NAME},
        {"type": "datetime", "column": "startTime", "operator": "<", "value": (BEGIN + timedelta(days=1)).isoformat()},
    ]
    # `filter` goes before every other parameter
    rows = sdk.observations.get_many(filter=json.dumps(conditions), name="never", fields=ALL_FIELDS, limit=1000).data
    assert {item.trace_name for item in rows} == {NAME}
    assert len(rows) == 6 * 3
    between = sdk.observations.get_many(from_start_time=BEGIN, to_start_time=END, type="GENERATION", limit=1000).data
    assert {item.type for item in between} == {"GENERATION"}
    assert sdk.observations.get_many(environment="staging").data == []
    assert sdk.observations.get_many(trace_id="unknown").data == []  # 200 and empty


def test_metadata_is_cut_unless_asked_for(sdk: LangfuseAPI) -> None:
    ask = {"fields": "metadata", "trace_id": awkward.TRUNCATED}
    assert len((sdk.observations.get_many(**ask).data[0].metadata or {})["policy"]) == 200
    whole = sdk.observations.get_many(**ask, expand_metadata="policy").data[0].metadata or {}
    assert whole["policy"] == awkward.LONG_VALUE


def test_scores_of_every_kind(sdk: LangfuseAPI) -> None:
    page = sdk.scores.get_many(trace_id=awkward.ORPHANS, fields="details,subject,annotation", limit=100)
    kinds = {score.name: (score.data_type, score.value, score.subject and score.subject.kind) for score in page.data}
    assert kinds == {
        "quality": ("NUMERIC", 0.25, "trace"),
        "refused": ("BOOLEAN", True, "trace"),
        "kind": ("CATEGORICAL", "greeting", "trace"),
        "grounded": ("NUMERIC", 0.5, "observation"),
    }
    first = sdk.scores.get_many(limit=100)
    second = sdk.scores.get_many(limit=100, cursor=first.meta.cursor)
    assert len({score.id for score in [*first.data, *second.data]}) == 60 * 2 + len(awkward.scores())
    assert second.meta.cursor is None
    with pytest.raises(ApiError) as refused:
        sdk.scores.get_many(limit=101)
    assert refused.value.status_code == 400


def test_prompts(sdk: LangfuseAPI) -> None:
    listed = {prompt.name: prompt.versions for prompt in sdk.prompts.list().data}
    assert listed["answer"] == [6, 7]
    prompt = sdk.prompts.get("answer", version=6, resolve=False)
    assert (prompt.version, prompt.labels) == (6, [])
    assert prompt.commit_message
    assert (prompt.model_extra or {})["createdAt"].startswith("2026-03-02")
    assert sdk.prompts.get("folder%2Ftone%20of%20voice", version=1).name == "folder/tone of voice"


def test_the_old_endpoints_tell_the_same(dual: StandIn) -> None:
    body = plain(dual, f"traces/{59:032x}").json()
    assert (body["name"], body["latency"], len(body["observations"]), len(body["scores"])) == (NAME, 1.5, 3, 2)
    assert body["observations"][2]["model"] == "atlas-chat"
    assert plain(dual, "traces/order%207%2Fstep%20%232%20%C3%BC").json()["id"] == awkward.CUSTOM_ID
    assert plain(dual, "traces/unknown").status_code == 404
    page = plain(dual, "traces", name=NAME, limit=25, page=3, fields="core,scores").json()
    assert page["meta"] == {"page": 3, "limit": 25, "totalItems": 60, "totalPages": 3}
    assert (len(page["data"]), page["data"][0]["latency"], len(page["data"][0]["scores"])) == (10, -1, 2)
    ids = ",".join(page["data"][0]["scores"])
    assert len(plain(dual, "v2/scores", scoreIds=ids).json()["data"]) == 2


@pytest.mark.parametrize(
    ("mode", "path", "words"),
    [
        ("v4", "traces/x", "events_only"),
        ("v4", "v2/scores", "events_only"),
        ("v3", "v2/observations", "only available in a Langfuse v4 write mode"),
        ("v3", "v3/scores", "only available in a Langfuse v4 write mode"),
    ],
)
def test_each_mode_has_its_wrong_api_answer(mode: str, path: str, words: str) -> None:
    with StandIn(mode=mode) as stand_in:
        answer = plain(stand_in, path)
    assert answer.status_code == 404
    assert words in answer.json()["message"]


def test_keys(dual: StandIn) -> None:
    wrong = httpx.get(f"{dual.base_url}/api/public/projects", auth=("pk-lf-demo", "wrong"))
    assert wrong.status_code == 401
    forbidden = httpx.get(f"{dual.base_url}/api/public/projects", auth=("pk-lf-forbidden", dual.secret_key))
    assert forbidden.status_code == 403
    other = httpx.get(f"{dual.base_url}/api/public/projects", auth=("pk-lf-other", dual.secret_key))
    assert other.json()["data"][0]["id"] == "other-project"


def test_a_pasted_link_leads_to_a_page(dual: StandIn) -> None:
    page = httpx.get(dual.link(awkward.CUSTOM_ID))
    assert page.status_code == 200
    assert "order 7/step #2 ü" in page.text
    assert httpx.get(dual.link("unknown")).status_code == 404


def test_the_command_says_how_to_reach_it_and_ends_cleanly(story: Path, tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    command = [sys.executable, "-u", "-m", "fixtures.standin", "--story", str(story), "--port-file", str(port_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(7)]
        base = told[0].split(" at ")[1].strip()
        assert base.endswith(port_file.read_text())
        assert "pk-lf-demo" in told[1]
        assert "sk-lf-demo" in told[2]
        link = told[4].strip()
        assert link.startswith(f"{base}/project/demo-project/traces/")
        assert urllib.request.urlopen(link).status == 200
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert not port_file.exists()
