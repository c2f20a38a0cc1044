"""Large files: a run imports them from the database's own copy, behind every door; small ones are there at once."""

import io
import json
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.pipeline import background, services
from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import Cancelled
from postmortem.traces import piecewise, spill
from postmortem.traces.kept_uploads import PART_BYTES, forget_old_uploads, keep_upload, open_upload
from postmortem.traces.mapped import preview_table
from postmortem.traces.models import EvidenceImport, Trace, Upload, UploadPart
from postmortem.traces.services import import_file
from tests.api.client import Api
from tests.builders import make_incident, make_person

pytestmark = pytest.mark.django_db
CSV = b"request_id,created_at,region\nr-1,2026-03-09T09:40:00Z,eu\nr-2,2026-03-09T09:41:00Z,us\n"


@pytest.fixture
def incident():
    return make_incident()


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.FACILITATOR)


@pytest.fixture
def large(settings):
    """Every file is a large one."""
    settings.IMPORT_AT_ONCE_BYTES = 10


def rows(count, first=0):
    lines = [{"id": f"t{n}", "timestamp": "2026-03-09T09:00:00Z", "scores": {"ok": 1}, "facets": {}}
             for n in range(first, first + count)]  # fmt: skip
    return "\n".join(json.dumps(line) for line in lines).encode()


def start(incident, by, data=None, **how):
    return services.import_uploaded(
        incident=incident, by=by, filename="t.jsonl", file=io.BytesIO(data or rows(5)), **how
    )


class TestDoors:
    """The page, REST and the command ask the same function."""

    def test_a_small_file_is_there_at_once(self, incident, reviewer):
        assert start(incident, reviewer).trace_count == 5
        assert not Run.objects.exists()
        assert not Upload.objects.exists()

    def test_the_page_shows_the_run_and_then_the_traces(self, client, incident, reviewer, large):
        client.force_login(reviewer)
        address = reverse("evidence-upload", args=[incident.number])
        page = client.post(address, {"file": SimpleUploadedFile("t.jsonl", rows(5))}, follow=True).content.decode()
        assert "Import a file" in page
        assert "Evidence is on its way" in page
        assert not Trace.objects.exists()
        background.work(once=True)
        run = Run.objects.get()
        assert (run.state, run.message) == ("done", "t.jsonl: 5 traces, 5 scores.")
        assert "5 traces and 5 scores are in evidence" in client.get(
            reverse("evidence", args=[incident.number])
        ).content.decode()  # fmt: skip
        assert not UploadPart.objects.exists()

    def test_rest_answers_with_the_run(self, incident, reviewer, large):
        api = Api(reviewer, incident.number)
        body = {"file": SimpleUploadedFile("t.jsonl", rows(5))}
        told = api.ask("post", "./evidence/file/", body, expect=202, format="multipart")
        assert (told["kind"], told["state"]) == ("import_file", "queued")
        background.work(once=True)
        assert api.get(f"./runs/{told['id']}/")["state"] == "done"

    def test_the_command_waits_for_it(self, tmp_path, incident, reviewer, large, capsys):
        path = tmp_path / "t.jsonl"
        path.write_bytes(rows(5))
        call_command("import_trace", incident.number, file=path, by=reviewer.email)
        assert "t.jsonl: 5 traces, 5 scores." in capsys.readouterr().out
        assert Trace.objects.count() == 5

    def test_a_mapped_table(self, client, incident, reviewer, large):
        client.force_login(reviewer)
        new = reverse("mapping-new", args=[incident.number])
        client.post(new, {"file": SimpleUploadedFile("our.csv", CSV)})
        address = reverse("mapping", args=[incident.number, Upload.objects.get().pk])
        typed = {"role-0": "id", "role-1": "timestamp", "role-2": "facet", "do": "import"}
        assert client.post(address, typed).status_code == 302
        assert client.get(address).status_code == 404  # it waits for a worker now
        background.work(once=True)
        assert EvidenceImport.objects.get().origin == "our.csv (mapped)"
        assert Trace.objects.get(external_id="r-1").facets == {"region": "eu"}
        assert AuditEntry.objects.filter(action="evidence.mapped").count() == 1

    def test_a_mapped_table_over_rest(self, incident, reviewer, large):
        mapping = json.dumps(preview_table(io.BytesIO(CSV), "our.csv").guess.to_json())
        body = {"file": SimpleUploadedFile("our.csv", CSV), "mapping": mapping}
        Api(reviewer, incident.number).ask("post", "./evidence/table/", body, expect=202, format="multipart")
        background.work(once=True)
        assert Trace.objects.count() == 2


