"""Langfuse's prompts read again and again: new versions, and which of them is production now. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from postmortem.changes.feed_http import Budget, Step, Work, bounded
from postmortem.changes.prompts import PromptVersionLike, production_move, version_change
from postmortem.changes.records import ChangeRecord
from postmortem.traces.values import mapping

PRODUCTION = "production"
_SAME_MOMENT = timedelta(seconds=2)


class PromptEntryLike(Protocol):
    """A prompt in the list; traces.langfuse_source.PromptEntry has it."""

    @property
    def name(self) -> str: ...
    @property
    def versions(self) -> Sequence[int]: ...
    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def updated_at(self) -> datetime | None: ...


class ReadVersion(PromptVersionLike, Protocol):
    """A version with its bytes."""

    @property
    def raw(self) -> bytes: ...
    @property
    def updated_at(self) -> datetime | None: ...


class PromptSource(Protocol):
    """What a pull asks; traces.langfuse_source.LangfuseSource has it."""

    def list_prompts(self) -> Sequence[PromptEntryLike]: ...
    def prompt_version(self, name: str, number: int | None = None, *, label: str | None = None) -> ReadVersion: ...


def pull(source: PromptSource, work: Work, budget: Budget) -> Iterator[Step]:
    """New versions of every prompt, then moves of the label `production` since the last pull. Raises SourceError.

    The server keeps no history of labels: the first pull only remembers where `production` is.
    """
    return bounded(work, _pull(source, work, budget))


def _pull(source: PromptSource, work: Work, budget: Budget) -> Iterator[Step]:
    budget.spend()
    prompts = work.cursor.setdefault("prompts", {})
    for prompt in source.list_prompts():
        seen: dict[str, Any] = mapping(prompts.get(prompt.name))
        stamp = prompt.updated_at.isoformat() if prompt.updated_at else ""
        if stamp and seen.get("updated") == stamp:
            continue
        looked, last = "updated" in seen, seen.get("last", 0)
        before = next((number for number in reversed(prompt.versions) if number <= last), None)
        for number in (number for number in prompt.versions if number > last):
            budget.spend()
            version = source.prompt_version(prompt.name, number)
            work.tell(partial(_new, version, before), version.raw)
            before = number
            prompts[prompt.name] = seen = {**seen, "last": number}
        if PRODUCTION in prompt.labels:
            budget.spend()
            live = source.prompt_version(prompt.name, label=PRODUCTION)
            if looked:
                work.tell(partial(_moved, live, seen.get("production")), live.raw)
            seen = {**seen, "production": live.version}
        prompts[prompt.name] = {**seen, "updated": stamp}
        yield work.step()
    yield work.step()


def _new(version: ReadVersion, before: int | None) -> list[ChangeRecord]:
    return [version_change(version, before)]


def _moved(live: ReadVersion, before: int | None) -> list[ChangeRecord]:
    """None where it is no move, or the version was made as production: then its own entry tells it."""
    at = live.updated_at
    if before == live.version or at is None or at - live.created_at <= _SAME_MOMENT:
        return []
    return [production_move(live, at, before)]
