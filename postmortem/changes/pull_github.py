"""GitHub read over REST: releases, deployments, merged pull requests and direct commits to named paths. Pure.

What has been stored is asked for no more: a list costs one request a page, and only new entries cost another.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from postmortem.changes import github_changes as github
from postmortem.changes.feed_http import Entry, Place, Reads, Step, Work, bounded, one, pages_of
from postmortem.changes.feed_options import FeedOptions, folders
from postmortem.changes.repository_changes import commit_sha, entries, merge_ids
from postmortem.traces.source_http import SourceError
from postmortem.traces.values import mapping, moment, short_text

HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_PAGE = 100
_MAX_FILE_PAGES = 10
_LATE_STATUS = timedelta(days=3)  # a deployment may wait for somebody's approval
_LATE_RELEASE = timedelta(days=60)  # releases are sorted by their commit, drafts are published later
_CLOCKS = timedelta(hours=2)
_ENDED = {"failure", "error", "inactive"}


def pull(reader: Reads, options: FeedOptions, work: Work) -> Iterator[Step]:
    """Everything new in the repository, in steps. Raises SourceError."""
    return bounded(work, _pull(reader, options, work))


def _pull(reader: Reads, options: FeedOptions, work: Work) -> Iterator[Step]:
    repository = mapping(reader.get(f"repos/{options.project}"))
    name = short_text(repository.get("full_name"), 120)
    branch = options.branch or short_text(repository.get("default_branch"))
    if not name or not branch:
        raise SourceError(f"{reader.base} answered without a repository; check that the address is GitHub's API.")
    place = Place(reader, options, work, f"repos/{options.project}", name, branch)
    yield from _releases(place)
    yield from _deployments(place)
    if options.paths:
        yield from _merges(place)
        yield from _commits(place)


def _releases(place: Place) -> Iterator[Step]:
    name, work = place.name, place.work
    since = work.mark("releases", _LATE_RELEASE)
    for page in _pages(place, "releases", "releases", {}, sorted_by="created_at", since=since):
        told = [entry for entry in page if not entry.value.get("draft") and _since(entry, "published_at", work.first)]
        new = _new(work, [github.release_id(entry.value) for entry in told])
        for entry in told:
            if github.release_id(entry.value) in new:
                work.tell(partial(one, github.release_change, name, entry.value), entry.raw)
        yield work.step()
    yield work.step()


def _deployments(place: Place) -> Iterator[Step]:
    reader, path, name, options, work = place.reader, place.path, place.name, place.options, place.work
    since = work.mark("deployments", _LATE_STATUS)
    for page in _pages(place, "deployments", "deployments", {}, sorted_by="created_at", since=since):
        asked = [
            entry
            for entry in page
            if options.wants(github.environment_of(entry.value)) and _since(entry, "created_at", since)
        ]
        new = _new(work, [github.deployment_id(entry.value) for entry in asked])
        for entry in asked:
            identifier = github.deployment_id(entry.value)
            number = short_text(entry.value.get("id"), 40)
            if identifier not in new or not number.isdecimal():
                continue
            statuses = reader.entries(f"{path}/deployments/{number}/statuses", {"per_page": _PAGE})
            done = [status for status in statuses if status.value.get("state") == "success"]
            if done:  # the oldest is when it went live; they come newest first
                read = partial(one, github.deployment_change, name, entry.value, done[-1].value)
                work.tell(read, entry.raw + b"\n" + done[-1].raw)
            elif statuses and short_text(statuses[0].value.get("state")) in _ENDED:
                work.settle(identifier)
        yield work.step()
    yield work.step()


def _merges(place: Place) -> Iterator[Step]:
    reader, path, name, options, work = place.reader, place.path, place.name, place.options, place.work
    asked = {"state": "closed", "base": place.branch, "sort": "updated", "direction": "desc"}
    since = work.mark("merges", _CLOCKS)
    for page in _pages(place, "merges", "pulls", asked, sorted_by="updated_at", since=since):
        for entry in page:
            sha = github.merge_sha(entry.value)
            number = short_text(entry.value.get("number"), 12)
            told = sha and number.isdecimal() and _since(entry, "merged_at", work.first)
            if not told or not _is_new(work, name, sha, options):
                continue
            files = _files(reader, f"{path}/pulls/{number}/files")
            read = partial(github.merge_changes, name, entry.value, files, options)
            if not work.tell(read, entry.raw):
                work.settle(f"commit:{sha}")
        yield work.step()
    yield work.step()


def _commits(place: Place) -> Iterator[Step]:
    """Commits that no pull request brought. They are few, so each may cost two requests."""
    reader, path, name, options, work = place.reader, place.path, place.name, place.options, place.work
    since = work.mark("commits", timedelta(days=1))
    named = folders(options.paths)
    for folder in named[work.walk("commits", 0) :]:
        asked = {"sha": place.branch, "since": since.isoformat(), "path": folder}
        for page in _pages(place, f"commits of {folder}", "commits", asked, sorted_by="", since=since):
            for entry in page:
                sha = commit_sha(entry.value.get("sha"))
                if not sha or not _is_new(work, name, sha, options):
                    continue
                brought = len(entries(entry.value.get("parents"))) > 1 or any(
                    asked.value.get("merged_at") for asked in reader.entries(f"{path}/commits/{sha}/pulls", {})
                )
                files = [] if brought else _files_of_commit(reader, f"{path}/commits/{sha}")
                if not work.tell(partial(github.commit_changes, name, entry.value, files, options), entry.raw):
                    work.settle(f"commit:{sha}")
            yield work.step()
        work.walk_on("commits", named.index(folder) + 1)
    work.walked("commits")
    yield work.step()


def _files_of_commit(reader: Reads, path: str) -> list[str]:
    return [one for file in entries(mapping(reader.get(path)).get("files")) for one in _paths(file)]


def _files(reader: Reads, path: str) -> list[str]:
    """Every path that a pull request changed, also the names from which files were moved."""
    found: list[str] = []
    for number in range(1, _MAX_FILE_PAGES + 1):
        page = reader.entries(path, {"per_page": _PAGE, "page": number})
        found += [one for file in page for one in _paths(file.value)]
        if len(page) < _PAGE:
            break
    return found


def _paths(file: Mapping[str, Any]) -> list[str]:
    return [found for key in ("filename", "previous_filename") if (found := short_text(file.get(key), 1000))]


def _pages(
    place: Place, walk: str, path: str, params: Mapping[str, Any], *, sorted_by: str, since: datetime
) -> Iterator[list[Entry]]:
    """Pages of a list, newest first, down to `since` by the field `sorted_by`; all pages where that is empty."""

    def read(number: int) -> list[Entry]:
        return place.reader.entries(f"{place.path}/{path}", {**params, "per_page": _PAGE, "page": number})

    def is_last(page: list[Entry]) -> bool:
        return len(page) < _PAGE or any((at := moment(one.value.get(sorted_by))) and at < since for one in page)

    return pages_of(place.work, walk, read, is_last)


def _since(entry: Entry, name: str, since: datetime) -> bool:
    at = moment(entry.value.get(name))
    return at is not None and at >= since


def _new(work: Work, ids: list[str]) -> set[str]:
    return work.open(ids) - work.known(ids)


def _is_new(work: Work, name: str, sha: str, options: FeedOptions) -> bool:
    ids = merge_ids(github.HOST, name, sha, options)
    return bool(work.open([f"commit:{sha}"])) and not work.known(ids)
