"""Manifests as files: read as a stream, faults named, two of them compared. No database."""

import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.changes.manifests import reading
from postmortem.changes.manifests.corpus import corpus_details, corpus_difference, corpus_summary
from postmortem.changes.manifests.reading import read_manifest
from postmortem.changes.manifests.shapes import Manifest
from postmortem.changes.manifests.training import provenance_details, training_difference
from postmortem.changes.parse import MAX_DETAILS_CHARACTERS
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError

HEAD = {
    "index": "kb", "version": "1", "at": "2026-03-01T06:00:00Z", "encoder": "e1",
    "chunking": {"size": 400, "overlap": 40}, "source": "https://git.example.org/kb",
}  # fmt: skip
DOCUMENTS = [
    {"id": "a", "hash": "1", "embedded_at": "2026-02-01T00:00:00Z", "gold": True},
    {"id": "b", "hash": "2", "embedded_at": "2026-02-01T00:00:00Z"},
    {"id": "c", "hash": "3", "embedded_at": "2026-02-01T00:00:00Z", "gold": True},
]
TRAINING = {"dataset": "tickets", "version": "8", "at": "2026-03-08T00:00:00Z", "model_version": "v2"}


def jsonl(*entries: Any) -> bytes:
    return "\n".join(json.dumps(entry) for entry in entries).encode()


def read(data: bytes, name: str = "kb.jsonl", **fields: Any) -> Manifest:
    return read_manifest(io.BytesIO(data), name, **fields)


def corpus(head: dict[str, Any] | None = None, documents: list[dict[str, Any]] | None = None) -> Manifest:
    return read(jsonl(HEAD | (head or {}), *(DOCUMENTS if documents is None else documents)))


def refused(data: bytes, name: str = "kb.jsonl", **fields: Any) -> str:
    with pytest.raises(UserError) as error:
        read(data, name, **fields)
    return str(error.value)


def test_every_form_of_one_manifest_says_the_same() -> None:
    lines = read(jsonl(HEAD, *DOCUMENTS))
    assert lines.count == 3 and lines.documents["a"].is_gold
    assert lines.header.settings == {"chunking.overlap": "40", "chunking.size": "400", "encoder": "e1"}
    assert lines.header.at == parse_moment("2026-03-01T06:00:00Z")
    whole = json.dumps({**HEAD, "documents": DOCUMENTS}, indent=1).encode()
    assert read(whole) == lines
    assert read(gzip.compress(whole)) == lines
    assert read(b"\xef\xbb\xbf" + jsonl(HEAD, *DOCUMENTS)) == lines
    bare = jsonl(*DOCUMENTS)
    told = {"kind": "corpus", "name": "kb", "version": "1", "at": "2026-03-01T06:00:00Z"}
    assert read(bare, given=told).documents == lines.documents
    assert read(json.dumps(DOCUMENTS).encode(), given=told).documents == lines.documents
    by_hash = read(json.dumps({**HEAD, "documents": {"a": "1", "b": "2"}, "gold_documents": ["b"]}).encode())
    assert {name: (one.hash, one.is_gold) for name, one in by_hash.documents.items()} == {
        "a": ("1", False), "b": ("2", True),
    }  # fmt: skip


def test_what_a_person_tells_wins() -> None:
    told = read(jsonl(HEAD, *DOCUMENTS), given={"name": "other", "version": "9", "at": "2026-04-01T00:00:00Z"})
    assert (told.header.name, told.header.version, told.header.at.month) == ("other", "9", 4)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"id": "d"}], "kb.jsonl, line 5: the field “hash” is missing."),
        ([{"hash": "4"}], "kb.jsonl, line 5: the field “id” is missing."),
        ([{"id": "d", "hash": "4", "embedded_at": "yesterday"}], "line 5: field “embedded_at”: “yesterday” is not"),
        ([{"id": "d", "hash": {"x": []}}], "line 5: field “hash”: must be text"),
        ([{"id": "d" * 500, "hash": "4"}], "line 5: field “id”: longer than 400 characters"),
        ([{"id": "d", "hash": "4", "gold": "maybe"}], "line 5: field “gold”: write true or false"),
        ([{"id": "a", "hash": "9"}], "line 5: field “id”: “a” is told otherwise in line 2 already"),
        (["text"], "line 5: this is not a JSON object"),
        ([{"id": "d", "hash": "4\x00"}], "line 5: field “hash”: a character with the code 0"),
    ],
)
def test_a_bad_entry_is_named_by_file_line_and_field(entries: list[Any], said: str) -> None:
    assert said in refused(jsonl(HEAD, *DOCUMENTS, *entries))
    kept = read(jsonl(HEAD, *DOCUMENTS, *entries), keep_good=True)
    assert kept.count == 3 and kept.fault_count == 1 and kept.faults[0].line == 5


