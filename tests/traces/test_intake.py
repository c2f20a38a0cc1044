"""Files of any size, scattered and broken: rows find their trace, faults name file, line and field, nothing is lost."""

import csv
import gzip
import io
import json
import random
import time
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.lib.errors import UserError
from postmortem.traces import crowded, entries, spill
from postmortem.traces.files import parse_file, read_file
from postmortem.traces.intake import take_file
from postmortem.traces.rows import rows_of

AT = "2026-03-09T09:00:00Z"
OPEN = {"id": "t1", "timestamp": AT, "facets": {"region": "eu"}, "scores": {"quality": 0.25}}


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def observation(trace: int, step: int, **more: object) -> dict[str, object]:
    begin = datetime(2026, 3, 9, 9, tzinfo=UTC) + timedelta(seconds=10 * trace + step)
    return {
        "id": f"t{trace}-{step}", "traceId": f"t{trace}", "type": "SPAN", "name": "step", "projectId": "p",
        "parentObservationId": f"t{trace}-0" if step else None, "startTime": begin.isoformat(),
        "endTime": (begin + timedelta(seconds=10 - step)).isoformat(), "input": f"question {trace} " + "x" * 300,
        "metadata": {"region": "eu"}, **more,
    }  # fmt: skip


@pytest.fixture
def scattered() -> bytes:
    rows = [observation(trace, step) for trace in range(120) for step in range(4)]
    random.Random(3).shuffle(rows)
    return lines(*rows)


def test_rows_of_a_trace_find_each_other_wherever_they_lie(scattered, monkeypatch) -> None:
    at_once = {record.external_id: record for record in parse_file(scattered, "o.jsonl")}
    monkeypatch.setattr(spill, "MEMORY_BYTES", 20_000)
    monkeypatch.setattr(spill, "_BUFFER_BYTES", 3_000)
    monkeypatch.setattr(spill, "PAGE_BYTES", 10_000)
    parsed = read_file(scattered, "o.jsonl")
    assert {record.external_id: record for record in parsed.records} == at_once
    assert len(at_once) == 120
    assert all(len(record.observations) == 4 for record in parsed.records)
    assert len(parsed.pages) > 10
    assert b"".join(page.body for page in parsed.pages) == scattered
    for page in parsed.pages:
        assert {row.trace_id for row in rows_of(page.body, "page")} == page.trace_ids


@pytest.mark.parametrize("shape", ["list", "csv"])
def test_pages_of_lists_and_tables_can_be_read_by_themselves(shape, monkeypatch) -> None:
    monkeypatch.setattr(spill, "PAGE_BYTES", 3_000)
    rows = [observation(trace, step) for trace in range(12) for step in range(3)]
    if shape == "list":
        data = json.dumps(rows, indent=1).encode()
    else:
        out = io.StringIO()
        writer = csv.DictWriter(out, [name for name in rows[0] if name not in {"metadata", "projectId"}])
        writer.writeheader()
        writer.writerows([{name: row[name] for name in writer.fieldnames} for row in rows])
        data = out.getvalue().encode()
    parsed = read_file(data, f"o.{shape}")
    assert len(parsed.records) == 12
    assert len(parsed.pages) > 3
    for page in parsed.pages:
        assert {row.trace_id for row in rows_of(page.body, "page")} == page.trace_ids


def test_memory_stays_bounded_however_long_the_file(monkeypatch) -> None:
    for name, most in (
        ("MEMORY_BYTES", 300_000),
        ("PAGE_BYTES", 50_000),
        ("_BUFFER_BYTES", 10_000),
        ("STAGED_TOGETHER", 50),
    ):
        monkeypatch.setattr(spill, name, most)
    row = json.dumps(observation(1, 0, input="y" * 2_000)).replace('"t1', '"t%d')

    class Long(io.RawIOBase):
        """A file that is nowhere; each read gives a line."""

        def __init__(self, count: int) -> None:
            self.at, self.count = 0, count

        def seek(self, place: int, whence: int = 0) -> int:
            self.at = place
            return place

        def read(self, size: int = -1) -> bytes:
            number, self.at = self.at, self.at + 1
            return (row.replace("%d", str(number)) + "\n").encode() if number < self.count else b""

    def peak(count: int) -> int:
        tracemalloc.start()
        with take_file(Long(count), "long.jsonl", max_bytes=10**8) as taken:
            assert taken.trace_count == count
            most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)  # what is loaded once
    few, many = peak(800), peak(4_000)  # 2 and 10 MB
    assert many < few + 2_000_000


