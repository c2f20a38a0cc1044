"""What people wrote, as the plainest Markdown: from the sanitised HTML that the other formats show. Pure.

Written anew instead of passed on, so that Markdown says what HTML and PDF say: no raw HTML, no pictures, one line a
paragraph (GitHub's comments and Confluence break lines where the source does), references instead of backslashes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

from postmortem.lib.markdown import render_markdown
from postmortem.report.markdown_text import code, link, longest_run, plain

_BLOCKS = frozenset({"p", "hr", "pre", "blockquote", "ul", "ol", "table", "h3", "h4", "h5", "h6"})
_VOID = frozenset({"br", "hr"})
_MARKS = {"strong": "**", "em": "*", "del": "~~"}
_ALIGNED = {"left": ":---", "right": "---:", "center": ":---:"}
_DEEPEST = 12
_BREAK = "  \n"


@dataclass(slots=True)
class _Node:
    tag: str
    href: str = ""
    align: str = ""
    children: list[_Node | str] = field(default_factory=list)

    def text(self) -> str:
        return "".join(one if isinstance(one, str) else one.text() for one in self.children)


def people_markdown(text: str, *, under: int = 2) -> str:
    """Markdown of people as Markdown that reads the same everywhere; its headings follow one of level `under`."""
    return "\n\n".join(_blocks(_tree(render_markdown(text)).children, _Outline(under)))


def people_line(text: str) -> str:
    """One line of people's Markdown, without a paragraph of its own."""
    root = _tree(render_markdown(text))
    only = root.children[0] if len(root.children) == 1 else root
    inner = only if isinstance(only, _Node) and only.tag == "p" else root
    return _inline(inner.children, cell=True).replace(_BREAK, " ")


