"""Text from right to left within sentences from left to right: its full stop and what follows it stay in place. Pure.

A browser and a PDF set every piece in the direction of the page. A mark without width keeps a full stop on the side
where its sentence ends, and a date or a number of ours out of the name before it.
"""

import re

_RIGHT_TO_LEFT, _LEFT_TO_RIGHT = "\u200f", "\u200e"
_LETTER = "[\u0591-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]"
_FULL_STOP = re.compile(rf"({_LETTER}[\"'»”)]*[.!?…]+[\"'»”)]*)(?=[\s<&]|$)")
# A comma may end a line, where no letter follows that would hold it.
_COMMA = re.compile(rf"({_LETTER}[،؛,;])(?=\s+{_LETTER})")
# A number that Latin letters follow, like a date, or that ends the piece behind a comma, is not of that language.
_NUMBER = re.compile(
    rf"({_LETTER}{_RIGHT_TO_LEFT}?)(?=[,;:]?\s+\(?\d[^<A-Za-z\u0591-\u08ff]{{0,30}}[A-Za-z]|…?, [\d.]+\s*(?:<|$))"
)


def with_directions(html: str) -> str:
    """`html` with those marks; unchanged where nothing is written from right to left."""
    html = _COMMA.sub(rf"\1{_RIGHT_TO_LEFT}", _FULL_STOP.sub(rf"\1{_RIGHT_TO_LEFT}", html))
    return _NUMBER.sub(rf"\1{_LEFT_TO_RIGHT}", html)
