"""Scripts of the world, contents, long addresses: set with embedded fonts and still PDF/UA."""

import copy
import json
import re
from io import BytesIO
from pathlib import Path

import page
import pytest
from fontTools.ttLib import woff2
from pypdf import PdfReader

from postmortem.report import pdf
from postmortem.report.contents import PLACE, with_contents
from postmortem.report.directions import with_directions
from postmortem.report.documents import make_document
from postmortem.report.scripts import fonts_for, subsets_for, with_families, with_subsets

FONTS = Path(__file__).parents[2] / "static" / "fonts"


@pytest.fixture(scope="module")
def record():
    return json.loads((Path(__file__).parent / "record-1-sample.json").read_text())


@pytest.fixture(scope="module")
def reader(worldly):
    return PdfReader(BytesIO(make_document(worldly, view="full", form="pdf", version=1, sha256="ab" * 32).data))


@pytest.fixture(scope="module")
def worldly(record):
    found = copy.deepcopy(record)
    found["incident"]["title"] = "退款答案过期 返金の回答 환불 답변 إجابات الاسترداد 🚨 ⚠️"
    found["text"]["summary"] = "检索系统。エンコーダー 사용자에게 **تمت ترقية المشفر** \U0001f469\u200d\U0001f467"
    found["text"]["summary"] += " https://example.org/" + "a" * 300
    found["text"]["impact"] = "`" + "code" * 80 + "`"
    found["changes"][0]["summary"] = "模型别名 → 版本二 🚀"
    found["changes"] = [one | {"id": f"{one['id']}-{n}"} for n in range(4) for one in found["changes"]]
    return found


@pytest.mark.parametrize("view", ["brief", "full"])
def test_other_scripts_are_embedded_and_accessible(worldly, view, tmp_path):
    data = make_document(worldly, view=view, form="pdf", version=1, sha256="ab" * 32).data
    path = tmp_path / "report.pdf"
    path.write_bytes(data)
    report = page.validate_pdf(path, profile="ua1")
    assert report.is_compliant, [str(failure) for failure in report.failures][:5]
    pages = PdfReader(BytesIO(data)).pages
    fonts = {font.get_object()["/BaseFont"][8:] for one in pages for font in one["/Resources"]["/Font"].values()}
    assert {"Script-cjk", "Script-arabic", "Script-hangul", "Script-emoji"} <= {
        name.split("-Bold")[0] for name in fonts
    }
    assert "退款答案过期" in "".join(one.extract_text() for one in pages)
    if view == "brief":
        assert len(pages) == 2


LANGUAGES = {
    "hebrew": "לאחר שדרוג המקודד נותר האינדקס ישן.", "thai": "หลังจากอัปเกรดตัวเข้ารหัส",
    "devanagari": "एनकोडर के उन्नयन के बाद",
    "bengali": "এনকোডার উন্নত করার পরে", "tamil": "குறியாக்கி மேம்படுத்தப்பட்ட பிறகு", "georgian": "კოდერის განახლების შემდეგ",
    "armenian": "Կոդավորիչի թարմացումից հետո", "vietnamese": "Sau khi nâng cấp bộ mã hoá, chỉ mục vẫn cũ",
}  # fmt: skip


def test_every_letter_of_many_languages_is_in_an_embedded_font(record, tmp_path, caplog):
    found = copy.deepcopy(record)
    found["text"]["summary"] = "\n\n".join(f"{words} **{words}**" for words in LANGUAGES.values())
    for one, words in zip(found["changes"], LANGUAGES.values(), strict=False):
        one["summary"] = words
    data = make_document(found, view="full", form="pdf", version=1, sha256="ab" * 32).data
    assert "notdef" not in caplog.text
    path = tmp_path / "languages.pdf"
    path.write_bytes(data)
    report = page.validate_pdf(path, profile="ua1")
    assert report.is_compliant, [str(failure) for failure in report.failures][:5]
    fonts = {font.get_object()["/BaseFont"][8:] for one in PdfReader(BytesIO(data)).pages
             for font in one["/Resources"]["/Font"].values()}  # fmt: skip
    for name in LANGUAGES:
        assert any(name in one for one in fonts), (name, fonts)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("يومين.", "يومين.\u200f"), ("<p>يومين… </p>", "<p>يومين…\u200f </p>"), ("«قديمة». x", "«قديمة».\u200f x"),
        ("حسن, 16 Mar 2026", "حسن\u200e, 16 Mar 2026"), ("القاهرة wrote", "القاهرة wrote"),
        ("قديما، فأجاب", "قديما،\u200f فأجاب"), ("في 16 مارس", "في 16 مارس"),
        ("</b>قديما…, 0.04</text>", "</b>قديما\u200e…, 0.04</text>"), ("No 16 Mar. x", "No 16 Mar. x"),
    ],
)  # fmt: skip
def test_text_from_right_to_left_keeps_its_full_stop_and_leaves_dates_alone(text, shown):
    assert with_directions(text) == shown


def test_plain_text_takes_no_other_font():
    assert fonts_for("Größe → ≥ ▲ Привет", "font:/") == ([], "")
    families, rules = fonts_for("退款 🚨", "font:/")
    assert families == ["Script cjk", "Script emoji"]
    assert "font:/noto-sans-cjk-400-normal.woff2" in rules
    assert with_families('font: 9pt "Noto Sans", "Signs math"', families).endswith('"Script cjk", "Script emoji"')


