"""HTML to PDF/UA: the one module that imports WeasyPrint. Reads no network and no file outside the fonts folder."""

import gc
import logging
import math
import re
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from cssselect2 import ElementWrapper
from django.conf import settings
from fontTools.ttLib import woff2
from pydyf import PDF, Stream
from weasyprint import CSS, DEFAULT_OPTIONS, HTML, svg
from weasyprint.css.counters import CounterStyle
from weasyprint.css.properties import INITIAL_VALUES
from weasyprint.document import Document
from weasyprint.draw.text import draw_first_line
from weasyprint.formatting_structure.build import build_formatting_structure
from weasyprint.layout import initialize_page_maker
from weasyprint.layout.page import make_all_pages
from weasyprint.logger import PROGRESS_LOGGER
from weasyprint.matrix import Matrix
from weasyprint.text.fonts import FontConfiguration
from weasyprint.text.line_break import split_first_line
from weasyprint.urls import URLFetcher, URLFetcherResponse

from postmortem.report.scripts import fonts_for, own_family, subsets_for, with_families, with_subsets

_FONTS = Path(settings.BASE_DIR) / "static" / "fonts"
_FONT_BASE = "font:/"
_FAMILY = re.compile(r"font-family:[^;]+")
# Rendering is bound by one core and by memory: more at once in a process would only be slower and larger.
_ONE_AT_A_TIME = threading.Lock()
_in_line = 0
_VARIABLE, _USE = re.compile(r"(--[a-z0-9]+): ([^;}]+)"), re.compile(r"var\((--[a-z0-9]+)\)")
# Fonts of readers' machines, for HTML: a PDF is set in the vendored ones wherever it is made.
_ELSEWHERE = re.compile(r', (?:"Segoe UI"|"Liberation (?:Sans|Serif)"|system-ui|ui-monospace|Charter|Georgia)')
_VOID_TAG, _DOCTYPE = re.compile(r"<(br|hr)>"), "<!doctype html>"
# Under its own name an anchor would make an object of the file of every label.
_ANCHORED = re.compile("(<text [^>]*) text-anchor=")
_ANCHOR, _ANCHORS = "data-anchor", {"start": 0.0, "middle": 0.5, "end": 1.0}
_LABEL_ATTRIBUTES = frozenset(
    ("x", "y", "font-size", "font-weight", "font-family", "fill", "class", "role", "width", "height", _ANCHOR)
)


class _FontsOnly(URLFetcher):
    """Serves vendored fonts by name; everything else that a document asks for is refused."""

    def __init__(self) -> None:
        super().__init__(allowed_protocols={"data"}, allow_redirects=False)

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> URLFetcherResponse:
        """A font of the fonts folder, or a data: address. Raises ValueError for any other."""
        if url.startswith(_FONT_BASE):
            return URLFetcherResponse(url, body=_font(Path(url).name), headers={"Content-Type": "font/ttf"})
        return super().fetch(url, headers)


@cache
def _font(name: str) -> bytes:
    """A vendored font, unpacked once in a process instead of once in a document."""
    unpacked = BytesIO()
    woff2.decompress(BytesIO((_FONTS / name).read_bytes()), unpacked)
    return unpacked.getvalue()


@cache
def _font_css() -> str:
    """fonts.css with addresses that only this module's fetcher knows.

    Each file gets a family of its own: embedded under the name of the text font, their glyphs would be mixed up.
    """
    css = (_FONTS / "fonts.css").read_text().replace("url(", f"url({_FONT_BASE}")
    faces = css.split("@font-face")
    for place, face in enumerate(faces):
        faces[place] = own_family(face)
        for signs in ("math", "symbols2"):
            if f"noto-sans-{signs}-" in face:
                faces[place] = _FAMILY.sub(f"font-family: 'Signs {signs}'", face).replace("400 700", "400")
    return "@font-face".join(faces)


@dataclass(frozen=True, slots=True)
class Pdf:
    """A finished document."""

    data: bytes
    page_count: int


def render_pdf(
    htmls: Iterable[str], css: str, *, most_pages: int | None = None, on_page: Callable[[int], None] | None = None
) -> Pdf:
    """A tagged PDF/UA-1 document with embedded fonts. The same input gives the same bytes.

    `htmls` are tries, the first wanted most: the first with no more than `most_pages` pages is taken, else the last.
    Network and file addresses are not followed. One rendering runs at a time in a process; the others wait.
    `on_page` is told the number of each page that is laid out; what it raises ends the rendering.
    Raises ValueError when there is nothing to render.
    """
    with _in_turn(), _without_collector(), _telling(on_page):
        return _rendered(htmls, css, most_pages)


