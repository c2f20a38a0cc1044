"""The table of contents of a long report: its sections with their pages. Pure."""

import re

_LISTS = 3
PLACE = "<!-- contents -->"
_HEADING = re.compile(r"<h2>(.*?)</h2>", re.DOTALL)


def with_contents(html: str) -> str:
    """`html` with a list of its sections at PLACE, each heading an anchor; unchanged where there is no PLACE."""
    if PLACE not in html:
        return html
    titles: list[str] = []

    def anchored(found: re.Match[str]) -> str:
        titles.append(found[1])
        return f'<h2 id="section-{len(titles)}">{found[1]}</h2>'

    before, after = html.split(PLACE, 1)
    after = _HEADING.sub(anchored, after)
    lines = [f'<li><a href="#section-{at}">{title}</a></li>' for at, title in enumerate(titles, 1)]
    # Lists side by side: a layout in columns is done five times over, and once more for the page numbers.
    rows = max(-(-len(lines) // _LISTS), 1)
    lists = "".join(f"<ol>{''.join(lines[at : at + rows])}</ol>" for at in range(0, len(lines), rows))
    return f'{before}<nav class="contents" aria-label="Contents">{lists}</nav>{after}'
