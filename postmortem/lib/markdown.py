"""Markdown that people and imports write, as HTML that is safe to put on a page."""

import re

import markdown as python_markdown
import nh3

_TAGS = {
    "p", "br", "hr", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "a",
    "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_MAX_CHARACTERS = 100_000
_PICTURE, _ITS_WORDS = re.compile(r"<img\b([^<>]*)>", re.IGNORECASE), re.compile(r'\balt="([^"]*)"')
# The page's own headings are h1 and h2: those of a text stand under them.
_TOP_HEADING = re.compile(r"<(/?)h[12]>")
# Brackets times characters of a block that the links may cost to find; their search is quadratic.
_MAX_SEARCH = 4_000_000


def render_markdown(text: str) -> str:
    """Markdown (tables, fenced code) to sanitised HTML: no scripts, images, styles or unknown links.

    Text past 100,000 characters is cut and says so. Links keep only http, https and mailto.
    Headings h1 and h2 become h3: they would break the page's own outline. A picture becomes its words. Cells keep how
    they are aligned.
    """
    shown = text[:_MAX_CHARACTERS]
    if len(text) > _MAX_CHARACTERS:
        shown += f"\n\n(cut after {_MAX_CHARACTERS:,} characters)"
    shown = _bounded_search(shown)
    html = python_markdown.markdown(
        shown,
        extensions=["tables", "fenced_code", "sane_lists"],
        extension_configs={"tables": {"use_align_attribute": True}},
        output_format="html",
    )
    return nh3.clean(
        _TOP_HEADING.sub(r"<\1h3>", _PICTURE.sub(_in_words, html)),
        tags=_TAGS,
        attributes={"a": {"href"}, "th": {"align"}, "td": {"align"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _in_words(picture: re.Match[str]) -> str:
    words = _ITS_WORDS.search(picture[1])
    return f"[picture: {words[1]}]" if words and words[1].strip() else "[picture]"


def _bounded_search(text: str) -> str:
    """`text` with its brackets made plain from where looking for their ends would take too long."""
    spent, blocks = 0, text.split("\n\n")
    for place, block in enumerate(blocks):
        cost = (block.count("[") + block.count("<")) * len(block)
        if spent + cost > _MAX_SEARCH:
            blocks[place] = block.replace("[", "&#91;").replace("<", "&lt;")
        else:
            spent += cost
    return "\n\n".join(blocks)
