"""Prompt versions of a trace server as changes of the prompt log."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer


class PromptVersionLike(Protocol):
    """What is read of a prompt version; traces.langfuse_source.PromptVersion has it."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def commit_message(self) -> str | None: ...
    @property
    def created_by(self) -> str | None: ...


def change_id(version: PromptVersionLike) -> str:
    """The id under which a prompt version is logged; the same version always has the same one."""
    return f"prompt:{version.name[:180]}:{version.version}"


def prompt_changes(versions: Iterable[PromptVersionLike]) -> list[ChangeRecord]:
    """One change for each prompt version, in the order of their creation.

    The server keeps no history of its labels, so `at` is when the version was made, not when it went live;
    traces that record their prompt version make up for that (see exposure.py).
    """
    by_name: dict[str, list[PromptVersionLike]] = {}
    for version in versions:
        by_name.setdefault(version.name, []).append(version)
    changes = [change for name in sorted(by_name) for change in _changes_of_one(by_name[name])]
    return sorted(changes, key=lambda change: change.at)


def version_change(version: PromptVersionLike, before: int | None) -> ChangeRecord:
    """One version as a change; `before` is the number of the version that it followed."""
    moved = f"v{before} → v{version.version}" if before is not None else f"v{version.version}"
    return _change(
        version,
        id_=change_id(version),
        at=version.created_at,
        before=before,
        summary=f"Prompt {version.name} {moved}",
    )


def production_move(version: PromptVersionLike, at: datetime, before: int | None = None) -> ChangeRecord:
    """A version that got the label `production` at `at`, `before` being the one that had it."""
    return _change(
        version,
        id_=f"{change_id(version)}:production:{int(at.timestamp())}",
        at=at,
        before=before,
        summary=f"Prompt {version.name} v{version.version} is production now",
    )


def _changes_of_one(versions: Sequence[PromptVersionLike]) -> list[ChangeRecord]:
    ordered = sorted(versions, key=lambda one: one.version)
    before = [None, *(one.version for one in ordered)]
    return [version_change(version, earlier) for version, earlier in zip(ordered, before, strict=False)]


def _change(version: PromptVersionLike, *, id_: str, at: datetime, before: int | None, summary: str) -> ChangeRecord:
    message = (version.commit_message or "").strip().split("\n")[0]
    return ChangeRecord(
        id=id_,
        layer=Layer.PROMPT,
        at=at,
        until=at,
        scope={"prompt": (version.name,)},
        facet="prompt_version",
        from_version=None if before is None else str(before),
        to_version=str(version.version),
        summary=(summary + (f": {message}" if message else ""))[:300],
        actor=(version.created_by or "")[:200],
    )