class TestRuns:
    """Breaks, cancelling, and files that are wrong."""

    def test_the_same_file_on_its_way_gets_no_second_run(self, incident, reviewer, large):
        assert start(incident, reviewer) == start(incident, reviewer)
        assert Upload.objects.count() == 1
        assert start(incident, reviewer, keep_good=True) != start(incident, reviewer)

    def test_a_wrong_file_stores_nothing_and_says_where(self, incident, reviewer, large):
        run = start(incident, reviewer, rows(5) + b'\n{"id": "x"}')
        background.work(once=True)
        run.refresh_from_db()
        assert run.state == "failed"
        assert run.message.startswith("t.jsonl, line 6: ")
        assert not EvidenceImport.objects.exists()
        assert not Trace.objects.exists()

    def test_cancelled_between_two_pieces_it_goes_on_later(self, incident, reviewer, large, monkeypatch):
        monkeypatch.setattr(spill, "STAGED_TOGETHER", 2)
        run = start(incident, reviewer, rows(6))
        storing = piecewise.store_traces

        def cancelling(*args, **kwargs):
            found = storing(*args, **kwargs)
            if Trace.objects.count() == 4:
                background.cancel(Run.objects.get(), reviewer)
                raise Cancelled  # what saving would raise, with the piece rolled back
            return found

        monkeypatch.setattr(piecewise, "store_traces", cancelling)
        background.execute(background.claim_next("w"))
        run.refresh_from_db()
        assert run.state in {"cancelled", "running"}
        Run.objects.filter(pk=run.pk).update(state="cancelled")
        imported = EvidenceImport.objects.get()
        assert (Trace.objects.count(), imported.trace_count, imported.finished) == (2, 2, False)
        monkeypatch.setattr(piecewise, "store_traces", storing)
        background.retry(run, reviewer)
        background.work(once=True)
        imported.refresh_from_db()
        assert (Trace.objects.count(), imported.trace_count, imported.score_count, imported.finished) == (6, 6, 6, True)
        assert EvidenceImport.objects.count() == 1

    def test_another_order_of_traces_is_noticed(self, incident, reviewer, large, monkeypatch):
        """As after an update of the product in the middle: looked at from the beginning, counted once."""
        monkeypatch.setattr(spill, "STAGED_TOGETHER", 2)
        run = start(incident, reviewer, rows(6))
        import_file(incident=incident, by=reviewer, filename="before.jsonl", data=rows(1))
        monkeypatch.setattr(piecewise, "finish_import", _break)
        background.execute(background.claim_next("w"))
        run.refresh_from_db()
        cursor = run.cursor
        cursor["place"] |= {"chunks": 2, "last": "another"}
        monkeypatch.undo()
        Run.objects.filter(pk=run.pk).update(cursor=cursor, not_before=utc_now())
        background.work(once=True)
        imported = EvidenceImport.objects.get(origin="t.jsonl")
        assert (imported.trace_count, imported.score_count, imported.finished) == (5, 5, True)
        assert Trace.objects.count() == 6

    def test_a_published_incident_takes_none(self, incident, reviewer, large):
        type(incident).objects.filter(pk=incident.pk).update(status="published")
        incident.refresh_from_db()
        with pytest.raises(UserError):
            start(incident, reviewer)
        assert not Upload.objects.exists()


class TestKept:
    """The bytes while they wait."""

    def test_they_are_read_in_any_order_part_by_part(self, incident, reviewer):
        data = bytes(range(256)) * (PART_BYTES // 256 * 2 + 5)
        upload = keep_upload(incident=incident, by=reviewer, filename="x", file=io.BytesIO(data), awaits="import")
        assert upload.parts.count() == 3
        with open_upload(upload) as file:
            assert file.read() == data
            for place in (PART_BYTES - 3, 5, 2 * PART_BYTES + 100):
                file.seek(place)
                assert file.read(9) == data[place : place + 9]
            assert file.seek(0, io.SEEK_END) == len(data)

    def test_a_preview_reads_the_head_alone(self, incident, reviewer, django_assert_max_num_queries):
        data = CSV + b"".join(b"r-%d,2026-03-09T09:40:00Z,%s\n" % (n, b"x" * 1000) for n in range(3, 5_000))
        upload = keep_upload(incident=incident, by=reviewer, filename="t.csv", file=io.BytesIO(data), awaits="mapping")
        with django_assert_max_num_queries(2):
            assert len(preview_table(open_upload(upload), "t.csv").rows) == 20

    def test_too_large_or_empty_leaves_nothing(self, settings, incident, reviewer):
        settings.IMPORT_MAX_FILE_BYTES = 100
        for data, said in ((b"x" * 101, "the most one file may have"), (b"", "is empty")):
            with pytest.raises(UserError, match=said):
                keep_upload(incident=incident, by=reviewer, filename="x", file=io.BytesIO(data), awaits="import")
        assert not Upload.objects.exists()

    def test_after_a_day_they_are_thrown_away(self, incident, reviewer, large):
        run = start(incident, reviewer)
        Upload.objects.update(made_at=utc_now() - timedelta(days=2))
        forget_old_uploads([run.payload["upload"]])
        assert Upload.objects.exists()
        forget_old_uploads()
        assert not UploadPart.objects.exists()
        background.work(once=True)
        run.refresh_from_db()
        assert "upload it again" in run.message


def _break(**_):
    raise ConnectionError("the worker broke")
