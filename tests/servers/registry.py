"""What a pull must read from the registry of a real MLflow server: versions, then moves of stages and aliases."""

from datetime import timedelta
from typing import Any

import httpx

from postmortem.changes.feed_http import FeedReader, Work
from postmortem.changes.feed_options import read_options
from postmortem.changes.pull_mlflow import pull
from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import utc_now
from postmortem.lib.layers import Layer


def _ask(base: str, path: str, body: dict[str, Any], method: str = "POST") -> Any:
    return httpx.request(method, f"{base}/api/2.0/mlflow/{path}", json=body).raise_for_status().json()


def _version(base: str, name: str, description: str = "") -> None:
    body = {"name": name, "source": "s3://models/answerer", "description": description}
    _ask(base, "model-versions/create", body)


def check_pulls(base: str) -> None:
    """The first pull tells the versions, the second what has moved since, the third nothing."""
    stored: set[str] = set()
    cursor: dict[str, Any] = {}

    def run(**options: Any) -> list[ChangeRecord]:
        nonlocal cursor
        found: list[ChangeRecord] = []
        now = utc_now()
        work = Work(cursor, lambda ids: stored & set(ids), now - timedelta(days=1), now)
        with FeedReader(base) as reader:
            for step in pull(reader, read_options(options), work):
                found += [told.record for told in step.told]
                cursor = step.cursor
        stored.update(record.id for record in found)
        assert work.unreadable == []
        return found

    for name in ("answerer", "judge"):
        _ask(base, "registered-models/create", {"name": name})
    for number in range(5):
        _version(base, "answerer", f"Trained on week {number + 1}")
    _version(base, "judge")
    _ask(base, "registered-models/alias", {"name": "answerer", "alias": "champion", "version": "4"})
    prompt = {"name": "greeting", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}
    _ask(base, "registered-models/create", prompt)

    versions = run(models=["answerer", "judge"])
    assert {record.id for record in versions} == {
        *(f"mlflow:answerer:version:{number}" for number in range(1, 6)), "mlflow:judge:version:1",
    }  # fmt: skip
    third = next(record for record in versions if record.id.endswith("answerer:version:3"))
    assert third.summary == "Model answerer version 3 registered: Trained on week 3"
    assert (third.layer, third.link) == (Layer.MODEL, f"{base}/#/models/answerer/versions/3")
    assert abs(utc_now() - third.at) < timedelta(minutes=5)

    before = utc_now()
    _ask(base, "registered-models/alias", {"name": "answerer", "alias": "champion", "version": "5"})
    stage = {"name": "answerer", "version": "5", "stage": "Production", "archive_existing_versions": False}
    _ask(base, "model-versions/transition-stage", stage)
    _version(base, "judge", "Stricter")
    moved = {record.summary: record for record in run(models=["answerer", "judge"], facet="model_version")}
    assert set(moved) == {
        "Model answerer: alias champion v4 → v5", "Model answerer version 5: stage None → Production",
        "Model judge version 2 registered: Stricter",
    }  # fmt: skip
    alias = moved["Model answerer: alias champion v4 → v5"]
    assert alias.at <= before <= alias.until <= utc_now()
    assert (alias.facet, alias.from_version, alias.to_version) == ("model_version", "4", "5")
    assert run(models=["answerer", "judge"], facet="model_version") == []
