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
    changes = [change for name in sorted(by_name) for change in _changes_of_one(name, by_name[name])]
    return sorted(changes, key=lambda change: change.at)


def _changes_of_one(name: str, versions: Sequence[PromptVersionLike]) -> list[ChangeRecord]:
    changes = []
    before: int | None = None
    for version in sorted(versions, key=lambda one: one.version):
        moved = f"v{before} → v{version.version}" if before is not None else f"v{version.version}"
        message = (version.commit_message or "").strip().split("\n")[0]
        changes.append(
            ChangeRecord(
                id=change_id(version),
                layer=Layer.PROMPT,
                at=version.created_at,
                until=version.created_at,
                scope={"prompt": (name,)},
                facet="prompt_version",
                from_version=None if before is None else str(before),
                to_version=str(version.version),
                summary=(f"Prompt {name} {moved}" + (f": {message}" if message else ""))[:300],
                actor=(version.created_by or "")[:200],
            )
        )
        before = version.version
    return changes
