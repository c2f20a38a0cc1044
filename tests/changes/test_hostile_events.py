"""Every event that a webhook tells and every answer that a pull reads, with every part of it replaced by something
hostile: one sentence, or changes that can be stored."""

import copy
import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from postmortem.changes import pull_github, pull_gitlab, pull_mlflow
from postmortem.changes.feed_http import Entry, Work
from postmortem.changes.feed_options import read_options
from postmortem.changes.parse import content_of, read_change, to_open_format
from postmortem.changes.webhooks import records_of
from postmortem.lib.errors import UserError
from postmortem.traces.source_http import SourceError
from tests.changes.hosts import NOW, Registry, ago, github, gitlab, sha
from tests.changes.test_feeds import CD, CHANGE, PROMPT

OPTIONS = read_options({"paths": "** → prompt\nprompts/** → model"})
PROJECT = {"path_with_namespace": "shop/assistant", "default_branch": "main"}
REPOSITORY = {"full_name": "shop/assistant", "default_branch": "main", "pushed_at": 1_700_000_000}
LISTS = github().lists
HEAD = {"message": "Warmer", "timestamp": ago(hours=2), "url": "https://github.com/shop/assistant/commit/1"}
COMMITS = [
    {"id": sha(4), "message": "W", "timestamp": ago(hours=2), "added": ["prompts/a"], "modified": [], "removed": []}
]
EVENTS = {
    "github release": {
        "action": "published", "repository": REPOSITORY, "release": LISTS["/repos/shop/assistant/releases"][1],
    },
    "github deployment_status": {
        "repository": REPOSITORY, "deployment": LISTS["/repos/shop/assistant/deployments"][1],
        "deployment_status": {"state": "success", "created_at": ago(hours=1)},
    },
    "github push": {
        "ref": "refs/heads/main", "after": sha(4), "repository": REPOSITORY, "sender": {"login": "ann"},
        "head_commit": HEAD, "commits": COMMITS,
    },
    "github pull_request": {
        "action": "closed", "repository": REPOSITORY,
        "pull_request": LISTS["/repos/shop/assistant/pulls"][0] | {"merged": True},
    },
    "gitlab deployment": {
        "object_kind": "deployment", "status": "success", "status_changed_at": "2021-04-28 21:50:00 +0200",
        "deployment_id": 42, "deployable_url": "https://git.example.org/9", "environment": "production",
        "project": PROJECT, "short_sha": sha(5)[:8], "user": {"username": "ann"},
        "commit_url": f"https://git.example.org/{sha(5)}",
    },
    "gitlab release": {
        "object_kind": "release", "action": "create", "tag": "v8", "released_at": "2020-11-02 12:55:12 UTC",
        "project": PROJECT, "url": "https://git.example.org/v8",
    },
    "gitlab push": {
        "object_kind": "push", "ref": "refs/heads/main", "after": sha(4), "project": PROJECT, "user_username": "bob",
        "commits": COMMITS,
    },
    "gitlab merge_request": {
        "object_kind": "merge_request", "project": PROJECT, "user": {"username": "bob"},
        "object_attributes": {
            "action": "merge", "iid": 4, "title": "Warmer", "target_branch": "main", "merge_commit_sha": sha(4),
            "updated_at": "2026-11-02 12:55:12 UTC", "url": "https://git.example.org/4",
        },
    },
    "langfuse created": PROMPT,
    "langfuse moved": PROMPT | {"action": "updated", "prompt": PROMPT["prompt"] | {"labels": ["production"]}},
    "mlflow version": {
        "entity": "model_version", "action": "created", "timestamp": ago(hours=1),
        "data": {"name": "answerer", "version": "2", "source": "s3://m", "tags": {}, "description": "Fine-tuned"},
    },
    "mlflow alias": {
        "entity": "model_version_alias", "action": "created", "timestamp": ago(hours=1),
        "data": {"name": "answerer", "alias": "champion", "version": "2"},
    },
    "standard open": CHANGE,
    "standard cdevent": CD,
    "standard cloudevent": {"specversion": "1.0", "id": "x", "type": CD["context"]["type"], "data": CD},
}  # fmt: skip
HOSTILE = [
    None, True, 0, -1, 10**18, 10**400, 1e308, float("inf"), "", "\x00", "\ud800", "x" * 5000, [], {}, [[]], ["\ud800"],
    {"a": "\x00"}, "http://" + "x" * 2000, "javascript:alert(1)", "2026-99-99", "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00-14:00",
]  # fmt: skip


def places(value, path=()):
    """The path of every part of a value, of the whole first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def replaced(value, path, other):
    if not path:
        return other
    value = copy.deepcopy(value)
    part = value
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = other
    return value


@pytest.mark.parametrize("name", EVENTS)
def test_every_part_of_an_event_may_be_hostile(name):
    kind, event = name.split()
    headers = {"x-github-event": event}
    assert records_of(kind, headers, json.dumps(EVENTS[name]).encode(), OPTIONS)
    for path in places(EVENTS[name]):
        for other in HOSTILE:
            body = json.dumps(replaced(EVENTS[name], path, other)).encode()
            try:  # as the service does before it stores
                records = [read_change(to_open_format(told)) for told in records_of(kind, headers, body, OPTIONS)]
            except UserError as error:
                assert str(error)
                continue
            for stored in records:  # what either database would refuse is in none
                assert b"\x00" not in content_of(stored)
                assert "\\u0000" not in json.dumps(to_open_format(stored))
                assert not stored.link.startswith("javascript")


class Answers:
    """A reader without a wire: `host`'s answers, in the order in which they are asked for."""

    base = "https://host.example.org"

    def __init__(self, host):
        self.host = host

    def get(self, path, params=None):
        address = f"/{path}?{urlencode(params or {})}"
        said = self.host.answer("GET", address, "", {})
        if said["status"] != 200:
            raise SourceError(f"no {path}")
        return json.loads(said["body"])

    def entries(self, path, params):
        value = self.get(path, params)
        if not isinstance(value, list):
            raise SourceError("no list")
        return [Entry(one, b"{}") for one in value if isinstance(one, dict)]


PULLS = {
    "github": (github, pull_github.pull, ("lists", "objects")),
    "gitlab": (gitlab, pull_gitlab.pull, ("lists", "objects")),
    "mlflow": (Registry, pull_mlflow.pull, ("models", "versions")),
}


@pytest.mark.parametrize("name", PULLS)
def test_every_part_of_an_answer_may_be_hostile(name):
    """Whatever else a pull cannot read, it ends, and tells nothing that a database refuses."""
    make, pull, parts = PULLS[name]
    options = read_options({"project": "shop/assistant", "paths": "prompts/** → prompt"})
    whole = None
    for part in parts:
        kept = getattr(make(), part)
        for path in [(), *places(kept)][1:]:
            if "_files" in path or not path:
                continue
            for other in (None, [], {}, 10**400, "\ud800\x00"):
                host = make()
                changed = replaced(kept, path, other)
                if name == "mlflow" and not all(isinstance(one, dict) for one in changed):
                    continue
                setattr(host, part, changed)
                work = Work({}, lambda ids: set(), NOW - timedelta(days=30), NOW)
                told = []
                try:
                    for step in pull(Answers(host), options, work):
                        told += step.told
                        json.dumps(step.cursor)
                except SourceError as error:
                    assert str(error)
                for one in told:
                    record = read_change(to_open_format(one.record))
                    assert b"\x00" not in content_of(record)
                whole = max(whole or 0, len(told))
    assert whole
