"""Prompts pulled again and again: each version once, moves of `production` from the second pull on."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta

from postmortem.changes.feed_http import Budget, Work
from postmortem.changes.pull_prompts import pull
from postmortem.changes.webhooks import records_of
from tests.changes.hosts import NOW


@dataclass(frozen=True)
class Version:
    name: str
    version: int
    created_at: object
    updated_at: object
    labels: tuple = ()
    commit_message: str = ""
    created_by: str = "ann"
    raw: bytes = b"{}"


@dataclass(frozen=True)
class Entry:
    name: str
    versions: tuple
    labels: tuple
    updated_at: object


class Langfuse:
    """A source with `versions`; `reads` counts single reads."""

    def __init__(self, *versions):
        self.versions, self.reads = list(versions), 0

    def list_prompts(self):
        names = dict.fromkeys(version.name for version in self.versions)
        for name in names:
            mine = [version for version in self.versions if version.name == name]
            labels = tuple({label for version in mine for label in version.labels})
            updated = max(version.updated_at for version in mine)
            yield Entry(name, tuple(sorted(version.version for version in mine)), labels, updated)

    def prompt_version(self, name, number=None, *, label=None):
        self.reads += 1
        fits = [v for v in self.versions if v.name == name and (v.version == number or label in v.labels)]
        return fits[0]


def made(name, number, hours, *labels, **more):
    at = NOW - timedelta(hours=hours)
    return Version(name, number, at, at, labels, **more)


def run(source, cursor, requests=100):
    told, unfinished = [], False
    for step in pull(source, Work(cursor, lambda ids: set(), NOW - timedelta(days=30), NOW), Budget(requests)):
        told += [one.record for one in step.told]
        cursor, unfinished = json.loads(json.dumps(step.cursor)), step.unfinished
    return told, cursor, unfinished


def test_versions_then_a_move_of_the_label_with_the_webhooks_id():
    source = Langfuse(made("answer", 1, 50, "production"), made("answer", 2, 40), made("refund", 1, 30))
    told, cursor, _ = run(source, {})
    assert [record.id for record in told] == ["prompt:answer:1", "prompt:answer:2", "prompt:refund:1"]
    assert (told[1].from_version, told[1].to_version) == ("1", "2")
    reads = source.reads
    assert run(source, cursor)[0] == []
    assert source.reads == reads  # nothing has changed since, so nothing is read but the list
    moved_at = NOW - timedelta(hours=1)
    source.versions[0] = replace(source.versions[0], labels=(), updated_at=moved_at)
    source.versions[1] = replace(source.versions[1], labels=("production",), updated_at=moved_at)
    source.versions.append(made("answer", 3, 0.5, commit_message="Warmer\nmore"))
    told, cursor, _ = run(source, cursor)
    new, move = told
    assert (new.id, new.from_version, new.summary) == ("prompt:answer:3", "2", "Prompt answer v2 → v3: Warmer")
    assert (move.at, move.from_version, move.to_version) == (moved_at, "1", "2")
    event = {
        "type": "prompt-version", "action": "updated", "timestamp": NOW.isoformat(),
        "prompt": {"name": "answer", "version": 2, "labels": ["production"], "updatedAt": moved_at.isoformat()},
    }  # fmt: skip
    (record,) = records_of("langfuse", {}, json.dumps(event).encode())
    assert record.id == move.id


def test_a_version_made_as_production_is_one_change():
    source = Langfuse(made("answer", 1, 50, "production"))
    _, cursor, _ = run(source, {})
    source.versions[0] = replace(source.versions[0], labels=(), updated_at=NOW)
    source.versions.append(made("answer", 2, 0, "production"))
    told, cursor, _ = run(source, cursor)
    assert [record.id for record in told] == ["prompt:answer:2"]
    assert cursor["prompts"]["answer"]["production"] == 2


def test_more_prompts_than_one_pull_may_read():
    source = Langfuse(*(made(f"p{number}", 1, 5) for number in range(12)))
    told, cursor, unfinished = run(source, {}, requests=8)
    assert unfinished
    rest, _, unfinished = run(source, cursor, requests=8)
    assert not unfinished
    assert len({record.id for record in [*told, *rest]}) == len(told) + len(rest) == 12
