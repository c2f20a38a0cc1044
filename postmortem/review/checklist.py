"""The questions of a review, read from a versioned data file. No Django here."""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from postmortem.lib.layers import LAYERS, Layer
from postmortem.review.facts import ReviewFacts
from postmortem.review.prefill import KNOWN_KEYS, Prefill, prefill_for

CURRENT_VERSION = "2026-2"
DETECTION = "detection"
# A folder of data beside this module; `checklist/` holds no Python.
_FOLDER = Path(__file__).parent / "checklist"
_TEXTS = ("id", "text", "why", "evidence", "rules_in", "rules_out", "in_if", "prefill")


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a layer.

    `in_if` is the answer ("yes" or "no") that speaks for a cause in the layer; the other speaks
    against. `evidence` says what would answer it, `rules_in` and `rules_out` what decides.
    `patterns` names the failure patterns (1 to 11) that the question covers. `section` is the layer, or "detection":
    monitoring belongs to infrastructure, and why nobody was told is asked apart. `when` says on which evidence the
    question appears (see `is_relevant`); "" is always.
    """

    id: str
    layer: Layer
    text: str
    why: str
    evidence: str
    rules_in: str
    rules_out: str
    in_if: str
    prefill: str
    patterns: tuple[int, ...] = ()
    section: str = ""
    when: str = ""


@dataclass(frozen=True)
class Checklist:
    """A version of the questions, by layer, in the order in which they are asked."""

    version: str
    sections: MappingProxyType[Layer, tuple[Question, ...]]
    detection: tuple[Question, ...] = ()

    def question(self, question_id: str) -> Question | None:
        """The question with that id, None when this version has no such question."""
        for questions in (*self.sections.values(), self.detection):
            for question in questions:
                if question.id == question_id:
                    return question
        return None


def built_in_versions() -> list[str]:
    """The versions that come with the workbench, oldest first."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def built_in_data(version: str) -> dict[str, Any]:
    """The file of a built-in version. Raises ValueError for an unknown one."""
    if version not in built_in_versions():
        raise ValueError(f"There is no checklist version “{version[:40]}”.")
    data: dict[str, Any] = json.loads((_FOLDER / f"{version}.json").read_text(encoding="utf-8"))
    return data


@cache
def load_checklist(version: str = CURRENT_VERSION) -> Checklist:
    """A built-in checklist. Raises ValueError for an unknown version or a broken file."""
    return parse_checklist(built_in_data(version))


def parse_checklist(data: Any) -> Checklist:
    """Check the shape of a checklist file. Raises ValueError naming the question that is wrong.

    The file is an object: "version", "sections" with every layer's list of questions.
    """
    if not isinstance(data, dict) or not isinstance(data.get("sections"), dict):
        raise ValueError("A checklist is an object with “version” and “sections”.")
    sections: dict[Layer, tuple[Question, ...]] = {}
    seen: set[str] = set()
    for layer in LAYERS:
        questions = tuple(_question(layer, entry) for entry in data["sections"].get(layer.value, []))
        if not questions:
            raise ValueError(f"The checklist has no questions for {layer.value}.")
        for question in questions:
            if question.id in seen:
                raise ValueError(f"Question id “{question.id}” is there twice.")
            seen.add(question.id)
        sections[layer] = questions
    detection = tuple(
        _question(Layer.INFRASTRUCTURE, entry, DETECTION) for entry in data["sections"].get(DETECTION, [])
    )
    if len({question.id for question in detection}) < len(detection):
        raise ValueError("A question id of the detection section is there twice.")
    return Checklist(str(data.get("version", "")), MappingProxyType(sections), detection)


def is_relevant(question: Question, facts: ReviewFacts) -> bool:
    """Whether the evidence bears on `question`: its `when` against what is known.

    "changes": the layer has a logged change or an unlogged move. "gradual": one of its changes was rolled out step
    by step. "rollback": something was rolled back. "facet:a,b": traces record one of these facets, or a change moved
    it. "signal": the attribution was run. Several conditions, parted by "|": any of them.
    """
    return not question.when or any(_holds(one, question.layer, facts) for one in question.when.split("|"))


def _holds(condition: str, layer: Layer, facts: ReviewFacts) -> bool:
    name, _, rest = condition.partition(":")
    if name == "changes":
        return bool(facts.of_layer(layer)) or any(move.layer == layer for move in facts.moves)
    if name == "gradual":
        return any(change.rollout != "instant" for change in facts.of_layer(layer))
    if name == "rollback":
        return any(change.is_rollback for change in facts.changes)
    if name == "signal":
        return facts.finding is not None
    facets = set(rest.split(","))
    return bool(facets & set(facts.facets)) or any(change.facet in facets for change in facts.changes)


_CONDITIONS = ("changes", "gradual", "rollback", "signal", "facet")


def prefill(question: Question, facts: ReviewFacts) -> Prefill:
    """What the join and the attribution already know about `question`, and the answer it suggests."""
    base = prefill_for(question.prefill, question.layer, facts)
    matched = [
        (f"Pattern: {one['title']}", one["sentence"])
        for one in (facts.finding or {}).get("patterns") or []
        if one["number"] in question.patterns and one["answer"] == "match"
    ]
    return replace(base, known=(*base.known, *matched)) if matched else base


def _question(layer: Layer, entry: Any, section: str = "") -> Question:
    name = entry.get("id", "without id") if isinstance(entry, dict) else "without id"
    if not isinstance(entry, dict) or any(not isinstance(entry.get(key), str) or not entry[key] for key in _TEXTS):
        raise ValueError(f"Question “{name}” of {layer.value} lacks one of {', '.join(_TEXTS)}.")
    if entry["in_if"] not in ("yes", "no"):
        raise ValueError(f"Question “{name}”: in_if is “yes” or “no”.")
    section = section or layer.value
    if not entry["id"].startswith(f"{section}-") or len(entry["id"]) > 60:
        raise ValueError(f"Question “{name}”: the id starts with “{section}-” and has at most 60 characters.")
    if entry["prefill"].partition(":")[0] not in KNOWN_KEYS:
        raise ValueError(f"Question “{name}”: there is no prefill “{entry['prefill']}”.")
    when = str(entry.get("when", ""))
    if when and any(one.partition(":")[0] not in _CONDITIONS for one in when.split("|")):
        raise ValueError(f"Question “{name}”: “{when[:60]}” is no condition; use {', '.join(_CONDITIONS)}.")
    patterns = tuple(entry.get("patterns", ()))
    texts = {key: entry[key] for key in _TEXTS}
    return Question(layer=layer, patterns=patterns, section=section, when=when, **texts)
