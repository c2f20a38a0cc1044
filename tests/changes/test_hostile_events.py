"""Every event that a webhook tells, with every part of it replaced by something hostile: one sentence, or a change."""

import copy
import json

import pytest

from postmortem.changes.feed_options import read_options
from postmortem.changes.parse import content_of, read_change, to_open_format
from postmortem.changes.webhooks import records_of
from postmortem.lib.errors import UserError
from tests.changes.hosts import ago, github, sha
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
