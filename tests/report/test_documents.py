"""A record as PDF, HTML, Markdown and JSON: what they say, how they are built, and hostile content in every one."""

import copy
import json
import re
import socket
from io import BytesIO
from pathlib import Path

import jsonschema
import page
import pytest
from django.core.exceptions import SuspiciousOperation
from pypdf import PdfReader

import postmortem.report
from postmortem.lib.hashing import canonical_json, sha256_hex
from postmortem.lib.layers import LAYERS
from postmortem.report import pdf
from postmortem.report.documents import FORMATS, VIEWS, make_document
from postmortem.report.harmless import harmless, harmless_markdown
from postmortem.report.record import assemble_record
from tests.builders import make_incident

HOSTILE = (
    "<script>alert(1)</script><img src=file:///etc/passwd><svg onload=alert(2)></svg>"
    "<style>body{display:none}</style> ![x](file:///etc/hostname) [go](javascript:alert(3)) "
    "\u202egnihtemos\u202c\x07 {{ secret }} {% load x %}"
)


@pytest.fixture(scope="module")
def record():
    """A record as version 1 of the schema was first published. Reports of that age must render for ever."""
    return json.loads((Path(__file__).parent / "record-1-sample.json").read_text())


@pytest.fixture(scope="module")
def crowded(record):
    """The same with 60 changes, 25 actions and 40 pieces of evidence."""
    many = copy.deepcopy(record)
    many["changes"] = [
        one | {"id": f"{one['id']}-{copy_}", "summary": f"{one['summary']} ({copy_})"}
        for copy_ in range(4)
        for one in record["changes"]
    ]
    many["actions"] = [one | {"number": 5 * copy_ + one["number"]} for copy_ in range(5) for one in record["actions"]]
    for layer in many["layers"]:
        layer["evidence_for"] = layer["evidence_for"] * 6
        layer["evidence_against"] = layer["evidence_against"] * 4
    return many


def render(record, view="brief", form="pdf", *, draft=False):
    sha256 = "" if draft else sha256_hex(canonical_json(record))
    return make_document(record, view=view, form=form, version=None if draft else 1, sha256=sha256)


def text_of(data: bytes) -> str:
    return " ".join(" ".join(page_.extract_text() for page_ in PdfReader(BytesIO(data)).pages).split())


def test_the_brief_is_two_pages_that_say_everything(record):
    document = render(record)
    assert document.filename == "INC-2026-0007-brief-v1.pdf"
    assert len(PdfReader(BytesIO(document.data)).pages) == 2
    text = text_of(document.data)
    for words in ("Refund answers went stale", "−10.1", "Cause, probability 0.97", "The five clocks", "2 d 5 h",
                  "Four layers, four verdicts", "INSUFFICIENT", "Priya Nair", "27 Mar", "What we ask of you",
                  "Give Search and Platform 9 engineer days before", "1 of 2", "2 of 2", "SIMULATED",
                  "INC-2026-0007, version 1", "sha256 " + sha256_hex(canonical_json(record))[:8]):  # fmt: skip
        assert words in text, words
    assert "DRAFT" not in text and "**" not in text


def test_the_full_report_has_every_section(record):
    data = render(record, "full").data
    text = text_of(data)
    for words in ("Impact", "What explains it", "Other explanations", "Contributing factors", "cut by A-1", "Actions",
                  "Why nobody was told sooner", "What we learned", "Timeline", "Change ledger", "Logs against traces",
                  "Judge version v8 → v8.1", "Checklist answers", "Evidence and its hashes", "ab" * 32,
                  "Who took part and who signed", "Risk accepted: Until A-3 is verified",
                  "People decided otherwise", sha256_hex(canonical_json(record))):  # fmt: skip
        assert words in text.replace("- ", "-") or words.replace(" ", "") in text.replace(" ", ""), words
    titles = [entry.title for entry in PdfReader(BytesIO(data)).outline if not isinstance(entry, list)]
    assert titles


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("which", ["record", "crowded"])
def test_pdfs_are_accessible(view, which, request, tmp_path):
    path = tmp_path / "report.pdf"
    path.write_bytes(render(request.getfixturevalue(which), view).data)
    report = page.validate_pdf(path, profile="ua1")
    assert report.is_compliant, [str(failure) for failure in report.failures][:5]


