"""Stand-ins for the REST APIs of GitHub, GitLab and MLflow's registry, in the shapes that they document."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.recorded import answering

NOW = datetime.now(UTC).replace(microsecond=0)


def ago(**delta: float) -> str:
    """A moment before now, as the hosts write it."""
    return (NOW - timedelta(**delta)).isoformat().replace("+00:00", "Z")


def sha(number: int) -> str:
    """A commit's hash."""
    return f"{number:040x}"


class Host:
    """A host with answers by path. `asked` keeps what was asked, `headers` those of the last request."""

    def __init__(self, lists: dict[str, list[dict[str, Any]]], objects: dict[str, Any]) -> None:
        self.lists, self.objects = lists, objects
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.instead: dict[str, dict[str, Any]] = {}  # an answer in place of the usual one, by path

    def answer(self, method: str, address: str, body: str, headers: dict[str, str]) -> dict[str, Any] | None:
        """What `answering` serves."""
        self.asked.append(address)
        self.headers = headers
        parts = urlsplit(address)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if instead := self.instead.get(parts.path):
            return {"status": 200, "headers": {}, "body": "", **instead}
        if not isinstance(self.lists.get(parts.path, []), list):
            return _json(self.lists[parts.path])
        if parts.path in self.lists:
            rows = self.chosen(parts.path, self.lists[parts.path], query)
            size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
            return _json(rows[(page - 1) * size : page * size])
        if parts.path in self.objects:
            return _json(self.objects[parts.path])
        return {"status": 404, "headers": {}, "body": '{"message": "Not Found"}'}

    def chosen(self, path: str, rows: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
        """The rows that the query asks for, in its order."""
        if after := query.get("updated_after"):
            rows = [row for row in rows if str(_text(row, "updated_at")) > after.replace("+00:00", "Z")]
        if folder := query.get("path"):
            rows = [row for row in rows if any(name.startswith(folder) for name in _text(row, "_files"))]
        return rows

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The host's base URL."""
        with answering(self.answer) as base:
            yield base

    def count(self, part: str) -> int:
        """How often an address with `part` in it was asked."""
        return sum(part in unquote(address) for address in self.asked)


def _text(row: Any, name: str) -> Any:
    """A field of a row that may be anything, as tests make them."""
    return row[name] if isinstance(row, dict) and isinstance(row.get(name), str | list) else "9"


def _newest(one: dict[str, Any]) -> int:
    at = one.get("last_updated_timestamp")
    return -at if isinstance(at, int) else 0


def _json(value: Any) -> dict[str, Any]:
    return {"status": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(value)}


def github() -> Host:
    """shop/assistant: two releases and a draft, deployments, merged requests, one direct commit."""
    base = "/repos/shop/assistant"
    pulls = [
        _pull(12, "Shorter refund answers", ["prompts/refund.md", "docs/a.md"], hours=3),
        _pull(11, "Rename docs", ["docs/b.md"], hours=30),
        {**_pull(10, "Never merged", [], hours=40), "merged_at": None, "merge_commit_sha": sha(910)},
        _pull(9, "New chunking", ["retrieval/chunk.yaml", "prompts/answer.md"], hours=50),
    ]
    lists: dict[str, list[dict[str, Any]]] = {
        f"{base}/releases": [
            _release(52, "v5.2", published=None, hours=1, draft=True),
            _release(51, "v5.1", published=ago(hours=5), hours=6),
            _release(50, "v5.0", published=ago(days=200), hours=24 * 200),
        ],
        f"{base}/deployments": [
            _deployment(84, "production", 84, hours=1), _deployment(83, "production", 83, hours=2),
            _deployment(82, "preview/12", 82, hours=4), _deployment(81, "production", 81, hours=26),
        ],
        f"{base}/pulls": pulls,
        f"{base}/commits": [
            _commit(912, "Merge", parents=2, files=["prompts/refund.md"], hours=3),
            _commit(700, "Fix the tone\n\nLong story", parents=1, files=["prompts/tone.md"], hours=7),
            _commit(612, "Part of 12", parents=1, files=["prompts/refund.md"], hours=8),
        ],
        f"{base}/deployments/84/statuses": [_status("in_progress", hours=1)],
        f"{base}/deployments/83/statuses": [
            _status("inactive", hours=0.5), _status("success", hours=1.8), _status("in_progress", hours=1.9),
        ],
        f"{base}/deployments/82/statuses": [_status("success", hours=4)],
        f"{base}/deployments/81/statuses": [_status("failure", hours=25)],
        f"{base}/commits/{sha(700)}/pulls": [],
        f"{base}/commits/{sha(612)}/pulls": [{"number": 12, "merged_at": ago(hours=3)}],
    }  # fmt: skip
    objects: dict[str, Any] = {base: {"full_name": "shop/assistant", "default_branch": "main"}}
    for pull in pulls:
        lists[f"{base}/pulls/{pull['number']}/files"] = [{"filename": name} for name in pull["_files"]]
    for commit in lists[f"{base}/commits"]:
        objects[f"{base}/commits/{commit['sha']}"] = {**commit, "files": [{"filename": n} for n in commit["_files"]]}
    return Host(lists, objects)


def gitlab() -> Host:
    """shop/assistant, number 7: a deployment, a release and one to come, two merge requests."""
    base = "/api/v4/projects/7"
    lists: dict[str, list[dict[str, Any]]] = {
        f"{base}/deployments": [
            {
                "id": 42, "iid": 2, "ref": "main", "sha": sha(5), "status": "success", "created_at": ago(hours=5),
                "updated_at": ago(hours=4), "user": {"username": "ann"}, "environment": {"name": "production"},
                "deployable": {"finished_at": ago(hours=4), "web_url": "https://git.example.org/shop/-/jobs/9"},
            },
        ],
        f"{base}/releases": [
            {"tag_name": "v9", "released_at": ago(hours=-9), "created_at": ago(hours=1), "upcoming_release": True},
            {
                "tag_name": "v8", "name": "Eight", "released_at": ago(hours=9), "created_at": ago(hours=9),
                "upcoming_release": False, "author": {"username": "bob"},
                "_links": {"self": "https://git.example.org/shop/assistant/-/releases/v8"},
            },
        ],
        f"{base}/merge_requests": [
            _merge(3, "Docs only", hours=20, merge_commit_sha=sha(33)),
            _merge(4, "Warmer tone", hours=2, squash_commit_sha=sha(44)),
        ],
        f"{base}/merge_requests/3/diffs": [{"new_path": "docs/a.md", "old_path": "docs/a.md"}],
        f"{base}/merge_requests/4/diffs": [{"new_path": "archive/tone.md", "old_path": "prompts/tone.md"}],
        f"{base}/repository/commits": [
            _gitlab_commit(44, "Warmer tone", hours=2, files=["prompts/tone.md"]),
            _gitlab_commit(66, "Merge of a branch", hours=3, files=["prompts/a.md"], parents=2),
            _gitlab_commit(55, "Hot fix of the greeting\n\nLong story", hours=6, files=["prompts/hello.md"]),
            _gitlab_commit(77, "Squashed elsewhere", hours=7, files=["prompts/a.md"]),
        ],
    }  # fmt: skip
    for number, asked in ((55, []), (77, [{"iid": 9, "state": "merged"}])):
        lists[f"{base}/repository/commits/{sha(number)}/merge_requests"] = asked
        lists[f"{base}/repository/commits/{sha(number)}/diff"] = [{"new_path": "prompts/hello.md", "old_path": "x"}]
    project = {"id": 7, "path_with_namespace": "shop/assistant", "default_branch": "main"}
    return Host(lists, {"/api/v4/projects/shop%2Fassistant": project, "/api/v4/projects/7": project})


class Registry(Host):
    """MLflow's registry: `models` with aliases, `versions` with stages; pages of two."""

    def __init__(self) -> None:
        super().__init__({}, {})
        self.page = 2
        self.models = [{"name": "answerer", "aliases": [{"alias": "champion", "version": "1"}]}, {"name": "judge"}]
        self.versions = [
            version("answerer", "1", days=3, stage="Production"), version("judge", "1", days=2),
            version("answerer", "2", days=1, description="Fine-tuned on March\nmore"),
        ]  # fmt: skip

    def answer(self, method: str, address: str, body: str, headers: dict[str, str]) -> dict[str, Any] | None:
        self.asked.append(address)
        parts = urlsplit(address)
        if instead := self.instead.get(parts.path):
            return {"status": 200, "headers": {}, "body": "", **instead}
        token = int(parse_qs(parts.query).get("page_token", ["0"])[0])
        if parts.path == "/api/2.0/mlflow/registered-models/search":
            name, rows = "registered_models", self.models
        elif parts.path == "/api/2.0/mlflow/model-versions/search":
            assert parse_qs(parts.query)["order_by"] == ["last_updated_timestamp DESC"]
            name, rows = "model_versions", sorted(self.versions, key=_newest)
        else:
            return None
        end = token + self.page
        more = {"next_page_token": str(end)} if end < len(rows) else {}
        return _json({name: rows[token:end], **more})


def version(name: str, number: str, *, days: float, stage: str = "None", **more: Any) -> dict[str, Any]:
    """A model version as MLflow tells it."""
    made = int((NOW - timedelta(days=days)).timestamp() * 1000)
    return {
        "name": name, "version": number, "creation_timestamp": made, "last_updated_timestamp": made,
        "user_id": "ann", "current_stage": stage, "status": "READY", **more,
    }  # fmt: skip


def _release(number: int, tag: str, *, published: str | None, hours: float, draft: bool = False) -> dict[str, Any]:
    return {
        "id": number, "tag_name": tag, "draft": draft, "published_at": published, "created_at": ago(hours=hours),
        "author": {"login": "ann"}, "html_url": f"https://github.com/shop/assistant/releases/tag/{tag}",
    }  # fmt: skip


def _deployment(number: int, environment: str, commit: int, *, hours: float) -> dict[str, Any]:
    return {
        "id": number, "sha": sha(commit), "ref": "main", "environment": environment, "creator": {"login": "ci"},
        "created_at": ago(hours=hours), "updated_at": ago(hours=hours),
    }  # fmt: skip


def _status(state: str, *, hours: float) -> dict[str, Any]:
    return {"state": state, "created_at": ago(hours=hours), "target_url": "https://ci.example.org/1", "log_url": ""}


def _pull(number: int, title: str, files: list[str], *, hours: float) -> dict[str, Any]:
    return {
        "number": number, "title": title, "merged_at": ago(hours=hours), "updated_at": ago(hours=hours),
        "merge_commit_sha": sha(900 + number), "user": {"login": "bob"}, "base": {"ref": "main"},
        "html_url": f"https://github.com/shop/assistant/pull/{number}", "_files": files,
    }  # fmt: skip


def _commit(number: int, message: str, *, parents: int, files: list[str], hours: float) -> dict[str, Any]:
    who = {"name": "Ann", "date": ago(hours=hours)}
    return {
        "sha": sha(number), "commit": {"message": message, "author": who, "committer": who},
        "parents": [{"sha": sha(number + 1000 + place)} for place in range(parents)], "author": {"login": "ann"},
        "html_url": f"https://github.com/shop/assistant/commit/{sha(number)}", "_files": files,
    }  # fmt: skip


def _gitlab_commit(number: int, message: str, *, hours: float, files: list[str], parents: int = 1) -> dict[str, Any]:
    return {
        "id": sha(number), "message": message, "committed_date": ago(hours=hours), "author_name": "Ann",
        "parent_ids": [sha(number + 1000 + place) for place in range(parents)], "_files": files,
        "web_url": f"https://git.example.org/shop/assistant/-/commit/{sha(number)}",
    }  # fmt: skip


def _merge(number: int, title: str, *, hours: float, **more: Any) -> dict[str, Any]:
    return {
        "iid": number, "title": title, "state": "merged", "merged_at": ago(hours=hours), "updated_at": ago(hours=hours),
        "merge_commit_sha": None, "squash_commit_sha": None, "sha": sha(1), "merge_user": {"username": "bob"},
        "web_url": f"https://git.example.org/shop/assistant/-/merge_requests/{number}", **more,
    }  # fmt: skip
