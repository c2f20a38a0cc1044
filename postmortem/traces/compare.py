"""Two traces side by side: texts word by word, steps by name. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from postmortem.traces.records import ObservationRecord

MOST_PIECES = 3_000  # words, else lines, of one text that are compared
MOST_STEPS = 400
_WORD = re.compile(r"\s+|[^\W_]+|[^\w\s]|_+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one side's text; `differs` when the other side has something else or nothing there."""

    text: str
    differs: bool


@dataclass(frozen=True, slots=True)
class TextDifference:
    """Both sides' texts in pieces. `same` is the likeness of 0 to 1; `cut` says that only the beginnings fit."""

    left: list[Piece]
    right: list[Piece]
    same: float
    cut: bool


@dataclass(frozen=True, slots=True)
class StepPair:
    """Steps of both sides that stand in the same place; None where a side has no such step."""

    left: ObservationRecord | None
    right: ObservationRecord | None
    differs: tuple[str, ...]  # what else differs: model, prompt, level, input, output


def compare_texts(left: str, right: str) -> TextDifference:
    """Word by word; texts of more than 3,000 words line by line, and no more than 3,000 lines."""
    parts_left, parts_right = _WORD.findall(left), _WORD.findall(right)
    if max(len(parts_left), len(parts_right)) > MOST_PIECES:
        parts_left, parts_right = left.splitlines(keepends=True), right.splitlines(keepends=True)
    cut = max(len(parts_left), len(parts_right)) > MOST_PIECES
    parts_left, parts_right = parts_left[:MOST_PIECES], parts_right[:MOST_PIECES]
    matcher = SequenceMatcher(None, parts_left, parts_right, autojunk=len(parts_left) > 500)
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        for side, text in ((0, "".join(parts_left[i1:i2])), (1, "".join(parts_right[j1:j2]))):
            if text:
                pieces[side].append(Piece(text, tag != "equal"))
    return TextDifference(pieces[0], pieces[1], matcher.ratio() if left or right else 1.0, cut)


def pair_steps(left: Sequence[ObservationRecord], right: Sequence[ObservationRecord]) -> list[StepPair]:
    """Steps in order, paired where kind and name agree; at most 400 of each side."""
    left, right = left[:MOST_STEPS], right[:MOST_STEPS]
    keys_left, keys_right = ([(item.kind, item.name) for item in side] for side in (left, right))
    pairs: list[StepPair] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, keys_left, keys_right, autojunk=False).get_opcodes():
        if tag == "equal":
            both = zip(left[i1:i2], right[j1:j2], strict=True)
            pairs += [StepPair(one, other, _differences(one, other)) for one, other in both]
        else:
            pairs += [StepPair(one, None, ()) for one in left[i1:i2]]
            pairs += [StepPair(None, other, ()) for other in right[j1:j2]]
    return pairs


def likeness(left: str, right: str) -> float:
    """How many of the words of two texts are shared, 0 to 1 (Jaccard); quick enough for hundreds of pairs."""
    words = [{word.lower() for word in _WORD.findall(text) if word.strip()} for text in (left, right)]
    union = words[0] | words[1]
    return len(words[0] & words[1]) / len(union) if union else 0.0


def _differences(left: ObservationRecord, right: ObservationRecord) -> tuple[str, ...]:
    parts = {
        "model": (left.model, right.model),
        "prompt": ((left.prompt_name, left.prompt_version), (right.prompt_name, right.prompt_version)),
        "level": (left.level, right.level),
        "input": (left.input, right.input),
        "output": (left.output, right.output),
    }
    return tuple(name for name, (one, other) in parts.items() if one != other)
