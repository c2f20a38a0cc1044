"""What an incident and a closed one have in common: layer, failure pattern, target. No Django here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LIKELY = 0.5  # probability from which a hypothesis says where the cause lies
_NAMES = ("prompt", "model", "index", "encoder", "tool", "release")  # facets that name what a version belongs to


@dataclass(frozen=True, slots=True)
class ChangeTarget:
    """What a logged change moved: its layer, the facet of its version, and the scope that names its object."""

    layer: str
    facet: str
    scope: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Signature:
    """By what an incident is known again."""

    layers: frozenset[str]
    patterns: frozenset[str]
    targets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Shared:
    """What two incidents share, in a stable order."""

    layers: tuple[str, ...]
    patterns: tuple[str, ...]
    targets: tuple[str, ...]


def target_name(facet: str, scope: Mapping[str, Any], feature: str) -> str:
    """ "prompt_version of support-answer"; where the scope names no object, the facet of that one application."""
    if not facet:
        return ""
    named = sorted({text for name in _NAMES for text in _values(scope.get(name))})
    return f"{facet} of {', '.join(named) or feature}"


def signature(
    result: Mapping[str, Any] | None, *, ruled_in: Iterable[str], changes: Mapping[str, ChangeTarget], feature: str
) -> Signature:
    """The signature of an incident from its latest finding and the layers that people ruled IN.

    Without a verdict the likely hypotheses say which layers; patterns count in those layers alone. `changes` are the
    logged changes by id.
    """
    result = result or {}
    likely = [row for row in result.get("hypotheses") or [] if float(row.get("probability") or 0) >= LIKELY]
    layers = frozenset(ruled_in) or frozenset(str(row["layer"]) for row in likely if row.get("layer"))
    targets = set()
    for row in likely:
        for change in (changes.get(str(one)) for one in row.get("changes") or []):
            if change is not None and change.layer in layers:
                targets.add(target_name(change.facet, change.scope, feature))
    if any(row.get("kind") == "unlogged" and row.get("layer") in layers for row in likely):
        for move in (result.get("reconciliation") or {}).get("never_logged") or []:
            if move.get("layer") in layers:
                kind, _, value = str(move.get("scope") or "").partition(" ")
                targets.add(target_name(str(move.get("facet") or ""), {kind: value}, feature))
    patterns = frozenset(
        str(row["pattern"])
        for row in result.get("patterns") or []
        if row.get("answer") == "match" and row.get("layer") in layers
    )
    return Signature(layers, patterns, frozenset(targets - {""}))


def shared(new: Signature, old: Signature) -> Shared | None:
    """What both share, None unless layer, target and pattern agree; two without any pattern agree in that."""
    layers, targets = new.layers & old.layers, new.targets & old.targets
    patterns = new.patterns & old.patterns
    if not layers or not targets or (not patterns and (new.patterns or old.patterns)):
        return None
    return Shared(tuple(sorted(layers)), tuple(sorted(patterns)), tuple(sorted(targets)))


def _values(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [value]) if one not in (None, "")]
