"""Reports as HTML in a browser: white or dark as the reader likes it, white on paper."""

import pytest

from postmortem.report.documents import make_document
from tests.browser.looking import broken
from tests.report.big_record import big_record

pytestmark = pytest.mark.browser
GROUND = "getComputedStyle(document.body).backgroundColor"
INK = "getComputedStyle(document.querySelector('.pmchart .fill-ink')).fill"
# An organisation's colour that could not be read on dark ground, and a logo drawn for paper.
BRAND = {
    "colour": "#0b2a5b",
    "logo_png": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
}


@pytest.mark.parametrize("view", ["brief", "full", "annex"])
def test_it_follows_the_reader_and_is_white_on_paper(page, tmp_path, view):
    record = big_record() | {"branding": BRAND}
    file = tmp_path / "report.html"
    file.write_bytes(make_document(record, view=view, form="html", version=1, sha256="ab" * 32).data)
    page.goto(file.as_uri())
    for scheme, ground, ink in (
        ("light", "rgb(255, 255, 255)", "rgb(27, 29, 34)"),
        ("dark", "rgb(21, 23, 27)", "rgb(237, 235, 229)"),
    ):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(GROUND) == ground
        assert view == "annex" or page.evaluate(INK) == ink
        assert broken(page) == []
        page.set_viewport_size({"width": 390, "height": 800})
        assert broken(page) == []
        page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(media="print")
    assert page.evaluate(GROUND) == "rgba(0, 0, 0, 0)"  # the paper itself
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(11, 42, 91)"
    assert view == "annex" or page.evaluate(INK) == "rgb(27, 29, 34)"
