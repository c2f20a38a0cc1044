"""What an administrator sets for a feed besides its address and secret: project, paths with layers, names. Pure."""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYERS, Layer

MAX_RULES = 50
MAX_NAMES = 50
_MAX_PATTERN = 200
_ARROW = re.compile(r"\s*(?:→|->|=>|=)\s*")
_GITHUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,60}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_GITLAB = re.compile(r"\d{1,12}|[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}(?:/[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}){1,20}")


@dataclass(frozen=True, slots=True)
class PathRule:
    """Which layer a change to a file belongs to: `prompts/**` to prompt."""

    pattern: str
    layer: Layer


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """`project` is `owner/name` at GitHub, a path or number at GitLab. Empty parts narrow nothing.

    `branch` empty is the default branch. `models` are registered models of MLflow, `facet` the version facet in
    which traces record the registry's versions, where they do. `user` goes with a password where a server wants one.
    """

    project: str = ""
    branch: str = ""
    paths: tuple[PathRule, ...] = ()
    environments: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    facet: str = ""
    user: str = ""

    def stored(self) -> dict[str, Any]:
        """As JSON; empty parts are left out."""
        found = {
            "project": self.project, "branch": self.branch,
            "paths": [{"pattern": rule.pattern, "layer": rule.layer.value} for rule in self.paths],
            "environments": list(self.environments), "models": list(self.models), "facet": self.facet,
            "user": self.user,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value}

    def wants(self, environment: str) -> bool:
        """Whether deployments to `environment` count."""
        return not self.environments or environment in self.environments


def read_options(given: Mapping[str, Any]) -> FeedOptions:
    """Checked options from JSON or a form; names and paths may be text, one a line. Raises UserError."""
    branch, facet, user = (_word(given, name, most) for name, most in (("branch", 200), ("facet", 80), ("user", 200)))
    return FeedOptions(
        project=_word(given, "project", 400).strip("/"), branch=branch, paths=_rules(given.get("paths")),
        environments=_names(given.get("environments"), "environments"), models=_names(given.get("models"), "models"),
        facet=facet, user=user,
    )  # fmt: skip


def check_project(kind: str, project: str) -> None:
    """Raise UserError unless `project` names one of that kind of host."""
    if kind == "github" and not _GITHUB.fullmatch(project):
        raise UserError("Name the repository like owner/name.")
    if kind == "gitlab" and not _GITLAB.fullmatch(project):
        raise UserError("Name the project by its path, like group/project, or by its number.")


def paths_as_text(rules: Iterable[PathRule]) -> str:
    """One rule a line, as people write them."""
    return "\n".join(f"{rule.pattern} → {rule.layer.value}" for rule in rules)


def touched_layers(paths: Iterable[str], rules: Iterable[PathRule]) -> dict[Layer, list[str]]:
    """The named paths among `paths`, by layer; the first rule that fits a path decides."""
    compiled = [(rule.layer, _Pattern(rule.pattern)) for rule in rules]
    found: dict[Layer, list[str]] = {}
    for path in dict.fromkeys(paths):
        layer = next((layer for layer, pattern in compiled if pattern.fits(path)), None)
        if layer is not None:
            found.setdefault(layer, []).append(path)
    return found


def layers_of_everything(rules: Iterable[PathRule]) -> list[Layer]:
    """Layers of the rules that fit every path: all that can be said of a merge whose files are not told."""
    return list(dict.fromkeys(rule.layer for rule in rules if rule.pattern in {"**", "**/*", "*"}))


def folders(rules: Iterable[PathRule]) -> list[str]:
    """The folders or files that together hold all named paths; [""] where a rule may fit anywhere."""
    found: set[str] = set()
    for rule in rules:
        fixed: list[str] = []
        for part in _parts(rule.pattern):
            if any(sign in part for sign in "*?["):
                break
            fixed.append(part)
        found.add("/".join(fixed))
    return [""] if "" in found else sorted(found)


class _Pattern:
    """`**` is any number of folders, `*` and `?` stay within one name; a name without / fits at any depth."""

    def __init__(self, pattern: str) -> None:
        parts = _parts(pattern)
        if parts[-1] == "**":
            parts = [*parts, "*"]  # what lies in the folder, not a file of its name
        self._parts = [part if part == "**" else re.compile(fnmatch.translate(part)) for part in parts]

    def fits(self, path: str) -> bool:
        names = path.strip("/").split("/")[:200]
        reached = {0}  # how many parts are used up
        for name in names:
            after: set[int] = set()
            for place in self._skipping(reached):
                if place < len(self._parts):
                    part = self._parts[place]
                    if isinstance(part, str):
                        after.add(place)
                    elif part.match(name):
                        after.add(place + 1)
            reached = after
        return len(self._parts) in reached

    def _skipping(self, places: set[int]) -> set[int]:
        found = set(places)
        for place in sorted(places):
            at = place
            while at < len(self._parts) and self._parts[at] == "**":
                at += 1
                found.add(at)
        return found


def _parts(pattern: str) -> list[str]:
    pattern = pattern.removeprefix("/")
    if pattern.endswith("/"):
        pattern += "**"
    parts = pattern.split("/")
    return parts if len(parts) > 1 or parts == ["**"] else ["**", *parts]


def _rules(given: Any) -> tuple[PathRule, ...]:
    entries = given.splitlines() if isinstance(given, str) else given or []
    if not isinstance(entries, list | tuple):
        raise UserError("Paths are a list of patterns with their layers.")
    rules: list[PathRule] = []
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, str):
            if not entry.strip():
                continue
            pattern, *layer = _ARROW.split(entry.strip())
            layer_name = layer[0] if len(layer) == 1 else ""
        elif isinstance(entry, Mapping):
            pattern, layer_name = str(entry.get("pattern") or "").strip(), str(entry.get("layer") or "").strip()
        else:
            raise UserError(f"Path {number} is no pattern with a layer, like prompts/** → prompt.")
        names = {name.value: name for name in LAYERS}
        if not pattern or layer_name.lower() not in names:
            raise UserError(f"Path {number} needs a pattern and a layer ({', '.join(names)}): prompts/** → prompt.")
        if len(pattern) > _MAX_PATTERN or not pattern.isprintable():
            raise UserError(f"Path {number} is longer than {_MAX_PATTERN} characters or holds signs that no path has.")
        rules.append(PathRule(pattern, names[layer_name.lower()]))
    if len(rules) > MAX_RULES:
        raise UserError(f"A feed has at most {MAX_RULES} paths; name folders instead of files.")
    return tuple(dict.fromkeys(rules))


def _names(given: Any, what: str) -> tuple[str, ...]:
    entries = re.split(r"[,\n]", given) if isinstance(given, str) else given or []
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, str) for entry in entries):
        raise UserError(f"The {what} are a list of names.")
    names = tuple(dict.fromkeys(entry.strip() for entry in entries if entry.strip()))
    if len(names) > MAX_NAMES or any(len(name) > 250 or not name.isprintable() for name in names):
        raise UserError(f"Give at most {MAX_NAMES} {what}, each a name of up to 250 characters.")
    return names


def _word(given: Mapping[str, Any], name: str, most: int) -> str:
    value = given.get(name) or ""
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise UserError(f"The {name} is a text of up to {most} characters on one line.")
    return value.strip()