DEEP = '{"id": "t2", "timestamp": "2026-03-09T09:00:00Z", "facets": {}, "x": ' + "[" * 10_000 + "]" * 10_000 + "}"
BAD_ROWS = [
    (b'{"id": "t2", "timestamp": "2026-03-09T09:00:00Z", "facets": {}, "scores": {"quality": NaN}}',
     "line 2: “scores.quality” is not a finite number"),
    (b'{"id": "t2", "timestamp": "2026-03-09T09:00:00Z", "facets": {}, "latency": 1e400}',
     "line 2: “latency” is not a finite number"),
    (DEEP.encode(), "line 2 is nested more than 100 levels deep"),
    ('{"id": "t2", "name": "Grüße"}'.encode("latin-1"), "line 2: this is not UTF-8 text (byte 0xfc at place"),
    (lines(OPEN | {"id": "x" * 801}), "line 2: “id” has 801 characters; an id has at most 800"),
    (b'{"id": "t2", "id": "t3", "timestamp": "2026-03-09T09:00:00Z", "facets": {}}', "the field “id” comes twice"),
    (b'{"id": "t2", "timestamp": "2026-03-09T09:00:00Z", "facets": {"a": "1", "a": "2"}}', "the field “a” comes twice"),
    (lines(OPEN | {"id": "a\x00b"}), "line 2: “id” has a NUL character"),
    (lines(OPEN | {"id": "t2", "timestamp": "yesterday"}), "line 2: “timestamp” is “yesterday”, which is no time"),
    (b'{"id": 123456789012345678901234567890, "timestamp": "2026-03-09T09:00:00Z", "facets": {}}',
     "line 2: “id” is a number too large to be exact"),
    (lines(observation(2, 0, traceId="y" * 900)), "line 2: “traceId” has 900 characters"),
    (lines(observation(2, 0, startTime=None)), "line 2: “startTime” is missing"),
    (b"{broken", "line 2 is not valid JSON"),
    (b'["a"]', "line 2: a trace must be a JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "said"), BAD_ROWS)
def test_one_bad_row_refuses_the_file_or_is_left_out(row: bytes, said: str) -> None:
    data = lines(OPEN) + row.rstrip(b"\n") + b"\n" + lines(OPEN | {"id": "last"})
    with pytest.raises(UserError) as refused:
        read_file(data, "rows.jsonl")
    assert str(refused.value).startswith("rows.jsonl, line 2")
    assert said in str(refused.value)
    parsed = read_file(data, "rows.jsonl", keep_good=True)
    assert [record.external_id for record in parsed.records] == ["t1", "last"]
    assert [fault.line for fault in parsed.faults] == [2]
    assert b"".join(page.body for page in parsed.pages) == data
    (page,) = parsed.pages
    assert {row.trace_id for row in rows_of(page.body, "page", skip_faults=True)} >= {"t1", "last"}


def test_an_observation_needs_no_name() -> None:
    (record,) = parse_file(lines(observation(1, 0, name=None), observation(1, 1)), "rows.jsonl")
    assert {one.name for one in record.observations} == {"", "step"}


def test_an_id_of_800_characters_is_kept_whole() -> None:
    (record,) = parse_file(lines(OPEN | {"id": "é" * 800}), "rows.jsonl")
    assert record.external_id == "é" * 800


def test_half_surrogates_and_nul_become_the_replacement_sign() -> None:
    row = b'{"id": "t1", "timestamp": "2026-03-09T09:00:00Z", "facets": {"region": "e\\ud800u"}, '
    row += b'"input": "a\\u0000b \\udc00"}'
    (record,) = parse_file(row, "rows.jsonl")
    assert record.facets == {"region": "e\ufffdu"}
    assert record.input_preview == "a\ufffdb \ufffd"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_with_a_mark_are_read(encoding: str) -> None:
    for data in (lines(OPEN), json.dumps([OPEN]).encode(), f"id,timestamp,name\nt1,{AT},Grüße\n".encode()):
        (record,) = parse_file(data.decode().encode(encoding), "rows.txt")
        assert record.external_id == "t1"


def test_utf16_without_its_mark_is_named() -> None:
    with pytest.raises(UserError, match="perhaps UTF-16 without its mark"):
        parse_file(lines(OPEN).decode().encode("utf-16-le"), "rows.jsonl")


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_packed_file_that_breaks_off_is_refused_or_read_as_far_as_it_goes(cut: int) -> None:
    rows = [OPEN | {"id": f"t{number}", "input": random.Random(number).randbytes(40).hex()} for number in range(60)]
    data = gzip.compress(lines(*rows))[:-cut]
    with pytest.raises(UserError, match=r"rows\.jsonl\.gz breaks off in the middle"):
        read_file(data, "rows.jsonl.gz")
    parsed = read_file(data, "rows.jsonl.gz", keep_good=True)
    assert 40 < len(parsed.records) <= 60
    assert "what came before that place is kept" in parsed.faults[-1].sentence


def test_a_list_that_breaks_off_is_read_as_far_as_it_goes() -> None:
    data = json.dumps([OPEN | {"id": f"t{number}"} for number in range(9)]).encode()[:-40]
    with pytest.raises(UserError, match="entry 9 is not valid JSON"):
        read_file(data, "rows.json")
    assert len(read_file(data, "rows.json", keep_good=True).records) == 8


def test_times_without_a_zone_are_told() -> None:
    parsed = read_file(lines(OPEN, OPEN | {"id": "t2", "timestamp": "2026-03-09 09:00:00"}), "rows.jsonl")
    assert parsed.notes == ["One time is without its zone (the first in line 2); read as UTC."]


def test_clocks_that_were_wrong_are_told() -> None:
    ahead = (datetime.now(UTC) + timedelta(hours=5)).isoformat()
    rows = [
        observation(1, 0, startTime=ahead, endTime=None),
        observation(2, 0), observation(2, 1, startTime="2026-03-09T04:30:00Z", endTime=None),
        {"id": "s", "traceId": "t2", "name": "q", "value": 1, "source": "API", "timestamp": "2026-03-08T09:00:00Z"},
    ]  # fmt: skip
    future, apart, scored = read_file(lines(*rows), "rows.jsonl").notes
    assert "begins in the future, up to 5 h from now" in future
    assert "has steps up to 5 h outside of the step that called them" in apart
    assert "scored up to 20 h before" in scored


def test_a_facet_with_a_value_for_each_trace_is_told(monkeypatch) -> None:
    monkeypatch.setattr(crowded, "MOST_VALUES", 20)
    rows = [OPEN | {"id": f"t{number}", "facets": {"region": "eu", "tenant": f"n{number}"}} for number in range(40)]
    (note,) = read_file(lines(*rows), "rows.jsonl").notes
    assert note.startswith("The facet “tenant” has more than 20 different values")


@pytest.mark.parametrize("cell", ["NaN", "1e400", "-inf"])
def test_a_score_in_a_table_is_a_number(cell: str) -> None:
    data = f"id,traceId,startTime,quality\no1,t1,{AT},0.5\no2,t2,{AT},{cell}\n".encode()
    with pytest.raises(UserError, match=r"line 3: the column “quality” is “.+”, which is no finite number"):
        read_file(data, "t.csv")


def test_what_is_too_long_is_named(monkeypatch) -> None:
    monkeypatch.setattr(entries, "MAX_ENTRY_BYTES", 3_000)
    long = OPEN | {"input": "z" * 200_000}
    for data, where in ((lines(OPEN, long), "line 2"), (json.dumps([OPEN, long]).encode(), "entry 2")):
        with pytest.raises(UserError, match=f"{where} has more than 0 MB"):
            read_file(data, "rows.jsonl")
    with pytest.raises(UserError, match="one JSON document of more than 0 MB"):
        read_file(json.dumps({"data": [long]}, indent=1).encode(), "rows.json")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from([AT, "t1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["id", "traceId", "startTime", "timestamp", "facets", "scores", "name", "value", "dataType", "observations",
         "data", "metadata", "tags", "usageDetails", "resourceSpans", "scopeSpans", "spans", "attributes", "trace",
         "traces", "trace_id", "start_time", "key", "intValue", "a"]), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(VALUES, min_size=1, max_size=5), st.sampled_from(["lines", "list", "one"]), st.booleans(), st.booleans()
)
def test_whatever_json_comes_gives_traces_or_a_sentence(values, shape, keep_good, packed) -> None:
    texts = [json.dumps(value) for value in values]
    whole = {"lines": "\n".join(texts), "list": f"[{','.join(texts)}]", "one": texts[0]}[shape].encode()
    try:
        parsed = read_file(whole, "fuzz.json", keep_good=keep_good)
    except UserError as error:
        assert str(error).startswith("fuzz.json")
        assert len(str(error)) < 500
    else:
        assert parsed.records or keep_good
        assert all(record.external_id for record in parsed.records)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: ("id,traceId,startTime\n" + text).encode()),
       st.booleans())  # fmt: skip
def test_whatever_bytes_come_give_traces_or_a_sentence(data, keep_good) -> None:
    try:
        read_file(data, "fuzz.csv", keep_good=keep_good)
    except UserError as error:
        assert str(error).startswith("fuzz.csv")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lines(OPEN) + b"\n" * 2_000_000 + lines(OPEN), "nothing but blank lines"),
        (b"id,traceId,startTime\n" + b",,\n" * 800_000, "nothing but empty rows"),
        (gzip.compress(b"", mtime=0) * 110_000, "more than 100,000 pieces"),
        (b"[" + b" " * 5_000_000, "entry 1 is not valid JSON"),
        (gzip.compress(lines(OPEN) + b"\0" * 60_000_000, mtime=0), "line 2 has more than 32 MB"),
    ],
)
def test_files_that_would_take_for_ever_end_soon(data, said) -> None:
    begin = time.process_time()
    with pytest.raises(UserError, match=said):
        read_file(data, "long.gz")
    assert time.process_time() - begin < 20
