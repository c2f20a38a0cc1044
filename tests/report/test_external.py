"""What readers outside get: no names, no trace text, no links, and a list of what is gone. And the CSV."""

import copy
import csv
import io
import json
from pathlib import Path

import pytest
from pypdf import PdfReader

from postmortem.report.action_csv import safe_cell
from postmortem.report.documents import make_document
from postmortem.report.external import for_outside


@pytest.fixture(scope="module")
def record():
    found = json.loads((Path(__file__).parent / "record-1-sample.json").read_text())
    found["layers"][2]["evidence_for"][0] |= {"trace": "trace-secret-1", "text": "The bot said: call 555-0100"}
    found["text"]["summary"] += " Ask Priya Nair or priya@example.org, see [the run](https://tracker.example.org/9)."
    found["actions"][0] |= {"tracker_link": "https://tracker.example.org/1", "title": "=cmd|' /C calc'!A0"}
    found["changes"][0] |= {"actor": "helen@example.org", "link": "https://git.example.org/c/1",
                            "scope": {"tenant": ["acme"], "region": ["eu-west"]}}  # fmt: skip
    found["finding"]["result"]["mix"] |= {"facet": "tenant"}
    found["finding"]["result"]["mix"]["groups"][0]["value"] = "globex"
    found["finding"]["result"]["patterns"] = [pattern()]
    found["timeline"][0]["text"] += " Priya told https://chat.example.org/77"
    return found


def pattern():
    """A failure pattern as a finding stores it, with traces and a tenant that readers outside must not see."""
    number = {"label": "tenant initech", "estimate": -0.2, "interval": [-0.3, -0.1], "count": 812, "unit": "share",
              "about": "", "signed": True}  # fmt: skip
    return {"number": 1, "pattern": "quantization_slippage", "title": "Quantization slippage", "layer": "model",
            "answer": "match", "sentence": "Answers of initech fell, the rest held.", "numbers": [number],
            "for": [], "against": [], "missing": ["the precision"], "actions": [], "traces": ["secret-trace-2"],
            "picture": None}  # fmt: skip


GONE = (
    "globex",
    "initech",
    "secret-trace-2",
    "Priya",
    "Nair",
    "Lindqvist",
    "Jun Sato",
    "example.org",
    "trace-secret-1",
    "555-0100",
    "acme",
    "traces.jsonl",
)


@pytest.mark.parametrize("view", ["brief", "full", "annex"])
@pytest.mark.parametrize("form", ["html", "md", "json", "csv", "pdf"])
def test_nothing_that_the_rules_drop_is_in_any_format(record, view, form):
    document = make_document(record, view=view, form=form, version=1, sha256="ab" * 32, audience="external")
    assert "-external-v1" in document.filename
    text = document.data.decode() if form != "pdf" else _text(document.data)
    for words in GONE:
        assert words not in text, words
    if form not in ("csv",):
        assert "names of people" in text.lower().replace("names of\npeople", "names of people")


def test_the_copy_counts_what_it_leaves_out_and_names_the_whole_record(record):
    copied = for_outside(record, sha256="ab" * 32)
    counts = {one["what"]: one["count"] for one in copied["audience"]["left_out"]}
    assert counts["texts and ids of traces"] == 2 and counts["authors of changes"] == 1
    assert counts["links"] == 4 and counts["values of tenant and user facets"] >= 4
    assert counts["names of people"] > 20
    assert copied["audience"]["made_from_sha256"] == "ab" * 32
    assert copied["changes"][0]["scope"]["region"] == ["eu-west"]
    assert copied["text"]["summary"].endswith("or [e-mail left out], see the run.")
    assert copied["actions"][1]["owner"] != record["actions"][1]["owner"]


def test_the_failure_patterns_stand_in_the_full_report_with_their_numbers(record):
    drift = pattern() | {"number": 5, "title": "Conflated drift", "layer": None}  # the inputs did it: no layer
    record["finding"]["result"]["patterns"].append(drift)
    for form in ("html", "md"):
        text = make_document(record, view="full", form=form, version=1, sha256="").data.decode().replace("\u00a0", " ")
        assert "Conflated drift" in text
        assert "Failure patterns looked for" in text and "Quantization slippage" in text and "Found" in text
        assert "tenant initech −20.0 points (−30.0 to −10.0, n 812)" in text
        assert "To log next time: the precision." in text
    assert b"Failure patterns" not in make_document(record, view="brief", form="html", version=1, sha256="").data


@pytest.mark.parametrize("piece", ["x[<", "[x](y", "a.b-", "[\n", "www.[", "a@b-"])
def test_megabytes_of_half_a_link_are_searched_in_one_pass(record, piece):
    long = copy.deepcopy(record)
    long["text"]["impact"] = piece * (2_000_000 // len(piece)) + " priya@example.org"
    assert for_outside(long)["text"]["impact"].endswith("[e-mail left out]")


def test_the_annex_keeps_its_contact_and_the_authority_but_no_links(record):
    values = {"contact_email": "helen@example.com", "authority_address": "https://authority.example.com",
              "evidence_kept": "In [the store](https://store.example.org/1), https://store.example.org/2"}  # fmt: skip
    whole = record | {"annex": {"revision": 1, "edited_by": "Helen", "edited_at": "", "values": values, "rules": {}}}
    copied = for_outside(whole)["annex"]
    assert copied["values"] == values | {"evidence_kept": "In the store, [link left out]"}
    assert copied["edited_by"] == "a reviewer" and values["evidence_kept"].startswith("In [the")


def test_the_record_itself_is_not_touched(record):
    before = copy.deepcopy(record)
    for_outside(record)
    assert record == before


def test_the_external_brief_keeps_its_two_pages(record):
    data = make_document(record, view="brief", form="pdf", version=1, sha256="ab" * 32, audience="external").data
    assert len(PdfReader(io.BytesIO(data)).pages) == 2


def test_the_csv_has_every_action_and_no_formula(record):
    document = make_document(record, view="full", form="csv", version=1, sha256="")
    assert document.filename == "INC-2026-0007-actions-v1.csv" and document.media_type.startswith("text/csv")
    text = document.data.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["number"] for row in sorted(rows, key=lambda row: row["number"])] == [
        f"A-{one['number']}" for one in sorted(record["actions"], key=lambda one: one["number"])
    ]
    first = next(row for row in rows if row["number"] == "A-1")
    assert first["title"] == "'=cmd|' /C calc'!A0" and first["owner"] == "Priya Nair"


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=1", "  =1", "＝1", "\r\n=1", "\u00a0@x"])
def test_what_a_spreadsheet_would_run_is_text(cell):
    assert safe_cell(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "plain", "A-1", "2026-03-27", "a=b"])
def test_other_cells_stay_as_they_are(cell):
    assert safe_cell(cell) == cell


def _text(data):
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages).split())
