"""Numbers in pictures and reports: levels with their unit, intervals, moments. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from postmortem.attribution.wording import probability_digits, probability_text

_MINUS = "−"


def digits(value: float, unit: str) -> str:
    """Only the number: shares as percent with one decimal, seconds and dollars by their size."""
    if unit == "share":
        text = f"{100 * value:.1f}"
    elif unit == "s":
        text = f"{value:.2f}" if abs(value) < 10 else f"{value:,.1f}"
    elif unit == "USD":
        text = f"{value:.4f}" if abs(value) < 1 else f"{value:,.2f}"
    else:
        text = f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", _MINUS)


def level(value: float, unit: str) -> str:
    """A level: "79.3%", "1.83 s", "$0.0120", "0.713"."""
    text = digits(value, unit)
    return {"share": f"{text}%", "s": f"{text} s", "USD": f"${text}"}.get(unit, text)


def axis_levels(values: Sequence[float], unit: str) -> list[str]:
    """Levels as short as an axis needs, all with the same decimals: "95%", "1.5 s" beside "2.0 s"."""
    bare = [f"{100 * value if unit == 'share' else value:.6g}" for value in values]
    if not any("e" in text for text in bare):
        decimals = max((len(text.partition(".")[2]) for text in bare), default=0)
        bare = [f"{float(text):,.{decimals}f}" for text in bare]
    texts = [text.replace("-", _MINUS) for text in bare]
    return [{"share": f"{text}%", "s": f"{text} s", "USD": f"${text}"}.get(unit, text) for text in texts]


def change(value: float, unit: str) -> str:
    """A difference with its sign: "−10.1 points", "+0.84 s"."""
    text = digits(value, unit)
    sign = "+" if value > 0 and text.strip("0.,") else ""
    return sign + text + {"share": " points", "s": " s", "USD": " USD"}.get(unit, "")


def interval(bounds: tuple[float, float], unit: str) -> str:
    """ "91.8 to 92.5"."""
    return f"{digits(bounds[0], unit)} to {digits(bounds[1], unit)}"


def probability(value: float) -> str:
    """ "0.97", as on the pages."""
    return probability_digits(value)


def p_text(value: float) -> str:
    """ "P 0.97", "P < 0.01"."""
    return probability_text(value)


def label(name: str) -> str:
    """A signal's name as a title: plain words begin with a capital, names like `answer_score` stay as they are."""
    return name[:1].upper() + name[1:] if name.replace(" ", "").isalpha() and name[:1].islower() else name


def moment(at: datetime) -> str:
    """ "9 Mar 09:40", UTC."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %H:%M}"


def day(at: datetime) -> str:
    """ "9 March 2026", UTC."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%B %Y}"
