"""The same bad file at every door: page, REST and command say one sentence, and store nothing or the good rows."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.attribution.wording import plural
from postmortem.traces.mapped import ColumnUse, checked_mapping
from postmortem.traces.models import EvidenceBlob, EvidenceImport, Score, Trace
from postmortem.traces.selectors import trace_reading
from postmortem.traces.services import read_blob
from postmortem.traces.table_import import save_mapping
from tests.api.client import Api
from tests.builders import make_incident, make_person

pytestmark = pytest.mark.django_db
AT = "2026-03-09T09:00:00Z"
GOOD = {"id": "good", "timestamp": AT, "facets": {"region": "eu"}, "scores": {"quality": 0.5}, "input": "=1+1"}
ROW = b'{"id": "bad", "timestamp": "2026-03-09T09:00:00Z", "facets": {}'


def line(**fields: Any) -> bytes:
    return json.dumps(GOOD | fields).encode()


FIRST = line() + b"\n"
LONG = b"".join(line(id=f"t{number}", input=f"{number * 7919:x}" * 9) + b"\n" for number in range(300))
BAD = {
    "truncated gz": (gzip.compress(LONG, mtime=0)[:-400], "breaks off in the middle"),
    "10,000 levels": (FIRST + ROW + b', "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested more than 100 levels"),
    "NaN": (FIRST + ROW + b', "scores": {"quality": NaN}}', "line 2: “scores.quality” is not a finite number"),
    "1e400": (FIRST + ROW + b', "latency": 1e400}', "line 2: “latency” is not a finite number"),
    "Latin-1": (FIRST + '{"id": "grün"}'.encode("latin-1"), "line 2: this is not UTF-8 text (byte 0xfc"),
    "801 characters": (FIRST + line(id="x" * 801), "line 2: “id” has 801 characters"),
    "a key twice": (FIRST + ROW + b', "facets": {}}', "line 2: the field “facets” comes twice"),
    "no time": (FIRST + line(timestamp="soon"), "line 2: “timestamp” is “soon”, which is no time"),
    "NUL in an id": (FIRST + line(id="a\x00"), "line 2: “id” has a NUL character"),
}


@pytest.fixture
def person(db):
    return make_person("Ada Admin", Role.ADMINISTRATOR)


@pytest.fixture
def incident(person):
    return make_incident(by=person)


def enter(door: str, incident: Any, person: Any, data: bytes, folder: Path, *, keep_good: bool = False) -> str:
    """What a person is told at a door."""
    name = "rows.jsonl.gz" if data[:2] == b"\x1f\x8b" else "rows.jsonl"
    if door == "page":
        client = Client()
        client.force_login(person)
        body = {"file": SimpleUploadedFile(name, data), "faults": "skip" if keep_good else "refuse"}
        answer = client.post(reverse("evidence-upload", args=[incident.number]), body, follow=True)
        return answer.content.decode().replace("&quot;", '"')
    if door == "REST":
        client = Api(person, incident.number).client
        body = {"file": SimpleUploadedFile(name, data), "keep_good": str(keep_good)}
        answer = client.post(f"/api/incidents/{incident.number}/evidence/file/", body, format="multipart")
        assert answer.status_code in {201, 400}
        return json.dumps(answer.json(), ensure_ascii=False)
    path = folder / name
    path.write_bytes(data)
    try:
        call_command("import_trace", incident.number, "--file", str(path), *(["--keep-good"] if keep_good else []))
    except CommandError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("door", ["page", "REST", "command"])
def test_a_bad_file_says_why_and_leaves_nothing_or_its_good_rows(door, incident, person, tmp_path, capsys):
    for what, (data, sentence) in BAD.items():
        said = enter(door, incident, person, data, tmp_path)
        assert sentence in said, what
        assert "rows.jsonl" in said, what
        for model in (Trace, Score, EvidenceImport, EvidenceBlob):
            assert not model.objects.exists(), what
    for what, (data, sentence) in BAD.items():
        said = enter(door, incident, person, data, tmp_path, keep_good=True) + capsys.readouterr().out
        assert sentence in said, what
        assert EvidenceImport.objects.order_by("-pk")[0].left_out >= 1, what
    good = Trace.objects.get(external_id="good")
    assert good.scores.get().value == 0.5
    assert trace_reading(good).input == "=1+1"  # a formula is text here
    assert not Trace.objects.filter(external_id__in=["bad", "a"]).exists()


@pytest.mark.parametrize("door", ["page", "REST", "command"])
def test_odd_files_that_can_be_read_are(door, incident, person, tmp_path, capsys):
    odd = {
        "800": line(id="x" * 800),
        "utf-16": line(id="wide").decode().encode("utf-16"),
        "mark": b"\xef\xbb\xbf" + line(id="marked"),
        "half": ROW.replace(b"bad", b"half") + b', "input": "a\\ud800b\\u0000c"}',
        "naive": line(id="naive", timestamp="2026-03-09 09:00:00"),
        "ahead": line(id="ahead", timestamp="2099-01-01T00:00:00Z"),
    }
    said = "".join(enter(door, incident, person, data, tmp_path) for data in odd.values()) + capsys.readouterr().out
    assert Trace.objects.count() == len(odd)
    assert Trace.objects.get(external_id="half").input_preview == "a\ufffdb\ufffdc"
    assert "One time is without its zone (the first in line 1); read as UTC" in said
    assert "begins in the future" in said
    for blob in EvidenceBlob.objects.all():
        assert read_blob(blob)


@pytest.mark.parametrize("door", ["page", "REST"])
def test_an_upload_that_is_too_large_is_cut_off_while_it_comes(door, incident, person, settings, tmp_path, monkeypatch):
    settings.IMPORT_MAX_FILE_BYTES = 300_000
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1_000
    kept = []
    from django.core.files.uploadhandler import TemporaryFileUploadHandler

    plain = TemporaryFileUploadHandler.receive_data_chunk
    monkeypatch.setattr(
        TemporaryFileUploadHandler,
        "receive_data_chunk",
        lambda self, data, start: (kept.append(len(data)), plain(self, data, start))[1],
    )
    said = enter(door, incident, person, FIRST * 20_000, tmp_path)
    assert "rows.jsonl has more than 0 MB, the most that one file may have" in said
    assert sum(kept) <= 300_000
    assert not Trace.objects.exists()


def test_the_command_reads_no_more_than_allowed(incident, person, settings, tmp_path):
    settings.IMPORT_MAX_FILE_BYTES = 300_000
    assert "holds more than 0 MB" in enter("command", incident, person, FIRST * 20_000, tmp_path)


def test_scores_come_after_their_traces(incident, person, tmp_path, capsys):
    score = {"id": "s1", "traceId": "good", "name": "helpful", "value": 1, "dataType": "NUMERIC", "source": "API"}
    data = json.dumps(score).encode() + b"\n" + json.dumps(score | {"id": "s2", "traceId": "nowhere"}).encode()
    assert "holds scores but no traces" in enter("command", incident, person, data, tmp_path)
    enter("command", incident, person, FIRST, tmp_path)
    for added in (1, 0):
        assert enter("command", incident, person, data, tmp_path) == ""
        assert f"0 new traces with {plural(added, 'score')}" in capsys.readouterr().out
        assert EvidenceImport.objects.last().notes == [
            "Scores of one trace that is not here were left out; upload the traces first."
        ]
    assert Trace.objects.get().scores.count() == 2


def test_the_command_reads_a_table_by_a_saved_mapping(incident, person, tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text("request;when;tier\nr-1;2026-03-09T09:00:00Z;gold\nr-2;yesterday;gold\n")
    uses = [ColumnUse("request", "id"), ColumnUse("when", "timestamp"), ColumnUse("tier", "facet", "segment")]
    save_mapping(by=person, name="mine", mapping=checked_mapping(uses, assume_utc=False))
    table = ["import_trace", incident.number, "--file", str(path), "--mapping"]
    with pytest.raises(CommandError, match="There is no saved mapping “theirs”"):
        call_command(*table, "theirs")
    with pytest.raises(CommandError, match=r"mine\.csv, line 3: column “when”: “yesterday” is no date"):
        call_command(*table, "mine")
    assert not Trace.objects.exists()
    call_command(*table, "mine", "--keep-good")
    assert "1 row left out" in capsys.readouterr().out
    assert Trace.objects.get().facets == {"segment": "gold"}
