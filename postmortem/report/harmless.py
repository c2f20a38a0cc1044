"""A record made harmless to show: no control characters, no text that runs backwards, nothing without end. Pure."""

import re
from typing import Any

import re2

# Tabs and line ends stay. The rest forges the look of a page: direction overrides, isolates, surrogates.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
# Of marks stacked on one letter the first four: more run over the lines above.
_STACKED = re2.compile(r"(\pM{4})\pM+")
_MOST_CHARACTERS = 20_000
_RAW_IMAGE = re.compile(r"!\[")
_OTHER_LINK = re.compile(r"\]\(\s*(?!https?://|mailto:)[^)\s]*", re.IGNORECASE)
_REFERENCE = re.compile(r"^(\s{0,3}\[[^\]\n]{1,400}\]:).*$", re.MULTILINE)


def harmless(value: Any) -> Any:
    """A copy of JSON `value` in which every text is safe to lay out; texts over 20,000 characters say that they end."""
    if isinstance(value, str):
        text = _STACKED.sub(r"\1", _UNSHOWABLE.sub("", value))
        return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + " … (cut; the record holds all)"
    if isinstance(value, dict):
        return {key: harmless(one) for key, one in value.items()}
    return [harmless(one) for one in value] if isinstance(value, list) else value


def harmless_markdown(text: str) -> str:
    """What people wrote, still Markdown: no HTML, no images, no links but to the web and to mail."""
    text = _RAW_IMAGE.sub(r"!\\[", text.replace("<", "&lt;"))
    return _OTHER_LINK.sub("](#", _REFERENCE.sub(r"\1 #", text)).strip()
