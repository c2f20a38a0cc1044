"""Tables of nobody's format: guessed, mapped, read; every fault names file, line and column."""

import gzip
import io
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.accounts.models import AuditEntry, Role
from postmortem.lib.errors import UserError
from postmortem.traces.files import read_file
from postmortem.traces.kept_uploads import open_upload
from postmortem.traces.mapped import ColumnUse, MappedRows, checked_mapping, mapping_of, preview_table
from postmortem.traces.models import EvidenceImport, SavedMapping, Trace, Upload
from postmortem.traces.parquet import parquet_rows
from postmortem.traces.selectors import trace_reading
from postmortem.traces.services import read_blob
from postmortem.traces.table_import import import_table, keep_draft, save_mapping
from tests.api.client import Api
from tests.builders import make_incident, make_person

CSV = b"""request_id,created_at,question,answer,region,prompt_version,grounded,duration_ms,note
r-1,2026-03-09T09:40:00Z,Where is it?,Here.,eu,v1,1,1200,fine
r-2,2026-03-09T09:41:00Z,And now?,"=HYPERLINK(""x"")",us,v2,0.5,"1,5",
r-3,2026-03-09T09:42:00Z,Why?,Because.,us,v2,0,900,x
"""


def mapping(*uses: tuple[str, ...], assume_utc: bool = False):
    return checked_mapping([ColumnUse(*use) for use in uses], assume_utc=assume_utc)


def read_mapped(data: bytes, filename: str, chosen, *, keep_good: bool):
    return read_file(data, filename, keep_good=keep_good, rows_of_entry=MappedRows(chosen, filename), any_table=True)


PLAIN = (("request_id", "id"), ("created_at", "timestamp"))


class TestPure:
    """Reading without a database."""

    def test_the_guess_reads_the_first_rows(self):
        preview = preview_table(io.BytesIO(CSV), "export.csv")
        guessed = {use.column: (use.role, use.name) for use in preview.guess.uses}
        assert guessed["request_id"] == ("id", "")
        assert guessed["created_at"] == ("timestamp", "")
        assert guessed["region"] == ("facet", "region")
        assert guessed["prompt_version"] == ("facet", "prompt_version")
        assert guessed["grounded"] == ("score", "grounded")
        assert guessed["duration_ms"] == ("latency_ms", "")
        assert "note" not in guessed
        table = read_mapped(CSV, "export.csv", preview.guess, keep_good=False)
        first, second, _ = table.records
        assert (first.external_id, first.scores, first.latency_seconds) == ("r-1", {"grounded": 1.0}, 1.2)
        assert second.latency_seconds == 0.0015  # “1,5” is one and a half
        assert second.facets == {"region": "us", "prompt_version": "v2"}

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (CSV.replace(b"2026-03-09T09:41:00Z", b"yesterday"), "export.csv, line 3: column “created_at”"),
            (CSV.replace(b"2026-03-09T09:41:00Z", b"2026-03-09T09:41:00"), "has no time zone"),
            (CSV.replace(b"r-2", b"r-1"), "comes twice"),
            (CSV.replace(b"r-3", b"x" * 801), "at most 800 characters"),
            (CSV.replace(b",0.5,", b",much,"), "column “grounded”: “much” is no finite number"),
            (CSV.replace(b",0.5,", b",1e400,"), "no finite number"),
            (CSV.replace(b",0.5,", b",NaN,"), "no finite number"),
            (CSV.replace(b"r-3,", b"r-3,,"), "cells, but the header names"),
            (CSV.replace(b"Why?", b"Wh\xff?"), "line 4: this is not UTF-8"),
            (gzip.compress(CSV, mtime=0)[:-12], "breaks off"),
            (b"[" * 10_000 + b"]" * 10_000, "levels deep"),
            (b"a,a\n1,2\n", "named twice"),
            (b"alone\n1\n", "one column"),
            (b"", "is empty"),
        ],
    )
    def test_every_fault_is_one_sentence(self, data, said):
        chosen = preview_table(io.BytesIO(CSV), "export.csv").guess
        with pytest.raises(UserError) as raised:
            read_mapped(data, "export.csv", chosen, keep_good=False)
        assert said in str(raised.value)
        assert "export.csv" in str(raised.value)

    def test_good_rows_are_kept_when_asked_and_the_rest_is_told(self):
        bad = CSV.replace(b"2026-03-09T09:41:00Z", b"yesterday")
        table = read_mapped(bad, "export.csv", mapping(*PLAIN), keep_good=True)
        assert [record.external_id for record in table.records] == ["r-1", "r-3"]
        assert len(table.faults) == 1
        assert table.faults[0].line == 3

    def test_times_without_zone_and_numbers_since_1970(self):
        data = b"id,at\na,2026-03-09 09:40:00\nb,1773049200\nc,1773049200000\n"
        chosen = mapping(("id", "id"), ("at", "timestamp"), assume_utc=True)
        found = [record.timestamp for record in read_mapped(data, "t.csv", chosen, keep_good=False).records]
        assert found == [
            datetime(2026, 3, 9, 9, 40, tzinfo=UTC), datetime(2026, 3, 9, 9, 40, tzinfo=UTC),
            datetime(2026, 3, 9, 9, 40, tzinfo=UTC),
        ]  # fmt: skip

    def test_nested_json_has_dotted_columns(self):
        line = {"id": "a", "time": "2026-03-09T09:40:00Z", "meta": {"gen": {"model": "m-1"}}, "tags": ["x"]}
        preview = preview_table(
            io.BytesIO((json.dumps(line) + "\n" + json.dumps(line | {"id": "b"})).encode()), "t.jsonl"
        )
        assert "meta.gen.model" in preview.columns
        assert ("meta.gen.model", "facet", "model") in [(u.column, u.role, u.name) for u in preview.guess.uses]

    @pytest.mark.parametrize(
        ("uses", "said"),
        [
            ([("a", "id")], "holds the time"),
            ([("a", "id"), ("b", "id"), ("c", "timestamp")], "Two columns are read as “trace id”"),
            ([("a", "id"), ("c", "timestamp"), ("d", "score", "")], "Give the score"),
            ([("a", "id"), ("c", "timestamp"), ("d", "score", "x"), ("e", "score", "x")], "a name of its own"),
            ([("a", "id"), ("c", "timestamp"), ("d", "wizard")], "no role"),
        ],
    )
    def test_a_mapping_that_cannot_work_says_why(self, uses, said):
        with pytest.raises(UserError, match=said):
            mapping(*uses)

    def test_a_mapping_goes_through_json_and_back(self):
        chosen = mapping(*PLAIN, ("region", "facet", "region"), assume_utc=True)
        assert mapping_of(json.loads(json.dumps(chosen.to_json()))) == chosen
        for broken in (None, {}, {"columns": [1]}, {"columns": [{"column": 3}]}):
            with pytest.raises(UserError):
                mapping_of(broken)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
    def test_no_bytes_do_more_than_be_refused(self, data):
        try:
            preview = preview_table(io.BytesIO(data), "fuzz.csv")
            read_mapped(data, "fuzz.csv", preview.guess, keep_good=True)
        except UserError as error:
            assert str(error)
        except StopIteration:
            pytest.fail("a guess without id or time must be refused in words")


