"""GitHub's releases, deployments, pushes and merged pull requests as changes, from webhooks and REST alike. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from postmortem.changes import repository_changes as repository
from postmortem.changes.feed_options import FeedOptions
from postmortem.changes.records import ChangeRecord
from postmortem.changes.repository_changes import commit_sha, entries, files_of, moment_of, part
from postmortem.traces.values import short_text

HOST = "github"


def read_event(event: str, body: Mapping[str, Any], options: FeedOptions) -> list[ChangeRecord]:
    """The changes of a webhook event; none for one that tells none. Raises UserError.

    A pull request's event does not name its files; the push of its merge does, under the same id.
    """
    source = part(body, "repository")
    name = short_text(source.get("full_name"), 120)
    if event == "release" and body.get("action") == "published":
        return [release_change(name, part(body, "release"))]
    if event == "deployment_status" and part(body, "deployment_status").get("state") == "success":
        deployed = deployment_change(name, part(body, "deployment"), part(body, "deployment_status"))
        return [deployed] if options.wants(environment_of(part(body, "deployment"))) else []
    branch = options.branch or short_text(source.get("default_branch"))
    if event == "push" and body.get("ref") == f"refs/heads/{branch}" and not body.get("deleted"):
        return _push(name, body, options)
    if event == "pull_request" and body.get("action") == "closed":
        asked = part(body, "pull_request")
        if asked.get("merged") is True and part(asked, "base").get("ref") == branch:
            return merge_changes(name, asked, None, options)
    return []


def release_change(name: str, told: Mapping[str, Any]) -> ChangeRecord:
    """A published release, from an event or from the list of releases."""
    return repository.release(
        id_=release_id(told), repository=name, tag=short_text(told.get("tag_name")), at=told.get("published_at"),
        link=told.get("html_url"), actor=_login(told.get("author")),
    )  # fmt: skip


def deployment_change(name: str, told: Mapping[str, Any], status: Mapping[str, Any]) -> ChangeRecord:
    """A deployment with the status that says that it succeeded."""
    return repository.deployment(
        id_=deployment_id(told), repository=name, sha=short_text(told.get("sha"), 40), ref=short_text(told.get("ref")),
        environment=environment_of(told), at=status.get("created_at"),
        link=status.get("log_url") or status.get("target_url"), actor=_login(told.get("creator")),
    )  # fmt: skip


def merge_changes(
    name: str, told: Mapping[str, Any], paths: Iterable[str] | None, options: FeedOptions
) -> list[ChangeRecord]:
    """A merged pull request, by the layers of the named paths among `paths`."""
    title = f"{short_text(told.get('title'), 250)} (#{short_text(told.get('number'), 12)})"
    return repository.landed(
        host=HOST, repository=name, sha=merge_sha(told), title=title, at=told.get("merged_at"),
        link=told.get("html_url"), actor=_login(told.get("merged_by")) or _login(told.get("user")), paths=paths,
        options=options,
    )  # fmt: skip


def commit_changes(
    name: str, told: Mapping[str, Any], paths: Iterable[str], options: FeedOptions
) -> list[ChangeRecord]:
    """A commit that was pushed without a pull request."""
    commit = part(told, "commit")
    return repository.landed(
        host=HOST, repository=name, sha=commit_sha(told.get("sha")), title=short_text(commit.get("message"), 300),
        at=part(commit, "committer").get("date"), link=told.get("html_url"),
        actor=_login(told.get("author")) or short_text(part(commit, "author").get("name")), paths=paths,
        options=options,
    )  # fmt: skip


def release_id(told: Mapping[str, Any]) -> str:
    """The id under which a release is logged."""
    return f"{HOST}:release:{short_text(told.get('id'), 40)}"


def deployment_id(told: Mapping[str, Any]) -> str:
    """The id under which a deployment is logged."""
    return f"{HOST}:deployment:{short_text(told.get('id'), 40)}"


def environment_of(told: Mapping[str, Any]) -> str:
    """Where a deployment went."""
    return short_text(told.get("environment"))


def merge_sha(told: Mapping[str, Any]) -> str:
    """The commit with which a pull request landed."""
    return commit_sha(told.get("merge_commit_sha"))


def _push(name: str, body: Mapping[str, Any], options: FeedOptions) -> list[ChangeRecord]:
    head = part(body, "head_commit")
    at = moment_of(part(body, "repository").get("pushed_at"), head.get("timestamp"))
    commits = entries(body.get("commits"))
    return repository.landed(
        host=HOST, repository=name, sha=commit_sha(body.get("after")), title=short_text(head.get("message"), 300),
        at=at.isoformat(), link=head.get("url") or body.get("compare"),
        actor=_login(body.get("sender")) or short_text(part(body, "pusher").get("name")), paths=files_of(commits),
        options=options,
    )  # fmt: skip


def _login(person: object) -> str:
    return short_text(person.get("login")) if isinstance(person, Mapping) else ""
