"""MLflow's model registry read over REST: versions, and moves of stages and aliases since the last look. Pure."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from postmortem.changes import mlflow_changes as mlflow
from postmortem.changes.feed_http import Reads, Step, Work, bounded
from postmortem.changes.feed_options import FeedOptions
from postmortem.changes.records import ChangeRecord
from postmortem.changes.repository_changes import entries
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.traces.source_http import RateLimited, SourceError
from postmortem.traces.values import mapping, short_text

_PAGE = 200
_CLOCKS = timedelta(minutes=10)
_CLOCKS_APART = timedelta(minutes=1)  # less than between two pulls, else an earlier move to the same version counts
_API = "api/2.0/mlflow"


def pull(reader: Reads, options: FeedOptions, work: Work) -> Iterator[Step]:
    """New versions, then moves since the last look. The first look only remembers aliases and stages."""
    return bounded(work, _pull(reader, options, work))


def _pull(reader: Reads, options: FeedOptions, work: Work) -> Iterator[Step]:
    yield from _versions(reader, options, work)
    yield from _aliases(reader, options, work)


def _versions(reader: Reads, options: FeedOptions, work: Work) -> Iterator[Step]:
    since = work.mark("versions", _CLOCKS)
    first_look = "versions" not in mapping(work.cursor.get("marks"))
    asked = {"order_by": "last_updated_timestamp DESC", "max_results": _PAGE}
    for page in _pages(reader, work, "versions", asked):
        wanted = [told for told in page if not options.models or told.get("name") in options.models]
        known = work.known([mlflow.version_id(mlflow.name_of(told), mlflow.version_of(told)) for told in wanted])
        for told in wanted:
            work.tell(partial(_new_version, told, reader.base, options, work, known), _bytes(told))
            work.tell(partial(_stage, told, reader.base, options, work, first_look), _bytes(told))
        yield work.step()
        # The first look goes to the end: it must know the stage of every version.
        if not first_look and any(_updated(told) < since for told in page):
            break
    work.walked("versions")
    yield work.step()


def _new_version(
    told: Mapping[str, Any], base: str, options: FeedOptions, work: Work, known: Collection[str]
) -> list[ChangeRecord]:
    found = mlflow.version_change(told, base=base, facet=options.facet)
    ready = short_text(told.get("status")) in {"", "READY"}
    return [found] if ready and found.at >= work.first and found.id not in known else []


def _stage(
    told: Mapping[str, Any], base: str, options: FeedOptions, work: Work, first_look: bool
) -> list[ChangeRecord]:
    stages = work.cursor.setdefault("stages", {})
    key = f"{mlflow.name_of(told)}/{mlflow.version_of(told)}"
    before, stage = stages.get(key, mlflow.NO_STAGE), mlflow.stage_of(told)
    if stage == before:
        return []
    stages[key] = stage
    return [] if first_look else [mlflow.stage_change(told, before, base=base, facet=options.facet)]


def _updated(told: Mapping[str, Any]) -> datetime:
    try:
        return mlflow.moment_of(told, "last_updated_timestamp")
    except UserError:
        return datetime.max.replace(tzinfo=UTC)  # one that cannot be read ends no list


def _aliases(reader: Reads, options: FeedOptions, work: Work) -> Iterator[Step]:
    """Every alias of every model, compared with the last look; what a page tells is remembered with the page."""
    looked = work.cursor.get("looked")
    since = parse_moment(looked) if isinstance(looked, str) else work.now
    first_look = looked is None
    before: dict[str, dict[str, str]] = work.cursor.setdefault("aliases", {})
    for page in _pages(reader, work, "aliases", {"max_results": _PAGE}):
        for told in page:
            name = mlflow.name_of(told)
            if options.models and name not in options.models:
                continue
            after = mlflow.aliases_of(told)
            if not first_look:
                moved = partial(_moves, told, before.get(name, {}), after, since, _Look(work, reader, options))
                work.tell(moved, _bytes(told))
            before[name] = after
            if not after:
                del before[name]
        yield work.step()
    work.walked("aliases")
    work.cursor["looked"] = work.cursor["marks"]["aliases"]
    yield work.step()


@dataclass(frozen=True, slots=True)
class _Look:
    """With what an alias is told."""

    work: Work
    reader: Reads
    options: FeedOptions


def _moves(
    told: Mapping[str, Any], before: Mapping[str, str], after: Mapping[str, str], since: datetime, look: _Look
) -> list[ChangeRecord]:
    """Aliases that differ from the last look, but for those that a webhook told meanwhile, with their very time."""
    until, found = look.work.now, list[ChangeRecord]()
    since = min(since, until)
    for alias in sorted({*before, *after}):
        left, right = before.get(alias, ""), after.get(alias, "")
        begins = mlflow.alias_prefix(mlflow.name_of(told), alias, right)
        if left == right or look.work.told_between(begins, since - _CLOCKS_APART, until + _CLOCKS_APART):
            continue
        found.append(
            mlflow.alias_change(
                told, alias, before=left, after=right, since=since, until=until, base=look.reader.base,
                facet=look.options.facet,
            )
        )  # fmt: skip
    return found


_LISTS = {
    "versions": (f"{_API}/model-versions/search", "model_versions"),
    "aliases": (f"{_API}/registered-models/search", "registered_models"),
}


def _pages(reader: Reads, work: Work, walk: str, params: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Pages from where the walk is. The caller ends the walk: it may have seen enough before the last page."""
    path, name = _LISTS[walk]
    token = left = str(work.walk(walk, ""))
    while True:
        try:
            answer = reader.get(path, {**params, "page_token": token})
        except RateLimited:
            raise
        except SourceError:
            if token and token == left:  # the server has forgotten it since the last pull
                work.forget_walk(walk)
            raise
        if not isinstance(answer, dict):
            raise SourceError(f"{reader.base} answered without a registry; check that it is an MLflow server.")
        yield [told for told in entries(answer.get(name)) if _is_named(told)]
        token = short_text(answer.get("next_page_token"), 2000)
        if not token:
            return
        work.walk_on(walk, token)


def _bytes(told: Mapping[str, Any]) -> bytes:
    """The entry as JSON again; a page of them is one object, so each has no bytes of its own."""
    return json.dumps(told, sort_keys=True).encode()


def _is_named(told: Mapping[str, Any]) -> bool:
    """Registered models have a name, their versions a number too."""
    return bool(short_text(told.get("name")).strip()) and ("version" not in told or bool(short_text(told["version"])))
