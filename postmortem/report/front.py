"""The first page of a full report: the signature picture stands where it leaves no page half empty. Pure."""

import re
from collections.abc import Callable, Sequence

from postmortem.report.charts.svg import text_width

# In templates/report/full.html: around the picture, and where else it may stand, in order.
BEGIN, END, ELSEWHERE = "<!-- picture -->", "<!-- /picture -->", "<!-- or here -->"
# A place whose height on the first page is asked for.
PLACE = '<hr class="place"/>'
_REST = "</main></body></html>"
_TO_SECTION = re.compile(r'<a href="#section-\d+">(.*?)</a>', re.DOTALL)
_DRAWING = re.compile(r"(<svg [^>]*>).*?</svg>", re.DOTALL)
_HEIGHT = re.compile(r'<svg [^>]* height="([\d.]+)pt"')
_TAG = re.compile(r"<[^>]*>")
# More letters than that never stand on one page beside its headings: no need to lay them out.
_MOST_ON_A_PAGE = 4_000
# Of report.css, in pt: margins of the figure and its caption, a line of the caption, its letters, the page's width.
_MARGINS, _LINE, _LETTER, _WIDTH = 16.0, 10.5, 7.75, 490.0


def with_picture_placed(html: str, room_below: Callable[[str], Sequence[float]]) -> str:
    """`html` with its picture on the first page if that has room for it, else in the last place that it still holds.

    `room_below` lays a beginning of the document out and tells the room under each PLACE on the first page, pt.
    """
    if BEGIN not in html or ELSEWHERE not in html:
        return html
    before, rest = html.split(BEGIN, 1)
    picture, after = rest.split(END, 1)
    height = _HEIGHT.search(picture)
    if height is None:
        return html
    parts = after.split(ELSEWHERE)
    front = before + PLACE
    for part in parts[:-1]:
        if _letters(front + part) > _MOST_ON_A_PAGE:
            break
        front += part + PLACE
    # Of drawings only the size matters, and pages of sections that are not there yet cannot be told.
    rooms = room_below(_TO_SECTION.sub(r"<span>\1</span>", _DRAWING.sub(r"\1</svg>", front)) + _REST)
    caption = _TAG.sub("", picture.split("<figcaption>", 1)[-1])
    lines = int(text_width(caption, _LETTER) / _WIDTH) + 1
    place = len(rooms) - 1
    if place < 1 or rooms[0] >= float(height[1]) + _MARGINS + _LINE * lines:
        return html
    return before + "".join(parts[:place]) + picture + "".join(parts[place:])


def _letters(html: str) -> int:
    return len(_TAG.sub("", html[html.index("<main") :]))
