"""The first page of a full report is not left half empty, and a brief has two pages whatever people wrote."""

import json
from io import BytesIO
from pathlib import Path

import pytest
from pypdf import PdfReader

from postmortem.report.clipping import clipped
from postmortem.report.documents import make_document
from postmortem.report.front import BEGIN, ELSEWHERE, END, PLACE, with_picture_placed
from tests.report.big_record import big_record

PICTURE = '<svg width="493pt" height="300pt"><text>1</text></svg><figcaption>One line.</figcaption>'
HTML = f"<main>Top{BEGIN}{PICTURE}{END}Ask{ELSEWHERE}Impact{ELSEWHERE}Clocks{ELSEWHERE}Rest</main>"


def placed(*rooms):
    return with_picture_placed(HTML, lambda _: rooms).replace(BEGIN, "").replace(END, "")


@pytest.mark.parametrize(
    ("rooms", "found"),
    [
        ((330, 100), f"Top{PICTURE}AskImpactClocksRest"),
        ((325, 100), f"TopAsk{PICTURE}ImpactClocksRest"),
        ((325,), f"Top{PICTURE}AskImpactClocksRest"),
        ((), f"Top{PICTURE}AskImpactClocksRest"),
        ((325, 200, 100), f"TopAskImpact{PICTURE}ClocksRest"),
        ((325, 200, 100, 20), f"TopAskImpactClocks{PICTURE}Rest"),
    ],
)
def test_the_picture_stands_on_the_first_page_or_after_what_fills_it(rooms, found):
    assert placed(*rooms).replace(ELSEWHERE, "") == f"<main>{found}</main>"


def test_only_what_may_stand_on_a_page_is_laid_out_and_no_drawing():
    asked = []
    with_picture_placed(HTML.replace("Impact", "Impact " * 1000), lambda part: asked.append(part) or [1])
    assert asked == [f"<main>Top{PLACE}Ask{PLACE}</main></body></html>"]
    assert with_picture_placed("<main>No picture</main>", None) == "<main>No picture</main>"


@pytest.mark.parametrize("long", [False, True])
def test_the_first_page_is_full(long):
    record = big_record(changes=60 if long else 15)
    record["text"]["summary"] *= 3 if long else 1
    pages = PdfReader(BytesIO(make_document(record, view="full", form="pdf", version=1, sha256="").data)).pages
    on_first = "Baseline window" in pages[0].extract_text()
    assert on_first != long
    if not on_first:
        assert "Make recall a release condition" in pages[0].extract_text()
        assert "Impact" in pages[0].extract_text() and "Baseline window" in pages[1].extract_text()


@pytest.mark.parametrize("words", ["検索エンコーダーを更新した後、索引は" * 6, "0123456789abcdef" * 25])
def test_a_brief_has_two_pages_whatever_people_wrote(words):
    record = big_record()
    record["incident"]["title"] = words
    record["text"] = dict.fromkeys(record["text"], "\n".join([words] * 6))
    for one in record["actions"]:
        one |= {"title": words, "owner": words[:70], "verification": words}
    for layer in record["layers"]:
        layer["decided_by"] = words[:70]
        for side in ("evidence_for", "evidence_against"):
            layer[side] = [one | {"text": words} for one in layer[side]]
    for one in record["finding"]["result"]["hypotheses"]:
        one |= {"title": words, "sentence": words}
    data = make_document(record, view="brief", form="pdf", version=1, sha256="").data
    assert len(PdfReader(BytesIO(data)).pages) == 2


def test_clipping_keeps_what_is_short_and_what_is_no_text():
    record = json.loads((Path(__file__).parent / "record-1-sample.json").read_text())
    assert clipped(record, 100_000) == record
    assert clipped({"text": "a b " * 9, "sha256": "a" * 64, "n": 3, "link": "x" * 50}, 10) == {
        "text": "a b a b a…", "sha256": "a" * 64, "n": 3, "link": "x" * 50,
    }  # fmt: skip
    assert clipped("**Give Search** a **rest of it**", 24) == "**Give Search** a **rest**…"
    assert clipped("検索検索検索", 6) == "検索検…" and clipped("1\n2\n3\n4\n5\n6", 8) == "1\n2\n3\n4"
