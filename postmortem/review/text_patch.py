"""What changed in a long text, small enough to send to everybody on every save. Pure.

Places are counted in UTF-16 units, as browsers do: texts with characters beyond U+FFFF are sent whole.
"""

from dataclasses import dataclass

from postmortem.lib.errors import UserError

_WORTH_IT = 1_000  # characters below which the whole text is sent
_BEYOND = "\uffff"


@dataclass(frozen=True, slots=True)
class TextPatch:
    """`put` stands between the first `head` and the last `tail` characters of the text before."""

    head: int
    tail: int
    put: str


def patch_between(before: str, after: str) -> TextPatch | None:
    """What makes `after` of `before`; None where it is better sent whole."""
    if len(after) < _WORTH_IT or max(before, default="") > _BEYOND or max(after) > _BEYOND:
        return None
    head = shared_length(before, after)
    tail = shared_length(before[head:][::-1], after[head:][::-1])
    return TextPatch(head, tail, after[head : len(after) - tail])


def apply_patch(before: str, patch: TextPatch) -> str:
    """The text after. Raises UserError when the patch does not fit."""
    if patch.head < 0 or patch.tail < 0 or patch.head + patch.tail > len(before):
        raise UserError("What was sent does not fit the text that it was made from; reload the page.")
    return before[: patch.head] + patch.put + before[len(before) - patch.tail :]


def shared_length(one: str, other: str) -> int:
    """The length of the beginning that both share, by halving: Python compares slices fast."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