def test_a_long_report_has_contents_with_its_pages(worldly, reader):
    html = make_document(worldly, view="full", form="html", version=1, sha256="ab" * 32).data.decode()
    links = re.findall(r'<a href="#(section-\d+)">', html)
    assert len(links) > 8 and all(f'<h2 id="{link}">' in html for link in links)
    assert PLACE not in html and len(html.split("<h2>")) <= 2
    first = " ".join(reader.pages[0].extract_text().split()) + " ".join(reader.pages[1].extract_text().split())
    assert re.search(r"Change ledger[ .]*\d", first)


def test_a_short_report_has_none(record):
    assert "section-1" not in make_document(record, view="full", form="html", version=1, sha256="").data.decode()
    assert with_contents("<h2>a</h2>") == "<h2>a</h2>"


def test_no_heading_stands_alone_at_the_foot_of_a_page(reader):
    titles = {entry.title for entry in reader.outline if not isinstance(entry, list)}
    for one in reader.pages:
        lines = [line.strip() for line in one.extract_text().splitlines() if line.strip()]
        body = [line for line in lines if "INC-2026-0007" not in line and "sha256" not in line and " of " not in line]
        assert body[-1] not in titles, body[-3:]


def test_no_text_runs_over_the_edge_of_the_page(reader):
    for one in reader.pages:
        wide = float(one.mediabox.width)
        found = []

        def place(text, cm, tm, font, size, found=found):
            if text.strip():  # ends of lines stand anywhere
                found.append(tm[4] * cm[0] + cm[4])

        one.extract_text(visitor_text=place)
        assert found and all(-1 <= x <= wide for x in found)


def test_labels_of_pictures_are_whole_lines_with_joined_arabic():
    words = "إجابات الاسترداد"
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 40" width="300pt" height="40pt" '
        'font-family="Noto Sans, Signs math, Signs symbols2"><title>Picture</title>'
        f'<text x="290" y="20" font-size="10" text-anchor="end" fill="#000000">Query encoder</text>'
        f'<text x="10" y="20" font-size="10" fill="#000000">{words}</text></svg>'
    )
    html = f'<!doctype html><html lang="en"><head><title>One</title></head><body><p>One</p>{drawn}</body></html>'
    data = pdf.render_pdf([html], "").data
    assert "Query encoder" in PdfReader(BytesIO(data)).pages[0].extract_text()
    latin = PdfReader(BytesIO(pdf.render_pdf([html.replace(words, "Model")], "").data))
    assert latin.pages[0].get_contents().get_data().count(b" TJ") == 3
    # Joined letters are other glyphs than letters that stand alone.
    alone = pdf.render_pdf([html.replace(words, " ".join(words))], "").data
    assert len(_arabic_glyphs(data) - _arabic_glyphs(alone)) >= 5


def _arabic_glyphs(data: bytes) -> set[str]:
    stream = PdfReader(BytesIO(data)).pages[0].get_contents().get_data().decode("latin-1")
    return set(re.findall("[0-9a-f]{4}", " ".join(re.findall(r"<([0-9a-f]+)>", stream))))


def test_markup_that_is_not_well_formed_is_read_as_browsers_do():
    html = '<!doctype html><html lang="en"><head><title>One</title></head><body><p>One<p>Two & three</body></html>'
    assert "Two & three" in PdfReader(BytesIO(pdf.render_pdf([html], "").data)).pages[0].extract_text()


@pytest.mark.parametrize("view", ["brief", "full", "annex"])
def test_documents_of_our_own_are_well_formed(worldly, view, monkeypatch):
    monkeypatch.setattr(pdf.HTML, "__init__", None)  # the slower reader of what is not
    assert make_document(worldly, view=view, form="pdf", version=1, sha256="ab" * 32).data.startswith(b"%PDF")


def test_letters_of_europe_keep_fonts_of_their_own():
    """Files that share a family's name are embedded as one font, which sets every ś and Ж with a wrong glyph."""
    words = "Wiśniewska Привет Ωmega"
    head = '<!doctype html><html lang="en"><head><title>One</title></head>'
    html = f"{head}<body><p>{words}</p><code>{words}</code></body></html>"
    css = 'p { font-family: "Noto Serif" } code { font-family: "Noto Sans Mono", "Signs math" }'
    one = PdfReader(BytesIO(pdf.render_pdf([html], css).data)).pages[0]
    names = {font.get_object()["/BaseFont"][8:] for font in one["/Resources"]["/Font"].values()}
    subsets = ("", "-latin-ext", "-greek", "-cyrillic")
    assert names >= {family + subset for family in ("Noto-Serif", "Noto-Sans-Mono") for subset in subsets}
    assert subsets_for("Größe €") == []
    picture = with_subsets('font-family="Noto Sans, Signs math, Signs symbols2"', ["greek"])
    assert picture == 'font-family="Noto Sans, Noto Sans greek, Signs math, Signs symbols2"'


def test_the_large_fonts_unpack_without_rebuilding_their_outlines():
    for path in FONTS.glob("*.woff2"):
        if path.stat().st_size > 30_000:
            with path.open("rb") as file:
                tables = woff2.WOFF2Reader(file).tables
                assert not tables["glyf"].transformed, path.name
