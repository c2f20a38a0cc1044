"""Whether two action items promise the same thing. No Django here."""

import re
from difflib import SequenceMatcher

_WORDS = re.compile(r"\w+")
_COMMON = frozenset({
    "a", "an", "and", "as", "at", "be", "before", "by", "for", "from", "in", "into", "it", "of", "on", "or", "so",
    "that", "the", "to", "when", "which", "with", "every", "each", "all",
})  # fmt: skip
ALIKE = 0.55  # from here on two titles are shown to people as possibly the same


def likeness(one: str, other: str) -> float:
    """0 to 1: the mean of shared words (Jaccard, endings cut) and of the longest common runs of letters."""
    mine, theirs = _words(one), _words(other)
    if not mine or not theirs:
        return 0.0
    shared = len(mine & theirs) / len(mine | theirs)
    if shared == 0:
        return 0.0
    return (shared + SequenceMatcher(None, one.lower(), other.lower(), autojunk=False).ratio()) / 2


def _words(text: str) -> set[str]:
    found = (word.lower() for word in _WORDS.findall(text))
    return {re.sub(r"(ing|ed|es|s)$", "", word) for word in found if word not in _COMMON}
