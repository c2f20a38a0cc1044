"""Markdown that people and imports write, as HTML that is safe to put on a page."""

import markdown as python_markdown
import nh3

_TAGS = {
    "p", "br", "hr", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "a",
    "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_MAX_CHARACTERS = 100_000


def render_markdown(text: str) -> str:
    """Markdown (tables, fenced code) to sanitised HTML: no scripts, images, styles or unknown links.

    Text past 100,000 characters is cut and says so. Links keep only http, https and mailto.
    Headings h1 and h2 become plain text: they would break the page's own outline.
    """
    shown = text[:_MAX_CHARACTERS]
    if len(text) > _MAX_CHARACTERS:
        shown += f"\n\n(cut after {_MAX_CHARACTERS:,} characters)"
    html = python_markdown.markdown(shown, extensions=["tables", "fenced_code", "sane_lists"], output_format="html")
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
