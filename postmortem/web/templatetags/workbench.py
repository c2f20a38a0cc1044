"""How numbers, moments and Markdown are written on every page."""

from datetime import datetime, timedelta
from math import exp, log
from typing import Any

from django import template
from django.utils.safestring import SafeString, mark_safe

from postmortem.attribution.wording import probability_digits
from postmortem.lib.clock import describe_duration, parse_moment
from postmortem.lib.layers import Layer
from postmortem.lib.markdown import render_markdown

register = template.Library()

_PAIR = 2


@register.filter
def duration(value: timedelta | None) -> str:
    """A timedelta in its two largest units, or a dash in words."""
    return "not known" if value is None else describe_duration(value)


@register.filter
def markdown(value: str) -> SafeString:
    """Markdown as sanitised HTML (lib.markdown bounds and cleans it)."""
    return mark_safe(render_markdown(value or ""))  # noqa: S308


@register.filter
def moment(value: str | datetime | None, form: str = "%-d %b %H:%M") -> str:
    """An RFC 3339 string or a datetime as "9 Mar 09:40" (UTC)."""
    if not value:
        return ""
    return (parse_moment(value) if isinstance(value, str) else value).strftime(form)


@register.filter
def in_unit(value: float | None, unit: str) -> str:
    """A value of the signal: a share as percent with one decimal, seconds, USD or a plain score."""
    if value is None:
        return "–"
    return _minus(_number(value, unit) + _SUFFIX.get(unit, ""))


@register.filter
def difference(value: float | None, unit: str) -> str:
    """A difference of the signal with its sign: shares in points, the rest in the signal's unit."""
    if value is None:
        return "–"
    text = _number(value, unit)
    if not text.strip("-0.,"):  # what rounds to nothing has no sign
        return text.lstrip("-") + ("" if unit == "share" else _SUFFIX.get(unit, ""))
    sign = "+" if value > 0 else ""
    return _minus(sign + text + ("" if unit == "share" else _SUFFIX.get(unit, "")))


@register.filter
def interval(pair: Any, unit: str) -> str:
    """A pair as "91.2 to 93.2" in the signal's unit."""
    if not pair or len(pair) != _PAIR or pair[0] is None or pair[1] is None:
        return ""
    return _minus(f"{_number(pair[0], unit)} to {_number(pair[1], unit)}")


@register.filter
def probability(value: float | None) -> str:
    """A probability with two decimals; never a rounded certainty."""
    if value is None:
        return "–"
    return probability_digits(value)


@register.filter
def times_as_likely(log_factor: float) -> str:
    """A natural logarithm of a Bayes factor in words: "20 times as likely", "0.7 times as likely"."""
    if log_factor > _LN_MILLION:
        return "more than a million times as likely"
    factor = exp(log_factor)
    return f"{factor:,.0f} times as likely" if factor >= 10 else f"{factor:.2g} times as likely"


@register.filter
def layer_glyph(value: str | None) -> str:
    """The shape that goes with a layer's hue."""
    return Layer(value).glyph if value else ""


@register.filter
def layer_label(value: str | None) -> str:
    """A layer's name for people."""
    return Layer(value).label if value else ""


@register.filter
def lookup(mapping: dict[str, Any], key: str) -> Any:
    """`mapping[key]`, or nothing."""
    return mapping.get(key)


@register.filter
def at(mapping: dict[Any, Any], key: Any) -> Any:
    """`mapping[key]`, or nothing; nothing too where there is no mapping."""
    return mapping.get(key) if mapping else None


_LN_MILLION = log(1e6)
_SUFFIX = {"share": "%", "s": " s", "USD": " USD"}


def _number(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value * 100:.1f}"
    if unit == "USD" and 0 < abs(value) < 1:
        return f"{value:.5f}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
