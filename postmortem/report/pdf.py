"""HTML to PDF/UA: the one module that imports WeasyPrint. Reads no network and no file outside the fonts folder."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from django.conf import settings
from fontTools.ttLib import woff2
from weasyprint import CSS, HTML
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import URLFetcher, URLFetcherResponse

from postmortem.report.scripts import fonts_for, with_families

_FONTS = Path(settings.BASE_DIR) / "static" / "fonts"
_FONT_BASE = "font:/"
_FAMILY = re.compile(r"font-family:[^;]+")
# Rendering is CPU and memory bound: more at once would only take the server down.
_AT_ONCE = BoundedSemaphore(2)


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

    Signs get a family of their own: embedded under the name of the text font, their glyphs would be mixed up.
    """
    css = (_FONTS / "fonts.css").read_text().replace("url(", f"url({_FONT_BASE}")
    faces = css.split("@font-face")
    for place, face in enumerate(faces):
        for signs in ("math", "symbols2"):
            if f"noto-sans-{signs}-" in face:
                faces[place] = _FAMILY.sub(f"font-family: 'Signs {signs}'", face).replace("400 700", "400")
    return "@font-face".join(faces)


@dataclass(frozen=True, slots=True)
class Pdf:
    """A finished document."""

    data: bytes
    page_count: int


def render_pdf(htmls: Iterable[str], css: str, *, most_pages: int | None = None) -> Pdf:
    """A tagged PDF/UA-1 document with embedded fonts. The same input gives the same bytes.

    `htmls` are tries, the first wanted most: the first with no more than `most_pages` pages is taken, else the last.
    Network and file addresses are not followed. At most two renderings run at once in a process.
    Raises ValueError when there is nothing to render.
    """
    with _AT_ONCE:
        fetcher, fonts = _FontsOnly(), FontConfiguration()
        document, sheets, families = None, None, None
        for html in htmls:
            needed, faces = fonts_for(html, _FONT_BASE)
            if sheets is None or needed != families:
                families = needed
                styles = _font_css() + faces + with_families(css, families)
                sheets = [CSS(string=styles, url_fetcher=fetcher, font_config=fonts, base_url=_FONT_BASE)]
            document = HTML(string=with_families(html, families), url_fetcher=fetcher).render(
                stylesheets=sheets, font_config=fonts, pdf_variant="pdf/ua-1"
            )
            if most_pages is None or len(document.pages) <= most_pages:
                break
        if document is None:
            raise ValueError("render_pdf needs at least one document")
        return Pdf(document.write_pdf(pdf_variant="pdf/ua-1", finisher=_name_every_glyph), len(document.pages))


def _name_every_glyph(document: Any, pdf: Any) -> None:
    """Give the parts of letters that shaping takes apart (dots of Arabic) a text of no width, as PDF/UA asks."""
    for one in pdf.objects:
        stream = getattr(one, "stream", None)
        if isinstance(stream, list) and any(b"beginbfchar" in _bytes(part) for part in stream):
            one.stream = [_bytes(part).replace(b"> <>", b"> <200b>") for part in stream]


def _bytes(part: Any) -> bytes:
    return part if isinstance(part, bytes) else bytes(getattr(part, "data", b"") or str(part).encode())
