"""GitLab's releases, deployments, pushes and merge requests as changes, from webhooks and REST alike. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from postmortem.changes import repository_changes as repository
from postmortem.changes.feed_options import FeedOptions
from postmortem.changes.records import ChangeRecord
from postmortem.changes.repository_changes import commit_sha, entries, files_of, part, short_name
from postmortem.traces.values import short_text

HOST = "gitlab"


def read_event(body: Mapping[str, Any], options: FeedOptions) -> list[ChangeRecord]:
    """The changes of a webhook event; none for one that tells none. Raises UserError.

    A merge request's event does not name its files; the push of its merge does, under the same id.
    """
    kind, project = body.get("object_kind"), part(body, "project")
    name = short_text(project.get("path_with_namespace"))
    if kind == "release" and body.get("action") == "create":
        return [_release_event(name, body)]
    if kind == "deployment" and body.get("status") == "success":
        return [_deployment_event(name, body)] if options.wants(short_text(body.get("environment"))) else []
    branch = options.branch or short_text(project.get("default_branch"))
    if kind == "push" and body.get("ref") == f"refs/heads/{branch}":
        return _push(name, body, options)
    if kind == "merge_request":
        asked = part(body, "object_attributes")
        if asked.get("action") == "merge" and asked.get("target_branch") == branch:
            return _merge_event(name, body, asked, options)
    return []


def release_change(name: str, told: Mapping[str, Any]) -> ChangeRecord:
    """A release from the list of releases, which has no number: its tag names it."""
    return repository.release(
        id_=release_id(name, told), repository=name, tag=short_text(told.get("tag_name")),
        at=told.get("released_at") or told.get("created_at"), link=part(told, "_links").get("self"),
        actor=_name(told.get("author")),
    )  # fmt: skip


def deployment_change(name: str, told: Mapping[str, Any]) -> ChangeRecord:
    """A deployment that succeeded, from the list of deployments."""
    job = part(told, "deployable")
    return repository.deployment(
        id_=deployment_id(name, told.get("id")), repository=name, sha=short_text(told.get("sha"), 40),
        ref=short_text(told.get("ref")), environment=environment_of(told),
        at=told.get("finished_at") or job.get("finished_at") or told.get("updated_at"), link=job.get("web_url"),
        actor=_name(told.get("user")),
    )  # fmt: skip


def merge_changes(
    name: str, told: Mapping[str, Any], paths: Iterable[str] | None, options: FeedOptions
) -> list[ChangeRecord]:
    """A merged merge request, by the layers of the named paths among `paths`."""
    title = f"{short_text(told.get('title'), 250)} (!{short_text(told.get('iid'), 12)})"
    return repository.landed(
        host=HOST, repository=name, sha=merge_sha(told), title=title,
        at=told.get("merged_at") or told.get("updated_at"), link=told.get("web_url"),
        actor=_name(told.get("merge_user")) or _name(told.get("merged_by")) or _name(told.get("author")), paths=paths,
        options=options,
    )  # fmt: skip


def commit_changes(
    name: str, told: Mapping[str, Any], paths: Iterable[str], options: FeedOptions
) -> list[ChangeRecord]:
    """A commit that was pushed without a merge request."""
    return repository.landed(
        host=HOST, repository=name, sha=commit_sha(told.get("id")), title=short_text(told.get("message"), 300),
        at=told.get("committed_date"), link=told.get("web_url"), actor=short_text(told.get("author_name")),
        paths=paths, options=options,
    )  # fmt: skip


def release_id(name: str, told: Mapping[str, Any]) -> str:
    """The id under which a release is logged."""
    return f"{HOST}:release:{short_name(name, 90)}:{short_name(short_text(told.get('tag_name'), 200), 80)}"


def deployment_id(name: str, number: object) -> str:
    """The id under which a deployment is logged; every GitLab counts its own, so the project belongs to it."""
    return f"{HOST}:deployment:{short_name(name)}:{short_text(number, 40)}"


def environment_of(told: Mapping[str, Any]) -> str:
    """Where a deployment went."""
    return short_text(part(told, "environment").get("name"))


def merge_sha(told: Mapping[str, Any]) -> str:
    """The commit with which a merge request landed: of the merge, of the squash, or the last of its own."""
    for name in ("merge_commit_sha", "squash_commit_sha", "sha"):
        if found := commit_sha(told.get(name)):
            return found
    return commit_sha(part(told, "last_commit").get("id"))


def _release_event(name: str, body: Mapping[str, Any]) -> ChangeRecord:
    told = {**body, "tag_name": body.get("tag"), "_links": {"self": body.get("url")}, "author": None}
    return release_change(name, told)


def _deployment_event(name: str, body: Mapping[str, Any]) -> ChangeRecord:
    # The event shortens the commit; its address holds it whole, as REST tells it.
    short = short_text(body.get("short_sha"), 40)
    last = short_text(body.get("commit_url"), 1000).rstrip("/").rsplit("/", 1)[-1][:40]
    return repository.deployment(
        id_=deployment_id(name, body.get("deployment_id")), repository=name,
        sha=last if short and last.startswith(short) else short, ref=short_text(body.get("ref")),
        environment=short_text(body.get("environment")), at=body.get("status_changed_at"),
        link=body.get("deployable_url"), actor=_name(body.get("user")),
    )  # fmt: skip


def _merge_event(
    name: str, body: Mapping[str, Any], asked: Mapping[str, Any], options: FeedOptions
) -> list[ChangeRecord]:
    told = {**asked, "web_url": asked.get("url"), "merge_user": body.get("user")}
    return merge_changes(name, told, None, options)


def _push(name: str, body: Mapping[str, Any], options: FeedOptions) -> list[ChangeRecord]:
    after, commits = commit_sha(body.get("after")), entries(body.get("commits"))
    head = next((commit for commit in commits if commit.get("id") == after), commits[-1] if commits else {})
    if not commits:
        return []  # the branch was made, moved or deleted
    return repository.landed(
        host=HOST, repository=name, sha=after, title=short_text(head.get("message"), 300), at=head.get("timestamp"),
        link=head.get("url"), actor=short_text(body.get("user_username")) or short_text(body.get("user_name")),
        paths=files_of(commits), options=options,
    )  # fmt: skip


def _name(person: object) -> str:
    return short_text(person.get("username")) if isinstance(person, Mapping) else ""
