"""Two manifests of one index: what was added, removed, changed and re-embedded, and which settings moved. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postmortem.changes.manifests.shapes import Document, Manifest, fitting

_STORED, _STORED_ID = 10, 120  # examples in a change's details, which are bounded
_ENCODER = ("encoder", "encoder_version")


@dataclass(frozen=True, slots=True)
class SettingMove:
    """A setting of the whole that differs; empty where one of the two does not tell it."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class CorpusDifference:
    """What the newer manifest has otherwise; lists of ids are sorted.

    `re_embedded`: the same content, embedded again. `stale`: documents of the newer index whose embedding is from
    before although the encoder moved; None where the manifests do not tell. `gold_changed`: documents that an
    evaluation expects to be found and that were changed, removed or superseded.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    re_embedded: tuple[str, ...]
    gold_changed: tuple[str, ...]
    unchanged: int
    gold: int
    settings: tuple[SettingMove, ...]
    stale: tuple[str, ...] | None
    embedded_by_day: tuple[tuple[str, int], ...]
    encoders: tuple[tuple[str, int], ...]

    @property
    def is_empty(self) -> bool:
        """Whether the two say the same."""
        return not (self.added or self.removed or self.changed or self.re_embedded or self.settings)

    @property
    def encoder_moved(self) -> bool:
        """Whether another encoder made the newer index."""
        return any(move.name in _ENCODER and move.before and move.after for move in self.settings)


def corpus_difference(older: Manifest, newer: Manifest) -> CorpusDifference:
    """Compare two manifests of one index; time and memory grow with the number of documents."""
    before, after = older.documents, newer.documents
    added: list[str] = []
    changed: list[str] = []
    again: list[str] = []
    gold_moved: set[str] = set()
    gold = {name for name, document in before.items() if document.is_gold}
    for name, document in after.items():  # in the order of the file, which is kinder to memory than sets
        if document.is_gold:
            gold.add(name)
        old = before.get(name)
        if old is None:
            added.append(name)
            continue
        if old == document:
            continue
        if old.hash != document.hash:
            changed.append(name)
            gold_moved.add(name)
        elif _embedding(old) != _embedding(document):
            again.append(name)
        if document.superseded_by and not old.superseded_by:
            gold_moved.add(name)
    removed = [name for name in before if name not in after]
    moves = _moves(older.header.settings, newer.header.settings)
    dated = Counter(
        document.embedded_at.date().isoformat() for document in after.values() if document.embedded_at is not None
    )
    encoders = Counter(document.encoder for document in after.values() if document.encoder)
    return CorpusDifference(
        added=tuple(sorted(added)),
        removed=tuple(sorted(removed)),
        changed=tuple(sorted(changed)),
        re_embedded=tuple(sorted(again)),
        gold_changed=tuple(sorted(gold & gold_moved.union(removed))),
        unchanged=len(after) - len(added) - len(changed) - len(again),
        gold=len(gold),
        settings=moves,
        stale=_stale(older, newer, moves),
        embedded_by_day=tuple(sorted(dated.items())),
        encoders=tuple(encoders.most_common()),
    )


def _embedding(document: Document) -> tuple[object, str]:
    return document.embedded_at, document.encoder


def _moves(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[SettingMove, ...]:
    names = sorted({*before, *after})
    return tuple(
        SettingMove(name, before.get(name, ""), after.get(name, ""))
        for name in names
        if before.get(name, "") != after.get(name, "")
    )


def _stale(older: Manifest, newer: Manifest, moves: tuple[SettingMove, ...]) -> tuple[str, ...] | None:
    """Documents that the newer encoder did not embed: told by their own encoder, else by their embedding date."""
    before, after = older.documents, newer.documents
    encoder = newer.header.settings.get("encoder", "")
    if encoder and any(document.encoder for document in after.values()):
        return tuple(sorted(name for name, one in after.items() if one.encoder and one.encoder != encoder))
    if not any(move.name in _ENCODER and move.before and move.after for move in moves):
        return None
    if not any(document.embedded_at for document in after.values()):
        return None
    found = []
    for name, document in after.items():
        old = before.get(name)
        if old is not None and document.embedded_at is not None and document.embedded_at == old.embedded_at:
            found.append(name)
    return tuple(sorted(found))


def corpus_summary(newer: Manifest, found: CorpusDifference, from_version: str) -> str:
    """One line for the ledger: "Index kb 2026.3 → 2026.4: 12 added, 3 removed; encoder e5 → bge"."""
    told = [
        f"{len(names):,} {word}"
        for names, word in (
            (found.added, "added"),
            (found.removed, "removed"),
            (found.changed, "changed"),
            (found.re_embedded, "embedded again"),
        )
        if names
    ]
    moves = [f"{move.name} {move.before or 'none'} → {move.after or 'none'}" for move in found.settings]
    parts = "; ".join(part for part in (", ".join(told), ", ".join(moves[:3])) if part)
    return f"Index {newer.header.name} {from_version} → {newer.header.version}: {parts}"[:300]


def corpus_details(older: Manifest, newer: Manifest, found: CorpusDifference) -> dict[str, Any]:
    """What the change keeps of it; patterns 7 and 9 read `encoder`, `embedding` and `documents`."""
    return fitting(lambda most: _details(older, newer, found, most), _STORED)


def _details(older: Manifest, newer: Manifest, found: CorpusDifference, most: int) -> dict[str, Any]:
    details: dict[str, Any] = {
        "index": newer.header.name,
        "documents": {
            "before": len(older.documents),
            "after": len(newer.documents),
            "added": len(found.added),
            "removed": len(found.removed),
            "changed": len(found.changed),
            "re_embedded": len(found.re_embedded),
            "unchanged": found.unchanged,
            "gold": found.gold,
            "gold_changed": len(found.gold_changed),
            "examples": {
                word: [name[:_STORED_ID] for name in names[:most]]
                for word, names in (
                    ("added", found.added),
                    ("removed", found.removed),
                    ("changed", found.changed),
                    ("gold_changed", found.gold_changed),
                )
                if names
            },
        },
        "settings": {move.name: [move.before, move.after] for move in found.settings[: 2 * most]},
    }
    if newer.header.settings.get("encoder"):
        details["encoder"] = {
            "from": older.header.settings.get("encoder", ""),
            "to": newer.header.settings["encoder"],
        }
    if found.stale is not None or found.embedded_by_day:
        details["embedding"] = {
            "stale": None if found.stale is None else len(found.stale),
            "of": len(newer.documents),
            "by_day": dict(found.embedded_by_day[-6 * most :]),
        }
    return details
