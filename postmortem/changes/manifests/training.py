"""Manifests of training data: rows added and removed, and who answers for them. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from postmortem.changes.manifests.shapes import Manifest, TrainingRow, fitting

_STORED, _STORED_TEXT = 80, 80  # topics in a change's details, which are bounded


@dataclass(frozen=True, slots=True)
class Provenance:
    """How many of some rows nobody answers for; `unaccounted`: without author or without reviewer."""

    rows: int
    without_author: int
    without_reviewer: int
    without_licence: int
    without_source: int
    unaccounted: int
    topics: tuple[tuple[str, int], ...]  # the most frequent first
    sources: tuple[tuple[str, int], ...]
    licences: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class TrainingDifference:
    """What the newer manifest has otherwise; without an older one every row counts as added."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int
    of_added: Provenance
    of_all: Provenance
    unaccounted: tuple[str, ...]  # of the added ones, without author or reviewer

    @property
    def is_empty(self) -> bool:
        """Whether the two have the same rows."""
        return not (self.added or self.removed or self.changed)


def provenance_of(rows: Iterable[TrainingRow]) -> Provenance:
    """Who answers for these rows."""
    topics: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    count = no_author = no_reviewer = no_licence = no_source = neither = 0
    for row in rows:
        count += 1
        no_author += not row.author
        no_reviewer += not row.reviewer
        no_licence += not row.licence
        no_source += not row.source
        neither += not (row.author and row.reviewer)
        topics[row.topic] += 1
        sources[row.source or "not told"] += 1
        licences[row.licence or "not told"] += 1
    del topics[""]
    return Provenance(
        count, no_author, no_reviewer, no_licence, no_source, neither,
        _most(topics), _most(sources), _most(licences),
    )  # fmt: skip


def _most(counted: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


def training_difference(older: Manifest | None, newer: Manifest) -> TrainingDifference:
    """Compare two manifests of one training set; None: there was none before."""
    before: Mapping[str, TrainingRow] = older.rows if older else {}
    after = newer.rows
    both = before.keys() & after.keys()
    added = tuple(sorted(after.keys() - before.keys()))
    changed = tuple(sorted(name for name in both if before[name] != after[name]))
    return TrainingDifference(
        added=added,
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=changed,
        unchanged=len(both) - len(changed),
        of_added=provenance_of(after[name] for name in added),
        of_all=provenance_of(after.values()),
        unaccounted=tuple(name for name in added if not (after[name].author and after[name].reviewer)),
    )


def training_summary(newer: Manifest, found: TrainingDifference, from_version: str) -> str:
    """One line for the ledger: "Trained on tickets 7 → 8: 1,200 rows added, 40 removed"."""
    told = [
        f"{len(names):,} {'row' if len(names) == 1 else 'rows'} {word}"
        for names, word in ((found.added, "added"), (found.removed, "removed"), (found.changed, "changed"))
        if names
    ]
    version = f"{from_version} → {newer.header.version}" if from_version else newer.header.version
    return f"Trained on {newer.header.name} {version}: {', '.join(told)}"[:300]


def provenance_details(newer: Manifest, found: TrainingDifference) -> dict[str, Any]:
    """The provenance record that a model change carries and pattern 2 reads; rates are left to the reader."""
    return fitting(lambda most: _details(newer, found, most), _STORED)


def _details(newer: Manifest, found: TrainingDifference, most: int) -> dict[str, Any]:
    added, whole = found.of_added, found.of_all
    return {
        "dataset": newer.header.name,
        "version": newer.header.version,
        "added": added.rows,
        "removed": len(found.removed),
        "changed": len(found.changed),
        "unchanged": found.unchanged,
        "without_author": added.without_author,
        "without_reviewer": added.without_reviewer,
        "without_licence": added.without_licence,
        "without_source": added.without_source,
        "unaccounted": added.unaccounted,
        "topic_facet": newer.header.topic_facet,
        "topics": _stored(added.topics, most),
        "sources": _stored(added.sources, most // 4),
        "licences": _stored(added.licences, most // 4),
        "rows": whole.rows,
        "rows_without_author": whole.without_author,
        "rows_without_reviewer": whole.without_reviewer,
        "rows_without_licence": whole.without_licence,
        "examples": {
            word: [name[:_STORED_TEXT] for name in names[: most // 8]]
            for word, names in (("unaccounted", found.unaccounted), ("removed", found.removed))
            if names
        },
    }


def _stored(counted: tuple[tuple[str, int], ...], most: int) -> dict[str, int]:
    return {name[:_STORED_TEXT]: count for name, count in counted[:most]}
