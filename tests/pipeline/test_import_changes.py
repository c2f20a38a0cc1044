"""Prompt versions pulled in the background."""

import pytest

from postmortem.changes.models import Change
from postmortem.lib.errors import UserError
from postmortem.pipeline.models import Run
from postmortem.pipeline.services import start_attribution, start_prompt_pull
from postmortem.traces.langfuse_source import PromptVersion
from postmortem.traces.services import read_blob
from tests.builders import make_incident
from tests.pipeline.builders import NOON, FakeSource, make_connection, serve, work_once

pytestmark = pytest.mark.django_db
PROMPTS = [
    PromptVersion("answer", number, NOON, ("production",), "Shorter", "priya", b'{"version": %d}' % number)
    for number in (1, 2)
]


def pull(incident, connection):
    run = start_prompt_pull(incident=incident, by=incident.created_by, connection=connection)
    work_once()
    run.refresh_from_db()
    return run


def test_each_version_becomes_a_change_with_its_own_bytes_once(monkeypatch):
    serve(monkeypatch, FakeSource(prompts=PROMPTS))
    incident, connection = make_incident(), make_connection()
    run = pull(incident, connection)
    assert (run.state, run.message) == (Run.State.DONE, "2 prompt versions added, 0 were there already.")
    change = Change.objects.get(external_id="prompt:answer:2")
    assert (change.source, change.from_version, change.to_version) == (Change.Source.LANGFUSE, "1", "2")
    assert read_blob(change.raw) == b'{"version": 2}'
    assert pull(incident, connection).message == "0 prompt versions added, 2 were there already."


def test_a_connection_that_was_deleted_meanwhile(monkeypatch):
    serve(monkeypatch, FakeSource())
    connection = make_connection()
    incident = make_incident()
    start_prompt_pull(incident=incident, by=incident.created_by, connection=connection)
    connection.delete()
    work_once()
    assert Run.objects.get().message == "This connection is gone; choose another one."


def test_an_attribution_needs_a_signal_and_traces():
    incident = make_incident()
    with pytest.raises(UserError, match="Choose the signal"):
        start_attribution(incident=incident, by=incident.created_by)
    incident.signal = "success"
    with pytest.raises(UserError, match="no traces yet"):
        start_attribution(incident=incident, by=incident.created_by)
