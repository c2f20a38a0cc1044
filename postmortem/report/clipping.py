"""A record whose every text is short, for a brief that has to keep its two pages whatever people wrote. Pure."""

from typing import Any

_WHOLE = frozenset({"link", "tracker_link", "series", "exposed_series", "branding", "schema"})
_MOST_LINES = 4
_WIDE_FROM = "\u1100"  # Hangul, CJK and emoji take the room of two letters


def clipped(value: Any, most: int, key: str = "") -> Any:
    """A copy of JSON `value` with lines of at most `most` letters, four of them in a text, marked where they end."""
    if key in _WHOLE or key.endswith("sha256"):
        return value
    if isinstance(value, str):
        lines = value.splitlines() if len(value) > most else [value]
        return "\n".join(_line(line, most) for line in lines[:_MOST_LINES])
    if isinstance(value, dict):
        return {name: clipped(one, most, name) for name, one in value.items()}
    return [clipped(one, most, key) for one in value] if isinstance(value, list) else value


def _line(text: str, most: int) -> str:
    used = 0
    for place, letter in enumerate(text):
        used += 1 + (letter >= _WIDE_FROM)
        if used > most:
            kept = text[:place].rstrip(" ,;:*")
            return kept + ("**…" if kept.count("**") % 2 else "…")
    return text