def room_below(part: str, css: str, *, whole: str) -> list[float]:
    """How much room the first page of `part` has under each element of the class `place`, pt. For use by a try.

    `part` begins the document `whole` and is laid out with its fonts.
    """
    style, fonts, with_fonts = _styled(whole, css)
    page, counters = _Page(with_fonts(part)), CounterStyle()
    options = DEFAULT_OPTIONS | {"stylesheets": [style]}
    context = Document._build_layout_context(page, fonts, counters, {}, options)
    root = build_formatting_structure(
        page.etree_element, context.style_for, context.get_image_from_uri, page.base_url, context.target_collector,
        counters, context.footnotes,
    )  # fmt: skip
    initialize_page_maker(context, root)
    # The first page alone, once: a document is laid out again until its pages know how many they are.
    first = next(make_all_pages(context, root, page, []))
    end = first.content_box_y() + first.height
    places = (one for one in first.descendants() if one.element is not None and one.element.get("class") == "place")
    return [(end - one.position_y) * _PT_PER_PX for one in places]


def _styled(html: str, css: str) -> tuple[CSS, FontConfiguration, Callable[[str], str]]:
    """Style sheet and fonts of a document, and what asks its markup for them."""
    families, faces = fonts_for(html, _FONT_BASE)
    subsets = subsets_for(html)

    def with_fonts(text: str) -> str:
        return with_subsets(with_families(text, families), subsets)

    return *_prepared(_font_css() + faces + with_fonts(css)), with_fonts


def _rendered(htmls: Iterable[str], css: str, most_pages: int | None) -> Pdf:
    """All that layout made is let go on return, before anything looks for garbage."""
    document = None
    for html in htmls:
        style, fonts, with_fonts = _styled(html, css)
        document = _Page(with_fonts(html)).render(stylesheets=[style], font_config=fonts, pdf_variant="pdf/ua-1")
        if most_pages is None or len(document.pages) <= most_pages:
            break
    if document is None:
        raise ValueError("render_pdf needs at least one document")
    return Pdf(document.write_pdf(pdf_variant="pdf/ua-1", finisher=_finish), len(document.pages))


# The browser's own rules give every element six pseudo-elements, most of them for footnotes that a report has none of:
# a tenth of the time goes into their styles. Lists alone have markers.
_OF_NOTES = re.compile(r"^::(?:footnote|note)-[a-z]+ \{[^}]*\}$", re.MULTILINE)
_OF_MARKERS = re.compile(r"^::marker \{", re.MULTILINE)


@cache
def _plain_rules() -> CSS:
    """WeasyPrint's rules for HTML without those that no report has a use for."""
    text = (files("weasyprint.css") / "html5_ua.css").read_text()
    return CSS(string=_OF_MARKERS.sub("li::marker {", _OF_NOTES.sub("", text)), url_fetcher=_FontsOnly())


class _Page(HTML):
    """A document from well-formed markup, which a parser in C reads; from any other as browsers read it."""

    def _ua_stylesheets(self, forms: bool = False) -> list[CSS]:
        return [_plain_rules()]

    def __init__(self, html: str) -> None:
        try:
            root = ElementTree.fromstring(_as_xml(html))  # noqa: S314 (our own templates, no document type)
        except ElementTree.ParseError:
            super().__init__(string=html, url_fetcher=_FontsOnly())
            return
        self.base_url, self.media_type, self.url_fetcher = None, "print", _FontsOnly()
        self.wrapper_element = ElementWrapper.from_html_root(root, content_language=None)
        self.etree_element = self.wrapper_element.etree_element


def _as_xml(html: str) -> str:
    html = _ANCHORED.sub(rf"\1 {_ANCHOR}=", html.replace(_DOCTYPE, "", 1).strip())
    return _VOID_TAG.sub(r"<\1/>", html).replace("&nbsp;", "\u00a0")


@lru_cache(maxsize=4)
def _prepared(css: str) -> tuple[CSS, FontConfiguration]:
    """Style sheet and fonts, kept for the next document of the same kind: loading them takes as long as two pages."""
    fonts = FontConfiguration()
    css = _ELSEWHERE.sub("", _valued(css))
    return CSS(string=css, url_fetcher=_FontsOnly(), font_config=fonts, base_url=_FONT_BASE), fonts


def _valued(css: str) -> str:
    """`css` with the values of its variables, which would else be looked up for every element."""
    values = dict(_VARIABLE.findall(css))
    return _USE.sub(lambda found: values.get(found[1], found[0]), css)


