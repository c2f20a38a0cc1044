"""Command, REST and page give the same document, and say the same when there is none."""

import os
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.pipeline import background
from postmortem.pipeline.models import Run
from postmortem.report.documents import FORMATS, VIEWS
from postmortem.report.external import AUDIENCES
from postmortem.report.services import publish
from tests.api.client import Api
from tests.builders import make_incident, make_person
from tests.report.builders import make_publishable

TYPES = {"pdf": "application/pdf", "html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8",
         "json": "application/json", "csv": "text/csv; charset=utf-8"}  # fmt: skip


@pytest.fixture
def incident(db):
    made = make_publishable()
    publish(incident=made, by=made.created_by)
    make_person("Ada Admin", Role.ADMINISTRATOR)
    return made


def by_command(incident, folder, **options):
    file = folder / "document"
    call_command("export_report", incident.number, output=str(file), **options)
    return file.read_bytes()


CHOICES = {"1": {"published": 1}, "latest": {}, "draft": {"draft": True}}
QUICK = [(view, form, audience) for view in VIEWS for form in ("html", "md") for audience in AUDIENCES]
# A PDF takes a second, and assembling a draft a good part of one: some of them stand for all.
DOCUMENTS = {
    "1": [*QUICK, ("annex", "csv", "external"), ("brief", "json", "internal"), ("brief", "pdf", "external")],
    "latest": [("full", "md", "internal")],
    "draft": [("full", form, "external") for form in FORMATS if form != "pdf"],
}


@pytest.mark.parametrize("version", CHOICES)
def test_every_door_gives_the_same_document(incident, client, tmp_path, version):
    documents = DOCUMENTS[version]
    client.force_login(incident.created_by)
    api, patient = (Api(incident.created_by, incident.number).client for _ in range(2))
    patient.credentials(**patient._credentials, HTTP_PREFER="respond-async")
    for view, form, audience in documents:
        address = f"/api/incidents/{incident.number}/reports/{version}/{view}.{form}?audience={audience}"
        place = patient.get(address)
        assert place.status_code == 202 and place["Location"] == place.json()["url"]
    background.work(once=True)
    for view, form, audience in documents:
        address = f"/api/incidents/{incident.number}/reports/{version}/{view}.{form}?audience={audience}"
        wanted = by_command(incident, tmp_path, view=view, format=form, audience=audience, **CHOICES[version])
        name, more = ("report-draft", []) if version == "draft" else ("report-version", [1])
        run = Run.objects.filter(payload__view=view, payload__form=form, payload__audience=audience).latest("pk")
        answers = [
            api.get(address),
            api.get(f"/api/incidents/{incident.number}/renderings/{run.pk}/"),
            client.get(reverse(name, args=[incident.number, *more, view, form]), {"audience": audience}),
        ]
        what = {"json": "record", "csv": "actions"}.get(form, view)
        ending = ("-external" if audience == "external" else "") + ("-draft" if version == "draft" else "-v1")
        for answer in answers:
            assert (answer.status_code, answer["Content-Type"]) == (200, TYPES[form])
            assert answer["Content-Disposition"].endswith(f'filename="{incident.number}-{what}{ending}.{form}"')
            assert answer.content == wanted


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"published": 99}, "INC-2026-0007 has no published version 99: the latest is 1."),
        ({"output": "none/such/r.md"}, "The folder none/such does not exist; make it first."),
        ({"output": "/"}, "/ cannot be written: Is a directory."),
        ({"by": "nobody@example.org"}, "Nobody active has the e-mail nobody@example.org; name somebody with --by."),
    ],
)
def test_the_command_says_in_a_sentence_what_is_wrong(incident, options, told):
    with pytest.raises(CommandError) as error:
        call_command("export_report", incident.number, format="md", **{"output": "r.md"} | options)
    assert str(error.value) == told
    assert not Path("r.md").exists()


def test_rest_says_in_a_sentence_what_is_wrong(incident, db):
    api = Api(incident.created_by, incident.number)
    assert "There is no view “nope”" in str(api.get("./reports/1/nope.md", expect=404))
    assert "There is no format “doc”" in str(api.get("./reports/1/full.doc", expect=404))
    assert "There is no audience “press”" in str(api.get("./reports/1/full.md?audience=press", expect=400))
    api.get("./reports/99/full.md", expect=404)
    unpublished = Api(incident.created_by, make_incident("INC-2026-0008", by=incident.created_by).number)
    assert "Nothing of INC-2026-0008 is published" in str(unpublished.get("./reports/latest/full.md", expect=404))


def test_a_reader_who_goes_away_gets_a_sentence_not_a_traceback(incident, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(CommandError) as error:
            call_command("export_report", incident.number, format="json", output="-")
    assert str(error.value) == "Standard output did not take the whole document: Broken pipe."
