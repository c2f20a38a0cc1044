"""The Markdown view read by a CommonMark parser with tables: what it says survives, what it must not has no way."""

import html
import itertools
import json
import re

import pytest
from markdown_it import MarkdownIt

from postmortem.report.documents import VIEWS, make_document
from tests.report.big_record import SAMPLE, big_record
from tests.report.hostile_render import hostile_record
from tests.report.test_markdown_text import github

PARSER = MarkdownIt("commonmark").enable("table")


def tokens_of(record, view, audience):
    data = make_document(record, view=view, form="md", version=1, sha256="ab" * 32, audience=audience).data
    return PARSER.parse(data.decode())


def inline(tokens):
    return [child for token in tokens if token.type == "inline" for child in token.children or ()]


@pytest.mark.parametrize("audience", ["internal", "external"])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", ["sample", "big", "hostile"])
def test_it_is_sound_commonmark(kind, view, audience):
    record = {
        "sample": lambda: json.loads(SAMPLE.read_text()),
        "big": big_record,
        "hostile": lambda: hostile_record(field_bytes=3_000, entries=40),
    }[kind]()
    tokens = tokens_of(record, view, audience)
    assert sum(token.type == "heading_open" and token.tag == "h1" for token in tokens) == 1
    assert not [token.content for token in tokens if token.type == "html_block"]
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    parts = inline(tokens)
    assert not [part.content for part in parts if part.type in ("html_inline", "image")]
    links = [part.attrs["href"] for part in parts if part.type == "link_open"]
    assert all(link.startswith(("https://", "http://", "mailto:", "#")) for link in links)
    tables = [token for token in tokens if token.type == "table_open"]
    assert len(tables) >= (2 if view != "brief" else 1)
    # Every row of a table has the columns of its head: no cell broke out of its row.
    for start in (at for at, token in enumerate(tokens) if token.type == "table_open"):
        columns, cells = 0, 0
        for token in tokens[start:]:
            if token.type == "table_close":
                break
            columns += token.type == "th_open"
            cells += token.type == "td_open"
        assert columns > 1 and cells % columns == 0
    if kind == "big" and view == "full":
        whole = " ".join(token.content for token in tokens if token.type == "inline")
        assert "東京" in whole and "القاهرة" in whole and whole.count("A-25") >= 1


# Sentences that frame what both say, each in the words of its own form.
FRAME = re.compile(
    r"rendered from the frozen record|The full report holds|^\d+ of the required fields|^Regulation \(EU\)"
    r"|· opened by|^Published by|more actions stand in|^This copy for readers outside|^The line is the day",
    re.IGNORECASE,
)


@pytest.mark.parametrize("audience", ["internal", "external"])
@pytest.mark.parametrize("view", VIEWS)
def test_it_says_all_that_the_page_says(view, audience):
    record = big_record(entries=20)
    page, text = (
        make_document(record, view=view, form=form, version=1, sha256="ab" * 32, audience=audience).data.decode()
        for form in ("html", "md")
    )
    page = re.sub(r"<(style|svg|header|footer|head|figcaption|nav|thead)\b.*?</\1>", "", page, flags=re.DOTALL)
    shown = letters(re.sub(r"<[^>]*>", " ", github(text)))
    pieces = (" ".join(html.unescape(piece).split()) for piece in re.split(r"<[^>]*>", page))
    sentences = {one for piece in pieces for one in re.split(r"(?<=[.?;:]) ", piece) if len(letters(one)) > 4}
    assert len(sentences) > 40
    assert [one for one in sentences if letters(one) not in shown and not FRAME.search(one)] == []


def letters(text):
    return re.sub(r"\W", "", html.unescape(text)).lower()
