"""What releases, deployments and merges of a repository tell, whichever host and way they came. Pure."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from postmortem.changes.feed_options import FeedOptions, layers_of_everything, touched_layers
from postmortem.changes.parse import read_change
from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import format_moment, parse_moment
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.traces.values import clean

_PATHS_KEPT = 50
_HEX = re.compile(r"[0-9a-fA-F]{4,64}")


def release(*, id_: str, repository: str, tag: str, at: object, link: object, actor: str) -> ChangeRecord:
    """A published release as a change of the infrastructure."""
    return read_change(
        {
            "id": id_, "layer": Layer.INFRASTRUCTURE.value, "at": moment_text(at), "to_version": tag[:200],
            "facet": "release" if tag else None, "summary": f"{repository} release {tag}"[:300],
            "link": web_link(link), "actor": actor[:200],
        }
    )  # fmt: skip


def deployment(
    *, id_: str, repository: str, sha: str, ref: str, environment: str, at: object, link: object, actor: str
) -> ChangeRecord:
    """A deployment that succeeded, at the moment when it did."""
    sha, environment = sha[:40], environment[:200]
    return read_change(
        {
            "id": id_, "layer": Layer.INFRASTRUCTURE.value, "at": moment_text(at),
            "summary": f"{repository} {ref[:120] or sha[:12]} deployed to {environment or 'production'}"[:300],
            "scope": {"environment": [environment]} if environment else {},
            "facet": "release" if sha else None, "to_version": sha or None,
            "link": web_link(link), "actor": actor[:200],
        }
    )  # fmt: skip


def merge_id(host: str, repository: str, sha: str, layer: Layer) -> str:
    """The id of what landed on the branch with the commit `sha`: a push and the merge behind it have the same."""
    return f"{host}:merge:{short_name(repository)}:{sha[:40]}:{layer.value}"


def merge_ids(host: str, repository: str, sha: str, options: FeedOptions) -> list[str]:
    """Every id that the landing of `sha` could have."""
    return [merge_id(host, repository, sha, layer) for layer in dict.fromkeys(rule.layer for rule in options.paths)]


def landed(
    *,
    host: str,
    repository: str,
    sha: str,
    title: str,
    at: object,
    link: object,
    actor: str,
    paths: Iterable[str] | None,
    options: FeedOptions,
) -> list[ChangeRecord]:
    """One change for each layer whose named paths a merge or push touched.

    `paths` None: the event does not tell its files, so only rules that fit every path count.
    """
    if not sha:
        raise UserError("The event names no commit.")
    if paths is None:
        touched: dict[Layer, list[str]] = {layer: [] for layer in layers_of_everything(options.paths)}
    else:
        touched = touched_layers(paths, options.paths)
    title = title.strip().split("\n")[0].strip()
    return [
        read_change(
            {
                "id": merge_id(host, repository, sha, layer), "layer": layer.value, "at": moment_text(at),
                "summary": _summary(title or f"{repository} {sha[:12]}", files), "actor": actor[:200],
                "link": web_link(link),
                "details": {"commit": sha[:40], "paths": [path[:200] for path in files[:_PATHS_KEPT]]},
            }
        )
        for layer, files in touched.items()
    ]  # fmt: skip


def moment_text(value: object) -> str:
    """Any spelling that GitHub or GitLab has for a moment, as RFC 3339. Raises UserError for none."""
    return format_moment(moment_of(value))


def moment_of(*values: object) -> datetime:
    """The first of `values` that is a moment: RFC 3339, GitLab's `2020-11-02 12:55:12 UTC`, or seconds."""
    for value in values:
        try:
            if isinstance(value, str) and value:
                return parse_moment(value.replace(" UTC", "+00:00").replace(" +", "+").replace(" -", "-"))
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 4_102_444_800:
                return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            continue
    raise UserError("The event names no time.")


def commit_sha(value: object) -> str:
    """A commit's hash in hex; empty for anything else."""
    found = value if isinstance(value, str) else ""
    return found[:40] if _HEX.fullmatch(found) else ""


def short_name(name: str, most: int = 110) -> str:
    """`name`, or its beginning and a hash that tells long names apart."""
    if len(name) <= most:
        return name
    return f"{name[: most - 17]}~{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:16]}"


def part(value: object, name: str) -> dict[str, Any]:
    """The object under `name`, or an empty one."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def entries(value: object) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [dict(entry) for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def files_of(commits: object) -> list[str]:
    """Every path that the commits of a push added, changed or removed."""
    return [
        clean(path[:1000])
        for commit in entries(commits)
        for kind in ("added", "modified", "removed")
        for path in _listed(commit.get(kind))
        if isinstance(path, str)
    ]


def web_link(value: object) -> str:
    """An http address of at most 1,000 characters, else nothing: other links are not worth refusing a change."""
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) and len(value) <= 1000 else ""


def _summary(title: str, files: list[str]) -> str:
    if not files:
        return title[:300]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    where = f" ({files[0][-120:]}{more})"
    return title[: 300 - len(where)] + where


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
