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

CURRENT_VERSION = "2026-1"
# A folder of data beside this module; `checklist/` holds no Python.
_FOLDER = Path(__file__).parent / "checklist"
_TEXTS = ("id", "text", "why", "evidence", "rules_in", "rules_out", "in_if", "prefill")


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a layer.

    `in_if` is the answer ("yes" or "no") that speaks for a cause in the layer; the other speaks
    against. `evidence` says what would answer it, `rules_in` and `rules_out` what decides.
    `patterns` names the failure patterns (1 to 11) that the question covers.
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


@dataclass(frozen=True)
class Checklist:
    """A version of the questions, by layer, in the order in which they are asked."""

    version: str
    sections: MappingProxyType[Layer, tuple[Question, ...]]

    def question(self, question_id: str) -> Question | None:
        """The question with that id, None when this version has no such question."""
        for questions in self.sections.values():
            for question in questions:
                if question.id == question_id:
                    return question
        return None


@cache
def load_checklist(version: str = CURRENT_VERSION) -> Checklist:
    """The checklist of that version. Raises ValueError for an unknown version or a broken file."""
    path = _FOLDER / f"{version}.json"
    if path.parent != _FOLDER or not path.is_file():
        raise ValueError(f"There is no checklist version “{version}”.")
    return parse_checklist(json.loads(path.read_text(encoding="utf-8")))


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
    return Checklist(version=str(data.get("version", "")), sections=MappingProxyType(sections))


def prefill(question: Question, facts: ReviewFacts) -> Prefill:
    """What the join and the attribution already know about `question`, and the answer it suggests."""
    base = prefill_for(question.prefill, question.layer, facts)
    matched = [
        (f"Pattern: {one['title']}", one["sentence"])
        for one in (facts.finding or {}).get("patterns") or []
        if one["number"] in question.patterns and one["answer"] == "match"
    ]
    return replace(base, known=(*base.known, *matched)) if matched else base


def _question(layer: Layer, entry: Any) -> Question:
    name = entry.get("id", "without id") if isinstance(entry, dict) else "without id"
    if not isinstance(entry, dict) or any(not isinstance(entry.get(key), str) or not entry[key] for key in _TEXTS):
        raise ValueError(f"Question “{name}” of {layer.value} lacks one of {', '.join(_TEXTS)}.")
    if entry["in_if"] not in ("yes", "no"):
        raise ValueError(f"Question “{name}”: in_if is “yes” or “no”.")
    if not entry["id"].startswith(f"{layer.value}-") or len(entry["id"]) > 60:
        raise ValueError(f"Question “{name}”: the id starts with “{layer.value}-” and has at most 60 characters.")
    if entry["prefill"].partition(":")[0] not in KNOWN_KEYS:
        raise ValueError(f"Question “{name}”: there is no prefill “{entry['prefill']}”.")
    return Question(layer=layer, patterns=tuple(entry.get("patterns", ())), **{key: entry[key] for key in _TEXTS})
