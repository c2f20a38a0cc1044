"""Two people changed one text: merge what they did, or say that it cannot be merged. Pure."""

import re
from difflib import SequenceMatcher

from postmortem.review.text_patch import shared_length

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_MANY_CHARACTERS = 20_000  # beyond it lines are compared: difflib's cost grows with the square

_Edit = tuple[int, int, tuple[str, ...]]


def merge_texts(base: str, mine: str, theirs: str) -> str | None:
    """Three-way merge of two changes of `base`, word by word (line by line for long texts); None when they collide.

    Two insertions at the same place are both kept, theirs first. Two different changes of the same words are not
    merged.
    """
    if mine in (theirs, base):
        return theirs
    if base == theirs:
        return mine
    head, tail = _alike(base, mine, theirs)
    kept_before, kept_after = base[:head], base[len(base) - tail :]
    base, mine, theirs = (text[head : len(text) - tail] for text in (base, mine, theirs))
    long = max(map(len, (base, mine, theirs))) > _MANY_CHARACTERS
    pattern = _LINES if long else _WORDS
    start = pattern.findall(base)
    my_edits = _edits(start, pattern.findall(mine))
    their_edits = _edits(start, pattern.findall(theirs))
    merged: list[str] = []
    at = 0
    while my_edits or their_edits:
        if my_edits and their_edits and _collide(my_edits[0], their_edits[0]):
            if my_edits[0] == their_edits[0]:
                begin, end, put = their_edits.pop(0)
                my_edits.pop(0)
            elif my_edits[0][0] == my_edits[0][1] == their_edits[0][0] == their_edits[0][1]:
                begin, end, theirs_put = their_edits.pop(0)
                put = theirs_put + my_edits.pop(0)[2]
            else:
                return None
        else:
            first = not their_edits or (my_edits and my_edits[0][:2] <= their_edits[0][:2])
            begin, end, put = (my_edits if first else their_edits).pop(0)
        merged += start[at:begin]
        merged += put
        at = end
    return "".join([kept_before, *merged, *start[at:], kept_after])


def _alike(base: str, mine: str, theirs: str) -> tuple[int, int]:
    """How many characters all three share at the beginning and at the end, in whole lines: these need no merging.

    Cut only between a line's end and a character that is no blank, so that the rest falls into the same words.
    """
    heads = [shared_length(base, other) for other in (mine, theirs)]
    head = min(heads)
    at = base.rfind("\n", 0, max(head - 1, 0))
    while at >= 0 and base[at + 1].isspace():
        at = base.rfind("\n", 0, at)
    head = at + 1
    # What both share from the front counts there, also where it could be found again at the back.
    tail = min(
        shared_length(base[before:][::-1], other[before:][::-1])
        for other, before in zip((mine, theirs), heads, strict=True)
    )
    end = base[len(base) - tail :]
    at = end.find("\n")
    while 0 <= at < len(end) - 1 and end[at + 1].isspace():
        at = end.find("\n", at + 1)
    return head, len(end) - at - 1 if at >= 0 else 0


def _edits(base: list[str], changed: list[str]) -> list[_Edit]:
    # Most edits touch one place: what is alike before and after it need not be searched.
    shorter = min(len(base), len(changed))
    head = next((at for at in range(shorter) if base[at] != changed[at]), shorter)
    rest = shorter - head
    tail = next((at for at in range(rest) if base[-1 - at] != changed[-1 - at]), rest)
    matcher = SequenceMatcher(None, base[head : len(base) - tail], changed[head : len(changed) - tail], autojunk=False)
    return [
        (head + begin, head + end, tuple(changed[head + new_begin : head + new_end]))
        for tag, begin, end, new_begin, new_end in matcher.get_opcodes()
        if tag != "equal"
    ]


def _collide(one: _Edit, other: _Edit) -> bool:
    """Whether both change the same words, or insert at the same place."""
    if one[:2] == other[:2]:
        return True
    return one[0] < other[1] and other[0] < one[1]