def test_in_a_json_list_the_line_is_found_as_well() -> None:
    bad = json.dumps({**HEAD, "documents": [*DOCUMENTS, {"id": "d"}]}, indent=1).encode()
    line = bad[: bad.index(b'"d"')].count(b"\n")  # the brace before it
    assert f"kb.json, line {line} (document 4): the field “hash” is missing." in refused(bad, "kb.json")
    by_id = json.dumps({**HEAD, "documents": {"a": "1", "b": 7.5, "c": []}}, indent=1).encode()
    kept = read(by_id, keep_good=True)
    assert [fault.sentence for fault in kept.faults] == ["this is not a JSON object"] * 2
    assert kept.faults[0].line == by_id[: by_id.index(b'"b"')].count(b"\n") + 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04", "ZIP archive"),
        (gzip.compress(jsonl(HEAD, *DOCUMENTS), mtime=0)[:-20], "breaks off in the middle"),
        (b"\x1f\x8bnonsense", "damaged gzip"),
        (jsonl({**HEAD, "version": None}, *DOCUMENTS), "the field “version” is missing"),
        (jsonl({**HEAD, "index": ""}, *DOCUMENTS), "the field “index” is missing"),
        (jsonl({**HEAD, "at": "soon"}, *DOCUMENTS), "field “at”: “soon” is not a date and time"),
        (jsonl({**HEAD, "kind": "weather"}, *DOCUMENTS), "not “weather”"),
        (jsonl(HEAD), "lists no documents"),
        (b"[" * 10_000, "not JSON"),
        (jsonl(HEAD) + b'\n{"id": "a", "hash": NaN}', "line 2: this is not JSON"),
        (jsonl(HEAD) + b"\n" + "{“id”: 1}".encode("utf-16"), "line 2: this is not JSON"),
        (jsonl(HEAD, {"id": "a", "hash": "x" * 70_000}), "line 2: longer than 64 KB"),
        (b'{"a": 1}', "tells neither documents with hashes nor training rows"),
        (b"42", "no list"),
    ],
)
def test_files_that_are_no_manifest_are_refused_in_one_sentence(data: bytes, said: str) -> None:
    sentence = refused(data)
    assert said in sentence and sentence.endswith(".")


def test_what_unpacks_to_too_much_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_UNPACKED_BYTES", 100_000)
    packed = gzip.compress(jsonl(HEAD, *({"id": f"{n}", "hash": "1" * 100} for n in range(2_000))))
    assert len(packed) < 20_000
    assert "unpacks to more than" in refused(packed, keep_good=True)
    monkeypatch.setattr(reading, "MAX_ENTRIES", 2)
    assert "more than 2 entries" in refused(jsonl(HEAD, *DOCUMENTS), keep_good=True)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_bytes_are_read_or_refused_in_one_sentence(data: bytes) -> None:
    for start in (b"", json.dumps(HEAD).encode() + b"\n", b'{"documents": ['):
        try:
            read(start + data, keep_good=True)
        except UserError as error:
            assert "\n" not in str(error)


