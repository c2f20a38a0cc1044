"""The command that reads a filtered window, and what is new since an import."""

import re

import pytest
from django.core.management import CommandError, call_command

from postmortem.pipeline.models import Run
from postmortem.traces.models import EvidenceImport
from tests.builders import make_incident, make_person
from tests.pipeline.builders import FakeSource, make_connection, serve

pytestmark = pytest.mark.django_db
SPAN = {"start": "2026-03-09T00:00:00Z", "end": "2026-03-10T00:00:00Z"}


@pytest.fixture
def incident():
    make_person("Olga Admin", "administrator")
    return make_incident()


def test_filters_reach_the_source_and_the_end_is_waited_for(incident, monkeypatch, capsys):
    make_connection()
    source = FakeSource()
    serve(monkeypatch, source)
    call_command(
        "pull_window", incident.number, only_name="answer", tag=["beta", "eu"], score="grounded <= 0.5", cap=40, **SPAN
    )
    assert "40 new traces “answer”, tagged beta, eu, score grounded <= 0.5 came" in capsys.readouterr().out
    query = source.query
    assert (query.name, query.tags, query.cap, query.score.operator) == ("answer", ("beta", "eu"), 40, "<=")
    assert incident.traces.count() == 40


def test_what_is_new_since_an_import(incident, monkeypatch, capsys):
    make_connection()
    serve(monkeypatch, FakeSource())
    call_command("pull_window", incident.number, only_release="4", **SPAN)
    capsys.readouterr()
    call_command("pull_window", incident.number, list=True)
    listed = capsys.readouterr().out
    assert "Filtered window: release 4, 40 traces, read to 2026-03-10" in listed
    call_command("pull_window", incident.number, again=int(re.match(r"[0-9]+", listed)[0]))
    assert "Nothing new" in capsys.readouterr().out
    assert Run.objects.count() == 2


@pytest.mark.parametrize(("options", "said"), [
    ({"score": "grounded"}, "Write the score like"),
    ({"score": "grounded < high", **SPAN}, "a number"),
    ({"start": "yesterday", "only_name": "x"}, "is not a date and time"),
    ({"only_name": "x"}, "Say from when"),
    ({"again": 99}, "has no import 99"),
    ({"connection": "Staging", **SPAN}, "there is Production"),
])  # fmt: skip
def test_what_is_wrong_is_one_line(incident, options, said):
    make_connection()
    with pytest.raises(CommandError, match=said):
        call_command("pull_window", incident.number, **options)
    assert not EvidenceImport.objects.exists()