class _Reader(HTMLParser):
    """Builds a tree of sanitised HTML; what nests deeper than anybody writes is text of its last level."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = _Node("")
        self.open = [self.root]
        self.ignored = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            self.open[-1].children.append(_Node(tag))
        elif len(self.open) > _DEEPEST:
            self.ignored += 1
        else:
            given = dict(attrs)
            node = _Node(tag, given.get("href") or "", given.get("align") or "")
            self.open[-1].children.append(node)
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if self.ignored:
            self.ignored -= 1
        elif len(self.open) > 1:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def _tree(html: str) -> _Node:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.root


class _Outline:
    """Keeps the levels of headings in order: none more than one below the last."""

    def __init__(self, under: int) -> None:
        self.under, self.last = under, under

    def level(self, tag: str) -> int:
        self.last = max(self.under + 1, min(int(tag[1]), self.last + 1))
        return self.last


def _blocks(children: Sequence[_Node | str], outline: _Outline) -> list[str]:
    found: list[str] = []
    words: list[_Node | str] = []

    def close() -> None:
        if line := _inline(words):
            found.append(line)
        words.clear()

    for one in children:
        if isinstance(one, str) or one.tag not in _BLOCKS:
            words.append(one)
            continue
        close()
        if block := _block(one, outline):
            found.append(block)
    close()
    return found


def _block(node: _Node, outline: _Outline) -> str:  # noqa: PLR0911
    if node.tag == "hr":
        return "---"
    if node.tag == "pre":
        text = node.text().strip("\n")
        fence = "`" * max(3, longest_run(text, "`") + 1)
        return f"{fence}\n{text}\n{fence}" if text.strip() else ""
    if node.tag == "blockquote":
        inner = "\n\n".join(_blocks(node.children, outline))
        return "\n".join(f"> {line}".rstrip() for line in inner.split("\n")) if inner else ""
    if node.tag in ("ul", "ol"):
        return _list(node, outline)
    if node.tag == "table":
        return _table(node)
    line = _inline(node.children)
    if node.tag == "p" or not line:
        return line
    return f"{'#' * outline.level(node.tag)} {line.replace(_BREAK, ' ')}"


def _list(node: _Node, outline: _Outline) -> str:
    items = [one for one in node.children if isinstance(one, _Node) and one.tag == "li"]
    loose = any(
        isinstance(part, _Node) and part.tag in _BLOCKS - {"ul", "ol"} for one in items for part in one.children
    )
    lines = []
    for number, one in enumerate(items, 1):
        mark = f"{number}. " if node.tag == "ol" else "- "
        inner = ("\n\n" if loose else "\n").join(_blocks(one.children, outline)) or "–"
        lines.append(mark + inner.replace("\n", "\n" + " " * len(mark)))
    text = ("\n\n" if loose else "\n").join(lines)
    return re.sub(r"^ +$", "", text, flags=re.MULTILINE)


def _table(node: _Node) -> str:
    cells = [_inside(row, {"th", "td"}) for row in _inside(node, {"tr"})]
    if not cells or not cells[0]:
        return ""
    head, *body = [[_inline(cell.children, cell=True) for cell in row] for row in cells]
    lines = (row + [""] * (len(head) - len(row)) for row in body)
    return table(head, [row[: len(head)] for row in lines], align=[cell.align for cell in cells[0]])


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, align: Sequence[str] = ()) -> str:
    """A pipe table of cells that are Markdown already; `align` holds left, right, center or "" for each column."""
    rules = (_ALIGNED.get(one, "---") for one in (*align, *[""] * (len(head) - len(align))))
    lines = [f"| {' | '.join(row)} |" for row in (head, rules, *rows)]
    return "\n".join(lines)


def _inside(node: _Node, tags: set[str]) -> list[_Node]:
    found: list[_Node] = []
    for one in node.children:
        if isinstance(one, _Node):
            found += [one] if one.tag in tags else _inside(one, tags)
    return found


def _inline(children: Sequence[_Node | str], *, cell: bool = False, linked: bool = False) -> str:
    """Words of one block; text is written in runs, so that its signs are seen beside their neighbours."""
    parts: list[str] = []
    for place, one in enumerate(children):
        if isinstance(one, str):
            parts.append(_spaced(one, plain(one, cell=cell, linked=linked, pipes=True)))
        elif one.tag == "br":
            parts.append(" " if cell else _BREAK)
        elif one.tag == "code":
            parts.append(code(one.text(), cell=cell))
        elif one.tag == "a" and one.href and not linked and one.text().strip():
            label = _inline(one.children, cell=cell, linked=True)
            parts.append(link(label, one.href))
        elif one.tag in _MARKS:
            inner = _inline(one.children, cell=cell, linked=linked)
            before, after = "".join(parts)[-1:], _first(children[place + 1 :])
            parts.append(_marked(inner, one.text(), _MARKS[one.tag], before, after))
        else:
            parts.append(_inline(one.children, cell=cell, linked=linked))
    text = re.sub(r" *  \n *", _BREAK, "".join(parts))
    return text.strip()


def _spaced(source: str, shown: str) -> str:
    """`shown` with the spaces that `source` has at its ends."""
    if not source.strip():
        return " " if source else ""
    return (" " if source[0].isspace() else "") + shown + (" " if source[-1].isspace() else "")


def _marked(inner: str, text: str, mark: str, before: str, after: str) -> str:
    """`inner` emphasised, if CommonMark would see the marks: one beside a sign needs a space or a sign outside."""
    text = text.strip()
    if not text:
        return inner
    opens = _is_word(text[0]) or not _is_word(before)
    closes = _is_word(text[-1]) or not _is_word(after)
    return f"{mark}{inner}{mark}" if opens and closes and before != mark[0] and inner[:1] != mark[0] else inner


def _is_word(sign: str) -> bool:
    return bool(sign) and sign.isalnum()


def _first(nodes: Sequence[_Node | str]) -> str:
    return next((text[:1] for text in (one if isinstance(one, str) else one.text() for one in nodes) if text), "")
