"""Tags that write layers, verdicts, moments and rates the same way on every page."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from postmortem.lib.clock import beside, describe_duration
from postmortem.lib.layers import Layer

register = template.Library()

_VERDICTS = {
    "in": "IN",
    "out": "OUT",
    "insufficient": "INSUFFICIENT",
    "ruled_in": "IN",
    "ruled_out": "OUT",
    "open": "INSUFFICIENT",
}
_KILO = 1024


@register.simple_tag
def layer(value: str) -> SafeString | str:
    """A layer's glyph, hue and name; other text unchanged."""
    try:
        known = Layer(value)
    except ValueError:
        return value
    return format_html('<span class="layer layer-{}" data-glyph="{}">{}</span>', known.value, known.glyph, known.label)


@register.simple_tag
def verdict(value: str) -> SafeString:
    """IN filled, OUT outlined, INSUFFICIENT dashed; nothing decided is missing."""
    name = _VERDICTS.get(str(value), "")
    if not name:
        return format_html('<span class="badge missing">{}</span>', "No verdict")
    return format_html('<span class="badge verdict-{}">{}</span>', name.lower(), name)


_MASK = re.compile(r"\[masked: ([a-z0-9 /-]{1,60})\]")


@register.filter
def masks(value: str | None) -> SafeString:
    """Trace text, escaped, with what was masked in it set apart."""
    return mark_safe(_MASK.sub(r'<mark class="masked">\1</mark>', escape(value or "")))  # noqa: S308, escaped


@register.filter
def when(value: datetime | None) -> SafeString | str:
    """A moment in UTC, e.g. "9 Mar 2026 09:40"."""
    if value is None:
        return ""
    at = value.astimezone(UTC)
    iso = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return format_html('<time datetime="{}">{} {}</time>', iso, at.day, at.strftime("%b %Y %H:%M"))


@register.filter
def when_short(value: datetime | None) -> SafeString | str:
    """A moment in UTC without its year, e.g. "9 Mar 09:40"."""
    if value is None:
        return ""
    at = value.astimezone(UTC)
    iso = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return format_html('<time datetime="{}">{} {}</time>', iso, at.day, at.strftime("%b %H:%M"))


@register.filter
def on_clock(value: datetime | None, zone: str) -> str:
    """The same moment on the reader's own clock, e.g. "10:40 CET"; nothing for readers in UTC."""
    return "" if value is None else beside(value, zone)


@register.filter
def share(value: float | None) -> str:
    """A fraction as a percentage that never rounds something to nothing."""
    if value is None:
        return "not known"
    if 0 < value < 0.001:
        return "under 0.1%"
    if 0.999 < value < 1:
        return "over 99.9%"
    percent = value * 100
    return f"{percent:.0f}%" if percent in (0, 100) or percent >= 10 else f"{percent:.1f}%"


@register.filter
def seconds(value: float | None) -> str:
    """A duration in seconds for people: "340 ms", "2.41 s", "3 min 20 s"."""
    if value is None:
        return ""
    if abs(value) < 1:
        return f"{value * 1000:.0f} ms"
    if abs(value) < 60:
        return f"{value:.2f} s"
    return describe_duration(timedelta(seconds=value))


@register.filter
def usd(value: float | None) -> str:
    """A cost in USD with the digits that matter."""
    if value is None:
        return ""
    return f"${value:,.2f}" if abs(value) >= 1 else f"${value:.5f}".rstrip("0").rstrip(".")


@register.filter
def number(value: Any) -> str:
    """A number with thousands parted, at most four places."""
    if value is None:
        return ""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.4f}".rstrip("0")
    return f"{int(value):,}"


@register.filter
def file_size(value: int | None) -> str:
    """Bytes for people."""
    size = float(value or 0)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < _KILO or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= _KILO
    return ""


@register.filter
def short(value: str) -> str:
    """The first twelve characters of a hash or id."""
    return str(value)[:12]


@register.filter
def plural(count: int, word: str) -> str:
    """ "1 trace", "2,000 traces"; the plural may be given after a comma."""
    one, _, many = word.partition(",")
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@register.filter
def score(value: Any) -> str:
    """A score with at most three places; text scores as they are."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.3f}".rstrip("0").rstrip(".").replace("-", "−")


@register.filter
def column(place: int, names: list[str]) -> str:
    """The name of the column at `place`."""
    return names[place]


@register.filter
def left(total: int, first: int, at_once: int = 200) -> int:
    """How many the next page shows."""
    return min(at_once, total - first)


@register.filter
def answer_words(value: str) -> str:
    """A checklist answer for people."""
    return {"yes": "Yes", "no": "No", "cannot_tell": "Cannot tell"}.get(value, value)


@register.filter
def indent(depth: int) -> int:
    """How far a line of an outline is indented: as deep as it is, up to 12."""
    return min(depth, 12)


@register.filter
def kind_words(value: str) -> str:
    """A stored word with underscores for people."""
    return str(value).replace("_", " ")


@register.filter
def sides(pair: Any) -> tuple[Any, Any]:
    """Left and right of a pair, to go through them alike."""
    return pair.left, pair.right
