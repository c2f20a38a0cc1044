"""GitLab read over REST 4: deployments, releases, merge requests and direct commits to named paths. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import quote

from postmortem.changes import gitlab_changes as gitlab
from postmortem.changes.feed_http import Entry, Place, Reads, Step, Work, bounded, one, pages_of
from postmortem.changes.feed_options import FeedOptions, folders
from postmortem.changes.repository_changes import commit_sha, merge_ids, moment_of
from postmortem.lib.errors import UserError
from postmortem.traces.source_http import SourceError
from postmortem.traces.values import mapping, short_text

_PAGE = 100
_CLOCKS = timedelta(hours=2)
_LATE_PUSH = timedelta(days=1)  # a commit is dated when it was made, not when it was pushed
_BACKDATED = timedelta(days=30)  # a release may carry an earlier date than its making


def pull(reader: Reads, options: FeedOptions, work: Work) -> Iterator[Step]:
    """Everything new in the project, in steps. Raises SourceError."""
    return bounded(work, _pull(reader, options, work))


def _pull(reader: Reads, options: FeedOptions, work: Work) -> Iterator[Step]:
    project = mapping(reader.get(f"api/v4/projects/{quote(options.project, safe='')}"))
    name, number = short_text(project.get("path_with_namespace")), short_text(project.get("id"), 12)
    branch = options.branch or short_text(project.get("default_branch"))
    if not name or not number.isdecimal():
        raise SourceError(f"{reader.base} answered without a project; check that the address is GitLab's.")
    path = f"api/v4/projects/{number}"
    place = Place(reader, options, work, path, name, branch)
    yield from _deployments(place)
    yield from _releases(place)
    if options.paths and branch:
        yield from _merges(place)
        yield from _commits(place)


def _deployments(place: Place) -> Iterator[Step]:
    reader, path, name, options, work = place.reader, place.path, place.name, place.options, place.work
    asked = {"status": "success"}
    for page in _oldest_first(reader, f"{path}/deployments", asked, "deployments", work):
        told = [
            entry
            for entry in page
            if entry.value.get("status") == "success" and options.wants(gitlab.environment_of(entry.value))
        ]
        new = [gitlab.deployment_id(name, entry.value.get("id")) for entry in told]
        known = work.known(new)
        for entry, identifier in zip(told, new, strict=True):
            if identifier not in known and _since(entry, ("created_at",), work.first):
                work.tell(partial(one, gitlab.deployment_change, name, entry.value), entry.raw)
        yield work.step()


def _releases(place: Place) -> Iterator[Step]:
    name, work = place.name, place.work
    since = work.mark("releases", _BACKDATED)
    asked = {"order_by": "released_at", "sort": "desc"}
    dated = ("released_at", "created_at")
    for page in _newest_first(place, "releases", "releases", asked, sorted_by=dated, since=since):
        told = [entry for entry in page if not entry.value.get("upcoming_release") and _since(entry, dated, work.first)]
        known = work.known([gitlab.release_id(name, entry.value) for entry in told])
        for entry in told:
            if gitlab.release_id(name, entry.value) not in known:
                work.tell(partial(one, gitlab.release_change, name, entry.value), entry.raw)
        yield work.step()
    yield work.step()


def _merges(place: Place) -> Iterator[Step]:
    reader, path, name, options, work = place.reader, place.path, place.name, place.options, place.work
    asked = {"state": "merged", "target_branch": place.branch}
    for page in _oldest_first(reader, f"{path}/merge_requests", asked, "merges", work):
        for entry in page:
            sha = gitlab.merge_sha(entry.value)
            number = short_text(entry.value.get("iid"), 12)
            if not sha or not number.isdecimal() or not _since(entry, ("merged_at",), work.first):
                continue
            ids = merge_ids(gitlab.HOST, name, sha, options)
            if not work.open([f"commit:{sha}"]) or work.known(ids):
                continue
            files = _files(reader, f"{path}/merge_requests/{number}/diffs")
            if not work.tell(partial(gitlab.merge_changes, name, entry.value, files, options), entry.raw):
                work.settle(f"commit:{sha}")
        yield work.step()


def _commits(place: Place) -> Iterator[Step]:
    """Commits that no merge request brought. They are few, so each may cost two requests."""
    reader, name, options, work = place.reader, place.name, place.options, place.work
    since = work.mark("commits", _LATE_PUSH)
    named = folders(options.paths)
    for folder in named[work.walk("commits", 0) :]:
        asked = {"ref_name": place.branch, "since": since.isoformat(), "first_parent": "true"}
        asked |= {"path": folder} if folder else {}
        for page in _newest_first(
            place, f"commits of {folder}", "repository/commits", asked, sorted_by=(), since=since
        ):
            for entry in page:
                sha = commit_sha(entry.value.get("id"))
                ids = merge_ids(gitlab.HOST, name, sha, options)
                if not sha or not work.open([f"commit:{sha}"]) or work.known(ids):
                    continue
                files = [] if _was_merged(place, entry, sha) else _files(reader, _commit_path(place, sha, "diff"))
                if not work.tell(partial(gitlab.commit_changes, name, entry.value, files, options), entry.raw):
                    work.settle(f"commit:{sha}")
            yield work.step()
        work.walk_on("commits", named.index(folder) + 1)
    work.walked("commits")
    yield work.step()


def _was_merged(place: Place, entry: Entry, sha: str) -> bool:
    """Whether a merge request brought it, which is told as such."""
    parents = entry.value.get("parent_ids")
    if isinstance(parents, list) and len(parents) > 1:
        return True
    asked = place.reader.entries(_commit_path(place, sha, "merge_requests"), {"per_page": _PAGE})
    return any(one.value.get("state") == "merged" for one in asked)


def _commit_path(place: Place, sha: str, what: str) -> str:
    return f"{place.path}/repository/commits/{sha}/{what}"


def _newest_first(
    place: Place, walk: str, path: str, params: Mapping[str, Any], *, sorted_by: tuple[str, ...], since: datetime
) -> Iterator[list[Entry]]:
    """Pages down to `since` by the first of the fields `sorted_by`; all pages where there are none."""

    def read(number: int) -> list[Entry]:
        return place.reader.entries(f"{place.path}/{path}", {**params, "per_page": _PAGE, "page": number})

    def is_last(page: list[Entry]) -> bool:
        return len(page) < _PAGE or any((at := _moment(entry, sorted_by)) and at < since for entry in page)

    return pages_of(place.work, walk, read, is_last)


def _oldest_first(reader: Reads, path: str, params: Mapping[str, Any], name: str, work: Work) -> Iterator[list[Entry]]:
    """Pages in the order of their last change, from the mark on; the mark moves with every page that was used."""
    since = work.mark(name, _CLOCKS)
    asked = {**params, "order_by": "updated_at", "sort": "asc", "updated_after": since.isoformat(), "per_page": _PAGE}
    for number in count(1):  # the budget ends it; the mark is where the next pull goes on
        page = reader.entries(path, {**asked, "page": number})
        yield page
        moments = [at for entry in page if (at := _moment(entry, ("updated_at",)))]
        if moments:
            work.move_mark(name, max(moments))
        if len(page) < _PAGE:
            return


def _files(reader: Reads, path: str) -> list[str]:
    found: list[str] = []
    for number in range(1, 11):
        page = reader.entries(path, {"per_page": _PAGE, "page": number})
        for entry in page:
            found += [path for key in ("new_path", "old_path") if (path := short_text(entry.value.get(key), 1000))]
        if len(page) < _PAGE:
            break
    return found


def _moment(entry: Entry, names: tuple[str, ...]) -> datetime | None:
    try:
        return moment_of(*(entry.value.get(name) for name in names))
    except UserError:
        return None


def _since(entry: Entry, names: tuple[str, ...], since: datetime) -> bool:
    at = _moment(entry, names)
    return at is not None and at >= since
