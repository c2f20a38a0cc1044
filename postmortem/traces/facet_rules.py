"""Where facets lie in what sources send: the paths of the house's own rules, and the places of the map. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from postmortem.lib.errors import UserError
from postmortem.traces.facets import facets_of_metadata, facets_of_tags
from postmortem.traces.values import mapping, short_text

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PATH = re.compile(r"[^\s.][^\n]{0,298}[^\s.]|[^\s.]")
_MOST_PARTS = 12
# Fields of an observation or a trace that are facets by themselves, as Langfuse names them.
_FIELDS = {
    "promptName": "prompt", "promptVersion": "prompt_version", "model": "model", "providedModelName": "model",
    "release": "release", "environment": "environment",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """A facet and the path at which rows hold it, for example `metadata.customer.tier`, `userId` or `tags.plan`."""

    name: str
    path: str


def check_rule(name: str, path: str) -> None:
    """Raise UserError unless both can be used."""
    if not _NAME.fullmatch(name):
        raise UserError("Name a facet with small letters, digits and _, for example customer_tier.")
    if not _PATH.fullmatch(path) or len(path.split(".")) > _MOST_PARTS:
        raise UserError("Write a path like metadata.customer.tier: field names with dots between them, at most 12.")


def value_at(row: Mapping[str, Any], path: str) -> str:
    """The text or number at `path` in a row as its source sent it; empty when there is none.

    Names that have dots themselves are tried first; text that holds JSON is looked into; in a list of tags such as
    "plan:pro" a name finds what comes after it.
    """
    return short_text(_descend(row, path.split(".")[:_MOST_PARTS])).strip()


def places_of(row: Mapping[str, Any]) -> dict[str, str]:
    """{facet: where the row holds it} for the facets of the map, the first place of each."""
    found: dict[str, str] = {}
    if isinstance(row.get("facets"), Mapping):  # the open format, whose facets are these and no more
        return {name: f"facets.{name}" for name in mapping(row["facets"])}
    for field, facet in _FIELDS.items():
        if short_text(row.get(field)) and not (facet == "model" and row.get("type") == "EMBEDDING"):
            found.setdefault(facet, field)
    for key, value in mapping(row.get("metadata")).items():
        for facet in facets_of_metadata({key: value} if not isinstance(value, dict | list) else {}):
            found.setdefault(facet, f"metadata.{key}")
        for name, item in mapping(value).items() if isinstance(value, dict | str) else ():
            for facet in facets_of_metadata({name: item} if not isinstance(item, dict | list) else {}):
                found.setdefault(facet, f"metadata.{key}.{name}")
    tags = row.get("tags")
    for facet in facets_of_tags(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ():
        found.setdefault(facet, "tags")
    return found


def apply_rules(rules: Iterable[Rule], row: Mapping[str, Any], found: dict[str, str]) -> None:
    """Add to `found` what the rules find in one more row of the same trace; the first value of a facet stays."""
    for rule in rules:
        if rule.name not in found and (value := value_at(row, rule.path)):
            found[rule.name] = value


def _descend(value: Any, parts: list[str]) -> Any:
    if not parts:
        return value
    if isinstance(value, str) and value.startswith("{"):
        value = mapping(value)
    if isinstance(value, Mapping):
        for length in range(len(parts), 0, -1):
            key = ".".join(parts[:length])
            if key in value:
                return _descend(value[key], parts[length:])
        return None
    if isinstance(value, list):
        if parts[0].isdecimal() and len(parts[0]) < 5 and int(parts[0]) < len(value):
            return _descend(value[int(parts[0])], parts[1:])
        name = ".".join(parts)
        tags = (tag for tag in value[:200] if isinstance(tag, str))
        return next((tag[len(name) + 1 :] for tag in tags if tag.startswith((f"{name}:", f"{name}="))), None)
    return None
