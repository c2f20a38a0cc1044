"""Change logs in the open format, and every way to get one wrong."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.changes.log_files import MAX_CHANGES, parse_changes, parse_log
from postmortem.changes.parse import content_of, read_change, to_open_format
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer

LINE = {
    "id": "prompt-8", "layer": "prompt", "at": "2026-10-11T08:00:00Z", "until": "2026-10-12T08:00:00Z",
    "rollout": "canary", "canary_share": 0.15, "scope": {"prompt": "triage"}, "facet": "prompt_version",
    "to_version": "v2",
}  # fmt: skip


def jsonl(*lines):
    return "\n".join(json.dumps(line) for line in lines).encode()


def one(data, filename="changes.jsonl"):
    (parsed,) = parse_changes(data, filename)
    return parsed.record


class TestJsonl:
    def test_every_field(self):
        record = one(jsonl(LINE | {"from_version": "v1", "actor": "Priya", "link": "https://git.example/1"}))
        assert record.id == "prompt-8"
        assert record.layer is Layer.PROMPT
        assert record.at == parse_moment("2026-10-11T08:00:00Z")
        assert record.until == parse_moment("2026-10-12T08:00:00Z")
        assert (record.rollout, record.canary_share) == ("canary", 0.15)
        assert record.scope == {"prompt": ("triage",)}
        assert (record.facet, record.from_version, record.to_version) == ("prompt_version", "v1", "v2")
        assert record.summary == "triage prompt_version v1 → v2"

    def test_the_least_that_a_change_must_say(self):
        record = one(jsonl({"id": "infra-1", "layer": "infrastructure", "at": "2026-10-11T08:00:00Z"}))
        assert (record.rollout, record.until, record.summary) == ("instant", record.at, "infra-1")
        assert (record.facet, record.to_version, record.scope) == (None, None, {})

    def test_scope_of_a_list_and_versions_as_numbers(self):
        record = one(jsonl(LINE | {"scope": {"region": ["eu", "us", "eu"]}, "to_version": 7}))
        assert record.scope == {"region": ("eu", "us")}
        assert record.to_version == "7"

    def test_stages(self):
        staged = LINE | {"rollout": "staged", "stages": {"facet": "region", "order": ["us", "eu"]}}
        record = one(jsonl(staged))
        assert (record.stage_facet, record.stage_order) == ("region", ("us", "eu"))

    def test_raw_bytes_and_line_numbers_are_kept(self):
        data = b"\xef\xbb\xbf\n" + jsonl(LINE, LINE | {"id": "prompt-9"}) + b"\r\n"
        first, second = parse_changes(data, "changes.jsonl")
        assert (first.line, second.line) == (2, 3)
        assert json.loads(second.raw)["id"] == "prompt-9"

    def test_a_repeated_line_counts_once(self):
        assert len(parse_changes(jsonl(LINE, LINE), "changes.jsonl")) == 1

    def test_written_and_read_again_it_is_the_same(self):
        staged = LINE | {"rollout": "staged", "stages": {"facet": "region", "order": ["us", "eu"]}}
        for line in (LINE, staged):
            record = one(jsonl(line))
            assert read_change(json.loads(json.dumps(to_open_format(record)))) == record

    def test_equal_changes_have_equal_content_however_written(self):
        shuffled = dict(reversed((LINE | {"at": "2026-10-11T10:00:00+02:00"}).items()))
        assert content_of(one(jsonl(LINE))) == content_of(one(jsonl(shuffled)))


class TestCsv:
    HEADER = "id,layer,at,until,rollout,canary_share,scope,stages,facet,to_version,summary,is_rollback\n"

    def test_scope_as_pairs_and_as_json(self):
        data = self.HEADER + (
            "a,model,2026-10-11T08:00:00Z,,instant,,region=eu;region=us;model=large,,,,Alias moved,\n"
            'b,prompt,2026-10-11T08:00:00Z,,,,"{""prompt"": [""answer""]}",,prompt_version,2,"two\nlines",yes\n'
        )
        first, second = parse_changes(data.encode(), "Changes.CSV")
        assert first.record.scope == {"region": ("eu", "us"), "model": ("large",)}
        assert first.record.facet is None
        assert second.record.scope == {"prompt": ("answer",)}
        assert second.record.is_rollback
        assert (second.line, second.raw.count(b"\n")) == (3, 3)  # header and a row of two lines

    def test_stages_as_pairs(self):
        row = "a,infrastructure,2026-10-11T08:00:00Z,2026-10-12T08:00:00Z,staged,,,region=us;region=eu,,,,\n"
        record = one((self.HEADER + row).encode(), "changes.csv")
        assert (record.stage_facet, record.stage_order) == ("region", ("us", "eu"))

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("id,at\n", "line 1: the column “layer” is missing"),
            ("id,layer,at,at\n", "line 1: a column is named twice"),
            ("id,layer,at\na,prompt\n", "line 2: 2 values for 3 columns"),
            ('id,layer,at\na,prompt,"2026-10-11T08:00:00Z\n', "line 2: this is not CSV"),
            ("id,layer,at,scope\na,prompt,2026-10-11T08:00:00Z,eu\n", "line 2: the field “scope” must be JSON or like"),
            ("id,layer,at\n", "The change log holds no changes"),
        ],
    )
    def test_faults(self, text, sentence):
        with pytest.raises(UserError) as refusal:
            parse_changes(text.encode(), "changes.csv")
        assert sentence.replace("The change log", "changes.") in str(refusal.value).replace(
            "changes.jsonl", "changes."
        ).replace("changes.csv", "changes.")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"id": ""}, "line 2: the field “id” is missing"),
        ({"id": ["a"]}, "line 2: the field “id” must be text"),
        ({"id": "x" * 201}, "line 2: the field “id” is longer than 200"),
        ({"id": "prompt-8"}, "line 2: the id “prompt-8” is already used in line 1 for another change"),
        ({"layer": "database"}, "line 2: the layer “database” is unknown; write one of model, prompt, retrieval"),
        ({"layer": None}, "line 2: the field “layer” is missing"),
        ({"at": None}, "line 2: the field “at” is missing"),
        ({"at": "last Tuesday"}, "line 2: “at”: “last Tuesday” is not a date and time"),
        ({"until": "2026-10-10T08:00:00Z"}, "line 2: “until” is before “at”"),
        ({"rollout": "big bang"}, "line 2: the rollout “big bang” is unknown"),
        ({"canary_share": None}, "line 2: a canary needs “canary_share”"),
        ({"canary_share": 15}, "line 2: a canary needs “canary_share”"),
        ({"rollout": "staged"}, "line 2: a staged rollout needs “stages”"),
        ({"to_version": None}, "line 2: the facet “prompt_version” has no “to_version”"),
        ({"scope": ["eu"]}, "line 2: the field “scope” must be an object"),
        ({"scope": {"region": [{"deep": 1}]}}, "line 2: the scope of “region” must be a value or a list"),
        ({"scope": {str(n): "v" for n in range(21)}}, "line 2: the scope names more than 20 facets"),
        ({"link": "javascript:alert(1)"}, "line 2: the link must begin with https://"),
        ({"is_rollback": "perhaps"}, "line 2: the field “is_rollback” must be true or false"),
    ],
)
def test_a_fault_names_its_line_and_refuses_the_file(fault, sentence):
    line = LINE | {"id": "prompt-9"} | fault
    with pytest.raises(UserError) as refusal:
        parse_changes(jsonl(LINE, line if fault.get("id") != "prompt-8" else line | {"to_version": "v9"}), "c.jsonl")
    assert sentence.replace("The change log", "changes.") in str(refusal.value).replace(
        "changes.jsonl", "changes."
    ).replace("changes.csv", "changes.")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The change log holds no changes"),
        (b"\n\n{", "line 3: this is not JSON"),
        (b"[1]", "line 1: this is not a JSON object"),
        (b"[" * 60_000, "line 1: this is not JSON"),
        (b'{"canary_share": NaN}', "line 1: this is not JSON"),
        (b'{"id": "' + b"x" * 70_000 + b'"}', "line 1: longer than 65,536 characters"),
        (jsonl(LINE) + b"\n\xff\xfe", "line 2: this is not UTF-8"),
        (b"\x00PNG", "line 1: this is not JSON"),
        (b" " * (20 * 1024 * 1024 + 1), "The change log is larger than 20 MB"),
    ],
)
def test_what_is_no_change_log_at_all(data, sentence):
    with pytest.raises(UserError) as refusal:
        parse_changes(data, "changes.jsonl")
    assert sentence.replace("The change log", "changes.") in str(refusal.value).replace(
        "changes.jsonl", "changes."
    ).replace("changes.csv", "changes.")


def test_too_many_changes():
    line = '{"id": "%d", "layer": "model", "at": "2026-10-11T08:00:00Z"}\n'
    data = "".join(line % number for number in range(MAX_CHANGES + 1)).encode()
    with pytest.raises(UserError, match="more than 20,000 changes"):
        parse_changes(data, "changes.jsonl")


def test_a_benchmark_log_is_in_the_open_format():
    log = Path(__file__).with_name("benchmark_log.jsonl").read_bytes()
    assert [parsed.record.rollout for parsed in parse_changes(log, "changes.jsonl")][:3] == [
        "canary",
        "instant",
        "canary",
    ]


BEGIN = b'{"id": "a", "layer": "model", "at": "2026-10-11T08:00:00Z"'


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (BEGIN + b', "id": "b"}', "line 1: the field “id” comes twice"),
        (BEGIN + b', "summary": "a\\ud800"}', "field “summary” holds a NUL character or half"),
        (BEGIN + b', "summary": "a\\u0000"}', "field “summary” holds a NUL character or half"),
        (BEGIN.decode().encode("utf-16"), "line 1: this is not UTF-8 text"),
        (gzip.compress(jsonl(*(LINE | {"id": f"c-{n}"} for n in range(50))), mtime=0)[:-20], "damaged inside its gzip"),
        (BEGIN + b', "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "line 1: this is not JSON"),
    ],
)
def test_hostile_logs_are_refused_in_a_sentence_that_names_the_file(data, sentence):
    with pytest.raises(UserError) as refusal:
        parse_changes(data, "../logs/changes.jsonl")
    assert str(refusal.value).startswith("changes.jsonl")
    assert sentence in str(refusal.value)


def test_a_time_without_zone_is_noted():
    with_zone, without = parse_changes(jsonl(LINE, LINE | {"id": "b", "at": "2026-10-11 08:00:00"}), "c.jsonl")
    assert not with_zone.without_zone
    assert without.without_zone


FIELDS = st.sampled_from(
    ["id", "layer", "at", "until", "rollout", "scope", "stages", "canary_share", "is_rollback", "facet", "to_version",
     "from_version", "summary", "actor", "link", "details"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(
    ["prompt", "2026-10-11T08:00:00Z", "staged", "canary", "region=eu", "true"]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.dictionaries(FIELDS, ANYTHING, max_size=8), min_size=1, max_size=3))
def test_whatever_json_comes_gives_changes_or_a_sentence(rows):
    base = {"id": "a", "layer": "prompt", "at": "2026-10-11T08:00:00Z"}
    for data in (jsonl(*rows), jsonl(*(base | row for row in rows))):
        try:
            found = parse_changes(data, "fuzz.jsonl")
        except UserError as error:
            assert str(error).startswith("fuzz.jsonl")
        else:
            for one in found:
                content_of(one.record).decode()


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: ("id,layer,at\n" + text).encode()))
def test_whatever_bytes_come_give_changes_or_a_sentence(data):
    try:
        parse_changes(data, "fuzz.csv")
    except UserError as error:
        assert str(error).startswith("fuzz.csv")


class TestKeepGood:
    """Good entries are kept, and each of the others is told in one sentence with file, line and field."""

    def kept(self, data, filename="changes.jsonl"):
        log = parse_log(data, filename, keep_good=True)
        assert log.left_out == len(log.faults)
        return [change.record.id for change in log.changes], log.faults

    def test_each_bad_line_is_told(self):
        lines = [
            json.dumps(LINE), "{broken", json.dumps(LINE | {"id": "b", "at": "yesterday"}), "[1]",
            json.dumps(LINE | {"to_version": "v9"}), '{"id": "c", "id": "d"}', json.dumps(LINE | {"id": "e"}),
        ]  # fmt: skip
        ids, faults = self.kept("\n".join(lines).encode() + b"\n\xff\xfe")
        assert ids == ["prompt-8", "e"]
        assert [line for line, _ in faults] == [2, 3, 4, 5, 6, 8]
        told = " ".join(sentence for _, sentence in faults)
        assert all(sentence.startswith("changes.jsonl, line ") for _, sentence in faults)
        for said in ("not JSON", "“at”: “yesterday”", "not a JSON object", "already used in line 1", "“id” comes twice",
                     "not UTF-8"):  # fmt: skip
            assert said in told

    def test_rows_of_a_table(self):
        text = "id,layer,at\na,prompt,2026-10-11T08:00:00Z\nb,prompt\nc,nonsense,2026-10-11T08:00:00Z\n"
        ids, faults = self.kept(text.encode() + b'd,prompt,2026-10-11T08:00:00Z\n"e\n', "log.csv")
        assert ids == ["a", "d"]
        assert [line for line, _ in faults] == [3, 4, 6]
        assert "the layer “nonsense” is unknown" in faults[1][1]

    def test_what_came_before_the_damage(self):
        packed = gzip.compress(b"\n".join(json.dumps(LINE | {"id": f"p{n}"}).encode() for n in range(5_000)))
        ids, faults = self.kept(packed[: len(packed) // 2], "log.jsonl.gz")
        assert len(ids) > 100
        assert "breaks off or is damaged" in faults[0][1]

    def test_nothing_good_is_refused(self):
        with pytest.raises(UserError, match=r"c\.jsonl, line 1: this is not JSON"):
            parse_log(b"{broken", "c.jsonl", keep_good=True)

    def test_the_first_two_hundred_are_told(self):
        log = parse_log(jsonl(LINE) + b"\n{" * 300, "c.jsonl", keep_good=True)
        assert (len(log.changes), log.left_out, len(log.faults)) == (1, 300, 200)