def _parquet(rows: list[dict]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


class TestParquet:
    """Blob exports as Parquet, and tables of one's own."""

    ROWS = [  # noqa: RUF012
        {
            "id": f"o{number}", "trace_id": f"t{number // 2}", "project_id": "p", "type": "SPAN", "name": "answer",
            "start_time": datetime(2026, 3, 9, 9, number, tzinfo=UTC), "end_time": datetime(2026, 3, 9, 10, tzinfo=UTC),
            "metadata": {"region": "eu"}, "level": "DEFAULT",
        }
        for number in range(6)
    ]  # fmt: skip

    def test_a_blob_export_reads_like_its_jsonl(self):
        parsed = read_file(_parquet(self.ROWS), "observations.parquet")
        assert [record.external_id for record in parsed.records] == ["t0", "t1", "t2"]
        assert len(parsed.records[0].observations) == 2
        assert parsed.records[0].facets["region"] == "eu"

    def test_repeated_rows_count_once(self):
        parsed = read_file(_parquet([*self.ROWS, *self.ROWS]), "observations.parquet")
        assert [len(record.observations) for record in parsed.records] == [2, 2, 2]

    def test_a_damaged_or_huge_file_is_refused_in_words(self):
        whole = _parquet(self.ROWS)
        with pytest.raises(UserError, match="damaged Parquet"):
            read_file(whole[:-30], "observations.parquet")
        with pytest.raises(UserError, match="holds more than"):
            list(parquet_rows(io.BytesIO(whole), "observations.parquet", max_bytes=100))

    def test_a_table_of_ones_own_is_mapped(self):
        preview = preview_table(io.BytesIO(_parquet(self.ROWS)), "mine.parquet")
        table = read_mapped(_parquet(self.ROWS), "mine.parquet", preview.guess, keep_good=True)
        assert len(table.records) == 6


@pytest.fixture
def reviewer(db):
    return make_person("Priya Nair", Role.REVIEWER)


@pytest.fixture
def incident(db):
    return make_incident()


class TestStored:
    """What an import keeps."""

    def test_the_files_own_bytes_and_what_was_read_are_both_kept(self, incident, reviewer):
        chosen = preview_table(io.BytesIO(CSV), "export.csv").guess
        outcome = import_table(
            incident=incident, by=reviewer, filename="export.csv", data=CSV, mapping=chosen, keep_good=False
        )
        assert outcome.trace_count == 3
        stored = [read_blob(blob) for blob in outcome.blobs.all()]
        assert CSV in stored
        reading = trace_reading(Trace.objects.get(external_id="r-2"))
        assert reading.output == '=HYPERLINK("x")'
        assert AuditEntry.objects.filter(action="evidence.mapped").count() == 1
        again = import_table(
            incident=incident, by=reviewer, filename="export.csv", data=CSV, mapping=chosen, keep_good=False
        )
        assert again.trace_count == 0

    def test_a_refused_file_leaves_nothing(self, incident, reviewer):
        with pytest.raises(UserError):
            import_table(
                incident=incident, by=reviewer, filename="t.csv", data=CSV.replace(b"r-3", b"r-1"),
                mapping=mapping(*PLAIN), keep_good=False,
            )  # fmt: skip
        assert not Trace.objects.exists()
        assert not EvidenceImport.objects.exists()

    def test_a_viewer_may_not(self, incident, db):
        viewer = make_person("Vera Viewer", Role.VIEWER)
        with pytest.raises(PermissionDenied):
            keep_draft(incident=incident, by=viewer, filename="t.csv", file=io.BytesIO(CSV))
        with pytest.raises(PermissionDenied):
            save_mapping(by=viewer, name="x", mapping=mapping(*PLAIN))


class TestPages:
    """From the upload over the preview to the evidence."""

    def test_upload_try_import_and_use_again(self, client, incident, reviewer):
        client.force_login(reviewer)
        new = reverse("mapping-new", args=[incident.number])
        assert "Show the first rows" in client.get(new).content.decode()
        shown = client.post(new, {"file": SimpleUploadedFile("export.csv", CSV)}, follow=True)
        assert "What is each column of export.csv?" in shown.content.decode()
        draft = Upload.objects.get()
        assert open_upload(draft).read() == CSV
        address = reverse("mapping", args=[incident.number, draft.pk])
        refused = client.post(address, {"role-0": "id", "do": "import"})
        assert refused.status_code == 400
        assert "Say which column holds the time" in refused.content.decode()
        typed = {"role-0": "id", "role-1": "timestamp", "role-4": "facet", "name-4": "", "role-6": "score"}
        tried = client.post(address, typed | {"do": "try"}).content.decode()
        assert "3 rows, 0 cannot be read" in tried
        done = client.post(address, typed | {"do": "import", "save_as": "Our export"}, follow=True).content.decode()
        assert "export.csv: 3 traces" in done
        assert Trace.objects.get(external_id="r-1").facets == {"region": "eu"}
        assert not Upload.objects.exists()
        assert SavedMapping.objects.get().name == "Our export"
        shown = client.post(new, {"file": SimpleUploadedFile("next.csv", CSV)}, follow=True)
        used = client.get(shown.redirect_chain[-1][0], {"saved": "Our export"})
        chosen = {column: use.role for column, _, use in used.context["columns"] if use}
        assert chosen == {"request_id": "id", "created_at": "timestamp", "region": "facet", "grounded": "score"}

    def test_rows_left_out_are_told(self, client, incident, reviewer):
        client.force_login(reviewer)
        draft = keep_draft(
            incident=incident, by=reviewer, filename="t.csv",
            file=io.BytesIO(CSV.replace(b"2026-03-09T09:41:00Z", b"never")),
        )  # fmt: skip
        typed = {"role-0": "id", "role-1": "timestamp", "do": "import", "faults": "skip"}
        page = client.post(reverse("mapping", args=[incident.number, draft.pk]), typed, follow=True).content.decode()
        assert "2 traces" in page
        assert "1 row left out" in page
        assert "line 3" in page

    def test_another_persons_draft_is_not_found(self, client, incident, reviewer):
        draft = keep_draft(incident=incident, by=reviewer, filename="t.csv", file=io.BytesIO(CSV))
        client.force_login(make_person("Anna Other", Role.REVIEWER))
        assert client.get(reverse("mapping", args=[incident.number, draft.pk])).status_code == 404


def test_the_api_previews_imports_and_keeps_mappings(incident, reviewer):
    api = Api(reviewer, incident.number)
    preview = api.ask("post", "./evidence/table/preview/", {"file": _file()}, format="multipart")
    assert preview["columns"]["region"] == ["eu", "us"]
    body = {"name": "ours", "mapping": preview["guess"]}
    assert api.ask("post", "mappings/", body, expect=201)["name"] == "ours"
    assert api.get("mappings/")["results"][0]["made_by"] == "Priya Nair"
    made = api.ask("post", "./evidence/table/", {"file": _file(), "saved": "ours"}, expect=201, format="multipart")
    assert (made["added"], made["fault_count"]) == (3, 0)
    refused = {"file": _file(), "mapping": "{"}
    assert "not JSON" in json.dumps(api.ask("post", "./evidence/table/", refused, expect=400, format="multipart"))


def _file():
    return SimpleUploadedFile("export.csv", CSV)
