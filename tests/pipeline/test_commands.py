"""The commands do what the pages do, on behalf of a person who may."""

import gzip
import json

import pytest
from django.core.management import CommandError, call_command

from postmortem.accounts.models import Role
from postmortem.changes.models import Change
from postmortem.incidents.models import Visibility
from postmortem.pipeline.models import Run
from postmortem.traces.langfuse_source import UnknownTrace
from tests.builders import make_incident, make_person
from tests.pipeline.builders import LINK, FakeSource, make_connection, make_run, serve, use_stage

pytestmark = pytest.mark.django_db
CHANGE = '{"id": "infra-1", "layer": "infrastructure", "at": "2026-03-09T10:00:00Z"}\n'


@pytest.fixture
def incident():
    return make_incident(by=make_person("Ada Admin", Role.ADMINISTRATOR))


def said(capsys):
    return capsys.readouterr().out.strip()


class TestOnWhoseBehalf:
    def test_the_first_active_administrator(self, incident, tmp_path):
        file = tmp_path / "changes.jsonl"
        file.write_text(CHANGE)
        make_person("Bea Admin", Role.ADMINISTRATOR)
        call_command("import_changes", incident.number, file)
        assert Change.objects.get().added_by == incident.created_by

    def test_a_named_person_with_that_persons_rights(self, incident, tmp_path):
        make_person("Vera Viewer", Role.VIEWER)
        file = tmp_path / "changes.jsonl"
        file.write_text(CHANGE)
        with pytest.raises(CommandError, match="You may not import evidence or changes"):
            call_command("import_changes", incident.number, file, by="vera.viewer@example.org")
        assert not Change.objects.exists()

    def test_an_incident_that_the_person_may_not_see_is_unknown(self, incident, tmp_path):
        make_person("Rui Reviewer")
        type(incident).objects.update(visibility=Visibility.PARTICIPANTS)
        with pytest.raises(CommandError, match="Rui Reviewer sees no incident INC-2026-0001"):
            call_command("import_changes", incident.number, tmp_path / "c.jsonl", by="rui.reviewer@example.org")

    def test_nobody(self, db, tmp_path):
        with pytest.raises(CommandError, match="no active administrator"):
            call_command("import_changes", "INC-2026-0001", tmp_path / "c.jsonl")
        with pytest.raises(CommandError, match=r"Nobody active has the e-mail x@example\.org"):
            call_command("import_changes", "INC-2026-0001", tmp_path / "c.jsonl", by="x@example.org")


class TestImportChanges:
    def test_files_one_after_the_other_and_twice(self, incident, tmp_path, capsys):
        first, second = tmp_path / "a.jsonl", tmp_path / "b.csv"
        first.write_text(CHANGE)
        second.write_text("id,layer,at\nmodel-1,model,2026-03-09T10:00:00Z\n")
        call_command("import_changes", incident.number, first, second)
        assert said(capsys) == (
            "a.jsonl: 1 added, 0 were there already.\nb.csv: 1 added, 0 were there already."
        )  # fmt: skip
        first.write_text(CHANGE.replace("T10", "T11"))
        call_command("import_changes", incident.number, first, second)
        assert said(capsys).startswith("a.jsonl: 0 added, 0 were there already, 1 differ from what is stored: infra-1.")

    def test_one_clear_line(self, incident, tmp_path, capsys):
        with pytest.raises(CommandError, match="cannot be read: No such file"):
            call_command("import_changes", incident.number, tmp_path / "none.jsonl")
        bad = tmp_path / "bad.jsonl"
        bad.write_text(CHANGE + "{\n")
        with pytest.raises(CommandError, match=r"line 2: this is not JSON"):
            call_command("import_changes", incident.number, bad)
        assert not Change.objects.exists()
        call_command("import_changes", incident.number, bad, keep_good=True)
        assert said(capsys) == (
            "bad.jsonl: 1 added, 0 were there already.\n1 entry left out:\n"
            "  bad.jsonl, line 2: this is not JSON; write one change a line as a JSON object."
        )


class TestImportTrace:
    def test_a_link_is_waited_for(self, incident, monkeypatch, capsys):
        make_connection()
        serve(monkeypatch, FakeSource())
        call_command("import_trace", incident.number, link=LINK)
        assert said(capsys).endswith("The trace is stored. 40 more traces “answer” in production came with its window.")
        assert incident.traces.count() == 41

    def test_what_went_wrong(self, incident, monkeypatch):
        make_connection()
        serve(monkeypatch, FakeSource(faults={"trace": UnknownTrace("There is no such trace.")}))
        with pytest.raises(CommandError, match="There is no such trace"):
            call_command("import_trace", incident.number, link=LINK)

    def test_a_file(self, incident, tmp_path, capsys):
        lines = [
            {"id": f"t{n}", "timestamp": "2026-03-09T10:00:00Z", "facets": {"release": "1"}, "scores": {"ok": 1.0}}
            for n in range(3)
        ]
        file = tmp_path / "traces.jsonl.gz"
        file.write_bytes(gzip.compress("\n".join(json.dumps(line) for line in lines).encode()))
        call_command("import_trace", incident.number, file=file)
        assert said(capsys) == "3 new traces with 3 scores."
        call_command("import_trace", incident.number, file=file)
        assert said(capsys) == "0 new traces with 0 scores."


class TestWork:
    def test_once_ends_when_nothing_is_due(self, monkeypatch, capsys):
        use_stage(monkeypatch, lambda run, progress: "Done.")
        incident = make_incident()
        for number in range(3):
            make_run(incident=incident, payload={"n": number})
        call_command("work", once=True)
        assert said(capsys) == "Runs executed: 3."
        assert set(Run.objects.values_list("state", flat=True)) == {"done"}


class TestExportReport:
    @pytest.mark.parametrize(
        ("form", "begins"), [("json", b"{"), ("md", b"#"), ("html", b"<!doctype html>"), ("pdf", b"%PDF-")]
    )
    def test_a_draft_in_every_format(self, incident, tmp_path, form, begins):
        file = tmp_path / f"report.{form}"
        call_command("export_report", incident.number, view="brief", format=form, output=str(file))
        assert file.read_bytes()[: len(begins)].lower() == begins.lower()

    def test_one_clear_line(self, incident, tmp_path):
        with pytest.raises(CommandError, match="no published version 3"):
            call_command("export_report", incident.number, published=3, output=str(tmp_path / "r.pdf"))
        with pytest.raises(CommandError, match="cannot be written: Is a directory"):
            call_command("export_report", incident.number, format="json", output=str(tmp_path))