def test_a_crowded_brief_still_has_two_pages_and_points_to_the_rest(crowded):
    data = render(crowded).data
    assert len(PdfReader(BytesIO(data)).pages) == 2
    assert "more actions stand in the full report" in text_of(data)


def test_a_crowded_full_report_drops_nothing(crowded):
    text = text_of(render(crowded, "full").data)
    assert all(f"A-{number}" in text for number in range(1, 26))
    assert text.count("Query encoder helix-2 → helix-3 (") >= 4


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("view", VIEWS)
def test_the_same_record_gives_the_same_bytes(record, view, form):
    assert render(record, view, form).data == render(copy.deepcopy(record), view, form).data


def test_fonts_are_embedded_and_vendored(record):
    names = set()
    for page_ in PdfReader(BytesIO(render(record).data)).pages:
        for font in page_["/Resources"]["/Font"].get_object().values():
            names.add(font.get_object()["/BaseFont"])
    assert names
    assert all(re.match(r"/[A-Z]{6}\+", name) for name in names)
    assert all("Noto" in name or "Signs" in name for name in names), names


def test_a_draft_says_so_in_every_format(record):
    draft = {key: value for key, value in record.items() if key != "publication"}
    assert text_of(render(draft, draft=True).data).count("DRAFT") >= 2
    assert "DRAFT" in render(draft, form="html", draft=True).data.decode().split("</style>")[-1]
    assert "DRAFT" not in render(record, form="html").data.decode()
    assert "DRAFT, not frozen" in render(draft, form="md", draft=True).data.decode()
    assert render(draft, draft=True).filename == "INC-2026-0007-brief-draft.pdf"


