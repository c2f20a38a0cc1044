"""What changed between two texts, word by word. No Django here."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_MANY_CHARACTERS = 8_000  # beyond it lines are compared: difflib's cost grows with the square
_MOST_PARTS = 4_000  # beyond it nothing is compared: both texts are shown whole
_AROUND = 60  # characters shown of what stayed, on either side of a change


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text; `kind` is "same", "gone" or "new"."""

    kind: str
    text: str


def text_difference(before: str, after: str) -> list[Piece]:
    """The pieces of both texts in order; long runs that stayed are shortened to "…"."""
    if before == after:
        return [Piece("same", _shortened(after, first=True, last=True))] if after else []
    pattern = _LINES if max(len(before), len(after)) > _MANY_CHARACTERS else _WORDS
    old, new = pattern.findall(before), pattern.findall(after)
    pieces: list[Piece] = []
    if max(len(old), len(new)) > _MOST_PARTS:
        pieces = [Piece("gone", before), Piece("new", after)]
    else:
        for tag, begin, end, new_begin, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if tag == "equal":
                pieces.append(Piece("same", "".join(old[begin:end])))
                continue
            pieces += [Piece("gone", "".join(old[begin:end])), Piece("new", "".join(new[new_begin:new_end]))]
    shown = [piece for piece in _joined(pieces) if piece.text]
    last = len(shown) - 1
    return [
        Piece(piece.kind, _shortened(piece.text, first=at == 0, last=at == last)) if piece.kind == "same" else piece
        for at, piece in enumerate(shown)
    ]


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Changes that only blanks part are one change, so that a rewritten sentence reads as one."""
    joined: list[Piece] = []
    gone = new = ""
    for at, piece in enumerate(pieces):
        between = piece.kind == "same" and not piece.text.strip() and at + 1 < len(pieces) and bool(gone or new)
        if piece.kind == "gone" or between:
            gone += piece.text
        if piece.kind == "new" or between:
            new += piece.text
        if piece.kind == "same" and not between:
            joined += [Piece("gone", gone), Piece("new", new), piece]
            gone = new = ""
    return [*joined, Piece("gone", gone), Piece("new", new)]


def _shortened(text: str, *, first: bool, last: bool) -> str:
    if len(text) <= 2 * _AROUND + 20:
        return text
    start = "" if first else text[:_AROUND]
    end = "" if last else text[-_AROUND:]
    return f"{start} … {end}" if start or end else f"{text[: 2 * _AROUND]} …"
