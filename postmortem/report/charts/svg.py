"""Elements of a chart. Colours go twice: a class for the site's themes and an attribute with the print value.

No style attributes and no scripts: the pictures stand under a strict Content-Security-Policy.
"""

import re
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

PRINT_COLOURS = {
    "ink": "#1b1d22",
    "ink2": "#474b54",
    "ink3": "#62666f",
    "rule": "#dcd8cf",
    "rule2": "#85827b",
    "paper": "#ffffff",
    "raise": "#f1efe9",
    "alert": "#a3301a",
    "model": "#1f57a4",
    "prompt": "#935600",
    "retrieval": "#006f66",
    "infrastructure": "#87357a",
}

# Advance widths of Noto Sans for U+0020 to U+007E, in thousandths of the type size.
_REGULAR = (
    260, 269, 408, 646, 572, 831, 732, 225, 300, 300, 551, 572, 268, 322, 268, 372, 572, 572, 572, 572, 572, 572, 572,
    572, 572, 572, 268, 268, 572, 572, 572, 434, 899, 639, 650, 632, 730, 556, 519, 728, 741, 339, 273, 619, 524, 907,
    760, 781, 605, 781, 622, 549, 556, 731, 600, 930, 586, 566, 572, 329, 372, 329, 572, 444, 281, 561, 615, 480, 615,
    564, 344, 615, 618, 258, 258, 534, 258, 935, 618, 605, 615, 615, 413, 479, 361, 618, 508, 786, 529, 510, 470, 380,
    551, 380, 572,
)  # fmt: skip
_BOLD = (
    260, 282, 479, 646, 572, 902, 750, 266, 339, 339, 542, 572, 285, 320, 281, 415, 572, 572, 572, 572, 572, 572, 572,
    572, 572, 572, 285, 285, 572, 572, 572, 477, 898, 692, 665, 642, 732, 560, 549, 724, 765, 389, 331, 664, 559, 943,
    813, 791, 621, 791, 656, 551, 577, 756, 650, 967, 670, 626, 579, 331, 415, 331, 572, 411, 365, 599, 632, 516, 632,
    597, 387, 632, 650, 299, 298, 620, 298, 975, 650, 625, 632, 632, 447, 502, 434, 650, 571, 856, 578, 571, 493, 394,
    551, 394, 572,
)  # fmt: skip
_WIDE_FROM = "\u1100"  # Hangul and CJK take a whole square, emoji more
_EMOJI_FROM = "\U0001f000"
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Without control characters, which XML forbids, and without those that turn the direction of text."""
    return " ".join(_UNPRINTABLE.sub("", text).split())


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of `text` in Noto Sans at `size`, in the same unit; a little generous for other scripts."""
    table = _BOLD if bold else _REGULAR
    total = 0
    for character in text:
        place = ord(character) - 32
        if 0 <= place < len(table):
            total += table[place]
        elif character == "→":
            total += 1000
        else:
            total += 1000 if character >= _WIDE_FROM and not "\u2000" <= character <= "\u22ff" else 610
            total += 300 * (character >= _EMOJI_FROM)
    return total * size / 1000


def shorten(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """`text` cut to `width` with an ellipsis; empty when not even four characters fit."""
    if text_width(text, size, bold=bold) <= width:
        return text
    room = width - text_width("…", size, bold=bold)
    end = 0
    used = 0.0
    for end, character in enumerate(text):  # noqa: B007
        used += text_width(character, size, bold=bold)
        if used > room:
            break
    return text[:end].rstrip(" ,;:→-") + "…" if end >= 4 else ""


def number(value: float) -> str:
    """A coordinate with at most two decimals."""
    return "0" if abs(value) < 0.005 else f"{value:.2f}".rstrip("0").rstrip(".")


def paint(*, fill: str = "", stroke: str = "") -> dict[str, str]:
    """Class and attributes for roles of the palette; "" means none."""
    classes = [f"fill-{fill}"] if fill else []
    classes += [f"stroke-{stroke}"] if stroke else []
    found = {"class": " ".join(classes)} if classes else {}
    found["fill"] = PRINT_COLOURS[fill] if fill else "none"
    if stroke:
        found["stroke"] = PRINT_COLOURS[stroke]
    return found


class Drawing:
    """Collects elements in drawing order and gives the finished picture."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def element(self, name: str, content: str | None = None, **attributes: Any) -> None:
        """Add one element; underscores of attribute names become hyphens, None leaves an attribute out."""
        written = "".join(
            f" {key.replace('_', '-')}={quoteattr(number(value) if isinstance(value, float) else str(value))}"
            for key, value in attributes.items()
            if value is not None
        )
        self._parts.append(f"<{name}{written}/>" if content is None else f"<{name}{written}>{content}</{name}>")

    def add(self, other: "Drawing") -> None:
        """Draw all that `other` holds."""
        self._parts += other._parts

    def rect(
        self, x: float, y: float, width: float, height: float, *, fill: str = "", stroke: str = "", **more: Any
    ) -> None:
        """A rectangle."""
        self.element(
            "rect", x=float(x), y=float(y), width=float(width), height=float(height),
            **paint(fill=fill, stroke=stroke), **more,
        )  # fmt: skip

    def line(self, x1: float, y1: float, x2: float, y2: float, *, stroke: str, **more: Any) -> None:
        """A straight line."""
        attributes = paint(stroke=stroke) | {"stroke_width": more.pop("stroke_width", 1)}
        self.element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), **attributes, **more)

    def path(
        self,
        points: Sequence[tuple[float, float]],
        *,
        fill: str = "",
        stroke: str = "",
        close: bool = False,
        **more: Any,
    ) -> None:
        """A polyline or polygon through `points`."""
        if points:
            steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
            self.element("path", d=f"M{steps}{'Z' if close else ''}", **paint(fill=fill, stroke=stroke), **more)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        fill: str = "ink2",
        bold: bool = False,
        anchor: str = "start",
    ) -> None:
        """One line of text; `anchor` is start, middle or end."""
        if text:
            self.element(
                "text", escape(clean(text)), x=float(x), y=float(y), font_size=float(size),
                font_weight=700 if bold else None, text_anchor=None if anchor == "start" else anchor,
                **paint(fill=fill),
            )  # fmt: skip

    def glyph(self, layer: str, x: float, y: float, size: float) -> None:
        """The shape of a layer centred on (x, y): square, circle, triangle, diamond."""
        half = size / 2
        if layer == "prompt":
            self.element("circle", cx=float(x), cy=float(y), r=float(half), **paint(fill=layer))
            return
        points = {
            "model": [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)],
            "retrieval": [(x, y - half), (x + half * 1.1, y + half * 0.85), (x - half * 1.1, y + half * 0.85)],
            "infrastructure": [(x, y - half * 1.2), (x + half * 1.2, y), (x, y + half * 1.2), (x - half * 1.2, y)],
        }[layer]
        self.path(points, fill=layer, close=True)

    def svg(
        self, *, width: float, height: float, title: str, unit: str = "", classes: str = "", top: float = 0.0
    ) -> str:
        """The finished picture from `top` on; `title` is its alternative text, `unit` goes with its sizes ("pt")."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="pmchart {classes}" role="img" '
            + f'viewBox="0 {number(top)} {number(width)} {number(height)}" width="{number(width)}{unit}" '
            + f'height="{number(height)}{unit}" '
            + 'font-family="Noto Sans, Signs math, Signs symbols2, Segoe UI, Liberation Sans, system-ui, sans-serif">'
            + f"<title>{escape(clean(title))}</title>{''.join(self._parts)}</svg>"
        )