def test_the_first_record_still_follows_its_schema(record):
    schema = json.loads((Path(postmortem.report.__file__).parent / "schema" / "record-1.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(record)


def test_json_is_the_record_itself(record):
    data = render(record, form="json").data
    assert data == canonical_json(record)
    assert json.loads(data) == record


def test_markdown_is_whole_and_has_no_html(record):
    text = render(record, "full", "md").data.decode()
    assert text.startswith("# Refund answers went stale")
    for words in ("## Four layers, four verdicts", "| A-1 |", "## Change ledger", "**SIMULATED example",
                  "**Give Search and Platform 9 engineer days** before", "## Observed but never logged"):  # fmt: skip
        assert words in text, words
    widths = {
        line.replace("\\|", "").count("|") for line in text.split("## Change ledger")[1].split("##")[0].splitlines()
        if line.startswith("|")
    }  # fmt: skip
    assert len(widths) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_incident_has_a_draft_too(view, form):
    draft = assemble_record(make_incident("INC-2026-0050"))
    assert render(draft, view, form, draft=True).data


def poisoned(value):
    """Every text of the record that people or files can write, made hostile."""
    if isinstance(value, str):
        return value + " " + HOSTILE
    if isinstance(value, dict):
        kept = {"schema", "layer", "kind", "at", "number", "verdict", "proposed", "status", "role", "due_on", "worse",
                "rollout", "state", "unit", "start", "end", "decided_at", "opened_at", "key", "value", "facet_kind",
                "sha256", "content_sha256", "inputs_sha256", "run_at", "method", "published_at", "until", "id",
                "change", "changes_id", "interval"}  # fmt: skip
        moments = re.compile(r"^\d{4}-\d\d-\d\d")
        return {
            key: one if key in kept or (isinstance(one, str) and moments.match(one)) else poisoned(one)
            for key, one in value.items()
        }
    return [poisoned(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def hostile(record):
    bad = copy.deepcopy(record)
    for part in ("timeline", "changes", "actions"):
        bad[part] = bad[part][:2]
    bad["finding"]["result"]["hypotheses"] = bad["finding"]["result"]["hypotheses"][:3]
    for part in ("incident", "text", "participants", "timeline", "layers", "factors", "actions", "evidence"):
        number = bad["incident"]["number"]
        bad[part] = poisoned(bad[part])
        bad["incident"]["number"] = number
    bad["changes"] = [
        one | {"summary": one["summary"] + HOSTILE, "actor": HOSTILE, "link": "javascript:alert(1)"}
        for one in bad["changes"]
    ]
    for one in bad["finding"]["result"]["hypotheses"]:
        one["title"] += HOSTILE
        one["sentence"] += HOSTILE
    bad["finding"]["result"]["headline"] += HOSTILE
    for one in bad["evidence"]["imports"]:
        one["sha256"] = [value[:64] for value in one["sha256"]]
    return bad


@pytest.mark.parametrize("view", VIEWS)
def test_hostile_content_is_only_text_in_html(hostile, view):
    html = render(hostile, view, "html").data.decode()
    body = html.split("</style>")[-1]
    assert "&lt;script&gt;" in body
    assert not re.search(r"<(script|img|iframe|object|embed|link|style)\b", body, re.IGNORECASE)
    assert not re.search(r"<[^>]*\son\w+\s*=", body)
    assert 'href="javascript:' not in body and 'href="file:' not in body
    assert "\u202e" not in html and "\x07" not in html
    assert "{{ secret }}" in body  # shown, not run


@pytest.mark.parametrize("view", VIEWS)
def test_hostile_content_renders_to_pdf_without_network_or_files(hostile, view, monkeypatch):
    opened = []

    def no_network(*_args, **_kwargs):
        raise AssertionError("a report opened a socket")

    fetched = pdf._FontsOnly.fetch
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(
        pdf._FontsOnly, "fetch", lambda self, url, headers=None: opened.append(url) or fetched(self, url, headers)
    )
    text = text_of(render(hostile, view).data)
    assert "alert(1)" in text
    assert "root:" not in text
    assert Path("/etc/hostname").read_text().strip() not in text
    assert all(url.startswith(("font:", "data:")) for url in opened)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://127.0.0.1:9/x", "https://example.org/x.png"])
def test_the_pdf_fetches_only_vendored_fonts(address):
    with pytest.raises(Exception) as error:
        pdf._FontsOnly().fetch(address)
    assert not isinstance(error.value, AssertionError | SuspiciousOperation)
    with pytest.raises(OSError):
        pdf._FontsOnly().fetch("font:/../../manage.py")


def test_hostile_markdown_keeps_no_html_and_no_foreign_links(hostile):
    text = render(hostile, "full", "md").data.decode()
    assert not re.search(r"<[a-z/!?]", text, re.IGNORECASE)
    assert not re.search(r"!\[[^\]]*\]\(", text)
    assert not re.search(r"\]\(\s*(?!https?:)", text)


def test_endless_texts_end_and_say_so(record):
    long = copy.deepcopy(record)
    long["layers"][0]["reason"] = "word " * 1_000_000
    text = text_of(render(long, "full").data)
    assert "cut; the record holds all" in text


def test_harmless_leaves_ordinary_text_alone():
    value = {"a": ["Größe 中文 ☃ → ≥\n\ttab", 3, None, True]}
    assert harmless(value) == value
    assert harmless_markdown("**bold** [x](https://example.org) `code`") == "**bold** [x](https://example.org) `code`"
    assert harmless_markdown("[x]: javascript:alert(1)\n[y](data:text/html,x)") == "[x]: #\n[y](#)"


def test_the_four_layers_are_told_apart_without_colour(record):
    html = render(record, form="html").data.decode()
    for layer in LAYERS:
        assert layer.glyph in html and layer.label in html