def test_two_corpora_differ_in_documents_settings_and_embeddings() -> None:
    older = corpus()
    newer = corpus(
        {"version": "2", "encoder": "e2", "chunking": {"size": 200, "overlap": 40}},
        [
            {"id": "a", "hash": "1", "embedded_at": "2026-02-01T00:00:00Z", "gold": True},
            {"id": "b", "hash": "2!", "embedded_at": "2026-03-01T00:00:00Z"},
            {"id": "d", "hash": "4", "embedded_at": "2026-03-01T00:00:00Z"},
        ],
    )
    found = corpus_difference(older, newer)
    assert (found.added, found.removed, found.changed, found.re_embedded) == (("d",), ("c",), ("b",), ())
    assert found.unchanged == 1 and found.gold == 2 and found.gold_changed == ("c",)
    assert found.stale == ("a",)  # the encoder moved, and its embedding did not
    assert [(move.name, move.before, move.after) for move in found.settings] == [
        ("chunking.size", "400", "200"), ("encoder", "e1", "e2"),
    ]  # fmt: skip
    assert corpus_summary(newer, found, "1") == (
        "Index kb 1 → 2: 1 added, 1 removed, 1 changed; chunking.size 400 → 200, encoder e1 → e2"
    )
    details = corpus_details(older, newer, found)
    assert details["documents"] | {"examples": {}} == {
        "before": 3, "after": 3, "added": 1, "removed": 1, "changed": 1, "re_embedded": 0, "unchanged": 1,
        "gold": 2, "gold_changed": 1, "examples": {},
    }  # fmt: skip
    assert details["encoder"] == {"from": "e1", "to": "e2"}
    assert details["embedding"] == {"stale": 1, "of": 3, "by_day": {"2026-02-01": 1, "2026-03-01": 2}}


def test_an_embedding_of_its_own_encoder_tells_which_documents_are_behind() -> None:
    newer = corpus({"version": "2", "encoder": "e2"}, [{"id": "a", "hash": "1", "encoder": "e1"}, *DOCUMENTS[1:]])
    assert corpus_difference(corpus(), newer).stale == ("a",)


def test_a_superseded_gold_document_counts_as_moved() -> None:
    newer = corpus({"version": "2"}, [DOCUMENTS[0] | {"superseded_by": "a2"}, *DOCUMENTS[1:]])
    found = corpus_difference(corpus(), newer)
    assert found.gold_changed == ("a",) and not found.changed


def test_the_same_again_is_no_difference() -> None:
    assert corpus_difference(corpus(), corpus({"version": "2", "at": "2026-03-05T00:00:00Z"})).is_empty


def test_training_rows_and_who_answers_for_them() -> None:
    rows = [
        {"id": "1", "source": "web", "author": "Ana", "reviewer": "Bo", "license": "CC-BY-4.0", "topic": "login"},
        {"id": "2", "source": "web", "author": "unknown", "reviewer": "Bo", "topic": "billing"},
        {"id": "3", "author": ["Ana", "Cy"], "reviewer": None, "licence": "internal", "topic": "billing"},
        {"hash": "4f", "topic": "billing"},
    ]
    newer = read(jsonl(TRAINING, *rows))
    assert newer.header.kind == "training" and newer.rows["3"].author == "Ana, Cy"
    older = read(jsonl(TRAINING | {"version": "7"}, rows[0], {"id": "9", "author": "Ana", "reviewer": "Bo"}))
    found = training_difference(older, newer)
    assert found.added == ("2", "3", "4f") and found.removed == ("9",) and found.unchanged == 1
    assert found.unaccounted == ("2", "3", "4f")
    details = provenance_details(newer, found)
    assert {name: details[name] for name in ("added", "removed", "rows", "without_author", "without_reviewer")} == {
        "added": 3, "removed": 1, "rows": 4, "without_author": 2, "without_reviewer": 2,
    }  # fmt: skip
    assert details["without_licence"] == 2 and details["unaccounted"] == 3
    assert details["topics"] == {"billing": 3} and details["topic_facet"] == "intent"
    assert training_difference(None, newer).of_added.rows == 4


def test_details_fit_into_a_change_whatever_the_names() -> None:
    wide = "ж" * 190
    rows = [
        {"id": f"{wide}{n}", "topic": f"{wide}{n}", "source": f"{wide}{n}", "licence": f"{wide}{n}"} for n in range(400)
    ]
    newer = read(jsonl(TRAINING, *rows))
    assert len(json.dumps(provenance_details(newer, training_difference(None, newer)))) < MAX_DETAILS_CHARACTERS
    documents = [{"id": f"{wide}{n}", "hash": "1", "gold": True} for n in range(400)]
    settings = {wide[:70] + str(n): wide for n in range(30)}
    older, newer = corpus(documents=documents), corpus({"version": "2"} | settings)
    found = corpus_difference(older, newer)
    assert len(found.removed) == 400
    assert len(json.dumps(corpus_details(older, newer, found))) < MAX_DETAILS_CHARACTERS
