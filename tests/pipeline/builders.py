"""Runs, and a trace source that serves what a test tells it to."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from postmortem.pipeline import background, import_changes, import_evidence
from postmortem.pipeline.models import Run
from postmortem.traces.langfuse_source import FetchedTrace
from postmortem.traces.models import Connection
from postmortem.traces.records import SourcePage, TraceRecord
from postmortem.traces.source_window import WindowPage
from tests.builders import make_incident

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
BASE = "https://langfuse.example.org"
LINK = f"{BASE}/project/p1/traces/anchor"


def make_run(*, incident=None, kind=Run.Kind.ATTRIBUTE, **fields):
    incident = incident or make_incident()
    fields.setdefault("started_by", incident.created_by)
    return Run.objects.create(incident=incident, kind=kind, **fields)


def make_connection(**fields):
    defaults = {
        "name": "Production",
        "base_url": BASE,
        "project_id": "p1",
        "public_key": "pk",
        "secret_key_encrypted": b"",
    }
    return Connection.objects.create(**(defaults | fields))


def make_record(external_id, *, minutes=0, **fields):
    fields.setdefault("facets", {"release": "1"})
    return TraceRecord(
        external_id=external_id, timestamp=NOON + timedelta(minutes=minutes), name="answer", environment="production",
        **fields,
    )  # fmt: skip


class FakeSource:
    """A project whose window has `pages` pages of ten traces. `faults` maps a page to the error it raises once."""

    def __init__(self, *, pages=4, faults=None, prompts=()):
        self.pages, self.faults, self.prompts = pages, dict(faults or {}), list(prompts)
        self.asked: list[int] = []
        self.before_page = lambda number: None

    def fetch_trace(self, trace_id, timestamp=None):
        if error := self.faults.pop("trace", None):
            raise error
        return FetchedTrace(make_record(trace_id), [b'{"id": "%s"}' % trace_id.encode()])

    def iter_window(self, query, cursor=None):
        self.query, cap = query, query.cap
        self.window = (query.name, query.environment, query.start, query.end, cap)
        for number in range(int((cursor or {}).get("page", 0)), self.pages):
            self.before_page(number)
            if error := self.faults.pop(number, None):
                raise error
            self.asked.append(number)
            records = [make_record(f"t{number}-{i}", minutes=number * 10 + i) for i in range(10)]
            last = number + 1 == self.pages
            yield WindowPage(
                records, [SourcePage(b"page %d" % number, frozenset(r.external_id for r in records))],
                None if last else {"page": number + 1}, (number + 1) / self.pages, (number + 1) * 10, last and cap < 50,
            )  # fmt: skip

    def iter_session(self, session_id, timestamp=None, cursor=None):
        self.session = session_id
        for number in range(int((cursor or {}).get("done", 0)), 3):
            if error := self.faults.pop(f"session {number}", None):
                raise error
            record = make_record(f"{session_id}-{number}", minutes=number)
            rest = None if number == 2 else {"done": number + 1}
            yield WindowPage([record], [b"trace %d" % number], rest, (number + 1) / 3, number + 1)

    def list_prompt_versions(self):
        return self.prompts


def serve(monkeypatch: pytest.MonkeyPatch, source: FakeSource) -> None:
    """Make every stage read from `source` instead of a server."""

    @contextmanager
    def opened(connection):
        yield source

    monkeypatch.setattr(import_evidence, "open_source", opened)
    monkeypatch.setattr(import_changes, "open_source", opened)


def use_stage(monkeypatch: pytest.MonkeyPatch, stage, kind=Run.Kind.ATTRIBUTE) -> None:
    """Let runs of `kind` do `stage(run, progress)`."""
    monkeypatch.setitem(background.STAGES, kind, (stage, background.STAGES[kind][1]))


def work_once():
    return background.work(once=True, worker="test")