def in_line() -> int:
    """How many renderings of this process are at work or wait."""
    return _in_line


@contextmanager
def _in_turn() -> Iterator[None]:
    global _in_line  # noqa: PLW0603 (a count for whoever decides to wait elsewhere; close is good enough)
    _in_line += 1
    try:
        with _ONE_AT_A_TIME:
            yield
    finally:
        _in_line -= 1


class _PageTeller(logging.Handler):
    """Hears WeasyPrint's own progress and passes the page numbers on."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell the page, if the message is about one."""
        if record.args and isinstance(record.args[0], int) and "Page" in str(record.msg):
            self._tell(record.args[0])


@contextmanager
def _telling(on_page: Callable[[int], None] | None) -> Iterator[None]:
    if on_page is None:
        yield
        return
    teller, level = _PageTeller(on_page), PROGRESS_LOGGER.level
    PROGRESS_LOGGER.addHandler(teller)
    PROGRESS_LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        PROGRESS_LOGGER.removeHandler(teller)
        PROGRESS_LOGGER.setLevel(level)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Layout makes a million objects that all live to the end; looking for garbage among them takes a fifth of it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


_PT_PER_PX = 0.75
_draw_letters = svg.text


class _Style(dict[str, Any]):
    """What WeasyPrint asks of the style of a text."""

    font_config: FontConfiguration


class _Line:
    """A line of text ready to draw, as WeasyPrint asks it."""

    def __init__(self, layout: Any, style: _Style) -> None:
        self.pango_layout, self.style, self.text = layout, style, layout.text


def _draw_label(picture: Any, node: Any, font_size: float) -> None:
    """Draw a label of a picture as one line.

    WeasyPrint places every letter on its own, which takes ten times as long and breaks Arabic into its letters. Texts
    that ask for more than a place, a size, a weight and an anchor are left to it.
    """
    if not node.text or not _LABEL_ATTRIBUTES.issuperset(node.attrib):
        _draw_letters(picture, node, font_size)
        return
    style = _Style(INITIAL_VALUES)
    style.font_config = picture.font_config
    style["font_family"] = [one.strip() for one in node.get("font-family", "sans-serif").split(",")]
    style["font_weight"], style["font_size"] = int(node.get("font-weight", 400)), font_size
    layout, _, _, width, _, _ = split_first_line(node.text, style, picture.context, math.inf, 0)
    x, y = picture.point(node.get("x"), node.get("y"), font_size)
    x -= width * _ANCHORS[node.get(_ANCHOR, "start")]
    picture.stream.push_state()
    fill, stroke = picture.set_graphical_state(node, font_size)
    picture.stream.begin_text()
    layout.reactivate(style)
    picture.fill_stroke(fill, stroke, text=True)
    draw_first_line(picture.stream, _Line(layout, style), "none", "none", Matrix(d=-1, e=x, f=y))
    picture.stream.end_text()
    picture.stream.pop_state()


svg.text = _draw_label
svg.TAGS.update({tag: _draw_label for tag, draw in svg.TAGS.items() if draw is _draw_letters})


def _finish(document: Any, pdf: Any) -> None:
    """Name every glyph, then compress: at level 6 instead of 9, for half the time and one byte in a hundred."""
    _name_every_glyph(pdf)
    for one in pdf.objects:
        if isinstance(one, Stream) and one.compress:
            one.stream = [zlib.compress(b"\n".join(map(_bytes, one.stream)), 6)]
            one.extra["Filter"], one.compress = "/FlateDecode", False


def _name_every_glyph(pdf: Any) -> None:
    """Give the parts of letters that shaping takes apart (dots of Arabic) a text of no width, as PDF/UA asks."""
    for one in pdf.objects:
        stream = getattr(one, "stream", None)
        # A table of characters says so in its head; pages have thousands of parts.
        if isinstance(stream, list) and any(b"begincmap" in _bytes(part) for part in stream[:12]):
            one.stream = [_bytes(part).replace(b"> <>", b"> <200b>") for part in stream]


def _page_references(pdf: PDF) -> tuple[bytes, ...]:
    """References to all pages, made once: pydyf makes them anew for each tag, pages times tags."""
    pages, known = pdf.pages["Kids"], pdf.__dict__.get("known_references", ())
    if 3 * len(known) != len(pages):
        known = pdf.__dict__["known_references"] = tuple(f"{number} 0 R".encode() for number in pages[::3])
    return known


PDF.page_references = property(_page_references)


def _bytes(part: Any) -> bytes:
    return part if isinstance(part, bytes) else bytes(getattr(part, "data", b"") or str(part).encode())
