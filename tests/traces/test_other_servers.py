"""Phoenix and MLflow, from answers that their real servers gave (tests/servers has the same checks on live ones)."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.traces.connections import open_source
from postmortem.traces.files import parse_file
from postmortem.traces.links import TraceLink, parse_link
from postmortem.traces.mlflow_source import MlflowSource
from postmortem.traces.models import Connection
from postmortem.traces.phoenix_source import PhoenixSource
from postmortem.traces.secret_keys import encrypt
from postmortem.traces.server_rows import rows_of_answer
from postmortem.traces.source_http import AccessRefused, SourceError
from postmortem.traces.values import moment
from tests.servers import checks
from tests.servers.recorded import FOLDER, answering, replayed
from tests.servers.story import COUNT, trace_id

HEX = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("server", ["phoenix", "mlflow"])
@pytest.mark.parametrize("check", checks.ALL, ids=lambda check: check.__name__)
def test_recorded(server: str, check: Any) -> None:
    with replayed(server) as base:
        check(server, base)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (f"http://host:6006/projects/UHJv/traces/{HEX}?selectedSpanNodeId=x",
         TraceLink("http://host:6006", "UHJv", HEX, kind="phoenix")),
        (f"https://host/phx/projects/UHJv/spans/{HEX}", TraceLink("https://host/phx", "UHJv", HEX, kind="phoenix")),
        ("https://host/projects/UHJv/sessions/UHJvSes%3D%3D",
         TraceLink("https://host", "UHJv", session_id="UHJvSes==", kind="phoenix")),
        (f"https://host/redirects/traces/{HEX}", TraceLink("https://host", None, HEX, kind="phoenix")),
        ("https://host/redirects/sessions/s%2F1", TraceLink("https://host", None, session_id="s/1", kind="phoenix")),
        (f"http://host:5000/#/experiments/7/traces?selectedEvaluationId=tr-{HEX}",
         TraceLink("http://host:5000", "7", f"tr-{HEX}", kind="mlflow")),
        (f"http://host:5000/ml/#/experiments/7/traces/tr-{HEX}?x=1",
         TraceLink("http://host:5000/ml", "7", f"tr-{HEX}", kind="mlflow")),
        ("http://host:5000/#/experiments/7/chat-sessions/s%201",
         TraceLink("http://host:5000", "7", session_id="s 1", kind="mlflow")),
    ],
)  # fmt: skip
def test_links(link: str, expected: TraceLink) -> None:
    assert parse_link(link) == expected


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ("http://host:5000/#/experiments/7/traces", "leads to an experiment, not to one trace"),
        ("http://host:5000/#/experiments/7/runs", "leads to an experiment, not to one trace"),
        ("http://host:5000/#/models", "does not lead to a trace"),
        ("http://host:6006/projects/UHJv/traces", "does not lead to a trace"),
        ("http://host:6006/projects/UHJv/traces/" + "x" * 801, "longer than 800"),
    ],
)
def test_links_that_lead_to_no_trace(link: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_link(link)


@pytest.mark.parametrize(
    ("user", "secret", "header"),
    [("", "", None), ("", "token-1", "Bearer token-1"), ("ada", "pass", "Basic YWRhOnBhc3M=")],
)
def test_credentials_go_as_the_server_wants_them(user: str, secret: str, header: str | None) -> None:
    requests: list[dict[str, str]] = []
    with (
        replayed("phoenix", requests=requests) as base,
        checks.source_of("phoenix", base, user=user, secret=secret) as source,
    ):
        source.check()
    assert [request.get("authorization") for request in requests] == [header]


def test_a_refused_token_is_said() -> None:
    with (
        answering(lambda *_: {"status": 401, "headers": {}, "body": "Invalid token"}) as base,
        checks.source_of("phoenix", base, secret="old") as source,
        pytest.raises(AccessRefused, match="does not know these keys"),
    ):
        source.fetch_trace(trace_id(0))


def test_a_phoenix_that_does_not_sort_is_refused_rather_than_read_with_holes() -> None:
    recorded = json.loads((FOLDER / "phoenix.json").read_text())
    project = next(said for asked, said in recorded.items() if "/v1/projects/help-desk" in asked)
    spans = [json.loads(said["body"])["data"] for asked, said in recorded.items() if "/spans?trace_id=" in asked]
    page = {"data": sorted((row for rows in spans[:3] for row in rows), key=lambda row: row["start_time"])}

    def answer(method: str, path: str, body: str, headers: dict[str, str]) -> dict[str, Any]:
        return {"status": 200, "headers": {}, "body": json.dumps(page)} if "spans" in path else project

    with (
        answering(answer) as base,
        checks.source_of("phoenix", base) as source,
        pytest.raises(SourceError, match="does not sort spans by time; update Phoenix"),
    ):
        list(source.iter_window(checks.QUERY))


def test_a_phoenix_older_than_annotations_is_read_without() -> None:
    recorded = json.loads((FOLDER / "phoenix.json").read_text())

    def answer(method: str, path: str, body: str, headers: dict[str, str]) -> dict[str, Any] | None:
        if "annotations" in path:
            return {"status": 404, "headers": {}, "body": '{"detail": "Not Found"}'}
        return recorded.get(f"{method} {path}")

    with answering(answer) as base, checks.source_of("phoenix", base) as source:
        assert source.fetch_trace(trace_id(0)).record.scores == {}


def test_a_trace_of_another_experiment_stays_where_it_is() -> None:
    recorded = json.loads((FOLDER / "mlflow.json").read_text())

    def answer(method: str, path: str, body: str, headers: dict[str, str]) -> dict[str, Any] | None:
        said = recorded.get(f"{method} {path} {body}".strip())
        if said and "traces/get" in path:
            return said | {"body": said["body"].replace('"experiment_id":"1"', '"experiment_id":"2"')}
        return said

    with (
        answering(answer) as base,
        checks.source_of("mlflow", base) as source,
        pytest.raises(SourceError, match="has no trace tr-"),
    ):
        source.fetch_trace(trace_id(0))


def test_a_text_cannot_break_out_of_a_search() -> None:
    with replayed("mlflow") as base, checks.source_of("mlflow", base) as source:
        with pytest.raises(UserError, match="both kinds of quotes"):
            list(source.iter_session("""a' OR "b"""))
        with pytest.raises(SourceError):  # asked for as it is, between the other quotes: not recorded
            list(source.iter_session("a' OR 1"))


@pytest.mark.parametrize("server", ["phoenix", "mlflow"])
def test_a_saved_answer_can_be_uploaded_too(server: str) -> None:
    recorded = json.loads((FOLDER / f"{server}.json").read_text())
    wanted = {"phoenix": f"spans?trace_id={trace_id(0)}&", "mlflow": f"traces/get?trace_id=tr-{trace_id(0)}"}[server]
    body = next(said["body"] for asked, said in recorded.items() if wanted in asked)
    [record] = parse_file(body.encode(), "trace.json")
    assert (record.name, len(record.observations), record.facets["prompt_version"]) == ("answer", 3, "7")


@pytest.mark.parametrize(
    "answer",
    [
        {"data": [{"context": {}, "span_kind": "LLM"}]},
        {"data": [{"context": {"trace_id": "a", "span_id": "b"}, "span_kind": "LLM", "start_time": "yesterday"}]},
        {"data": [{"annotator_kind": "LLM", "name": "x", "result": None}]},
        {"trace": {"trace_info": {"trace_id": 7, "request_time": None}, "spans": [None, {"span_id": []}]}},
        {"traces": [{"trace_info": {"trace_id": "a", "request_time": "2026-03-09T09:00:00Z", "tags": []},
                     "spans": [{"span_id": "x", "start_time_unix_nano": "x", "attributes": {"a": 1}}, 7]}, None]},
        {"traces": [{"trace_id": "a", "request_time": "2026-03-09T09:00:00Z", "execution_duration": "soon",
                     "trace_metadata": {"mlflow.trace.tokenUsage": "[["}, "tags": {"mlflow.linkedPrompts": "{"}}]},
    ],
)  # fmt: skip
def test_nonsense_in_an_answer_is_left_out(answer: dict[str, Any]) -> None:
    rows = list(rows_of_answer(answer, "The answer"))
    assert all(kind == "trace" for kind, _ in rows)


def test_a_trace_whose_spans_were_logged_elsewhere_is_still_one() -> None:
    info = {
        "trace_id": "tr-1", "request_time": "2026-03-09T09:00:00Z", "execution_duration": "2.5s", "state": "ERROR",
        "trace_metadata": {"mlflow.trace.tokenUsage": '{"input_tokens": 12}'}, "request_preview": "Why?",
        "tags": {"mlflow.traceName": "answer", "mlflow.linkedPrompts": '[{"name": "answer", "version": "7"}]'},
    }  # fmt: skip
    [record] = parse_file(json.dumps({"trace": {"trace_info": info}}).encode(), "trace.json")
    assert (record.name, record.latency_seconds, record.input_tokens, record.has_error) == ("answer", 2.5, 12, True)
    assert record.facets == {"prompt": "answer", "prompt_version": "7"}
    assert record.input_preview == "Why?"


@pytest.mark.parametrize(("kind", "source"), [("phoenix", PhoenixSource), ("mlflow", MlflowSource)])
@pytest.mark.django_db
def test_a_connection_opens_its_own_source_and_remembers_what_it_says(kind: str, source: type) -> None:
    with replayed(kind) as base:
        connection = Connection.objects.create(
            name=kind, kind=kind, base_url=base, project="help-desk", secret_key_encrypted=encrypt("")
        )
        with open_source(connection) as opened:
            assert isinstance(opened, source)
            assert len([r for page in opened.iter_window(checks.QUERY) for r in page.records]) == COUNT
    connection.refresh_from_db()
    assert (connection.api, connection.project_name) == (kind, "help-desk")
    assert connection.project_id and connection.server_version


@pytest.mark.parametrize("server", ["phoenix", "mlflow"])
def test_a_server_that_times_out_on_long_spans_is_read_in_halves(server: str) -> None:
    """The root spans and infos of the whole window at once are too much; each half of a 24th is not."""
    held = json.loads((FOLDER / f"{server}.json").read_text())
    spans: list[float] = []

    def width(path: str, body: str) -> float | None:
        found = re.findall(r"(?:start|end)_time=([^&]+)", path) or re.findall(r"timestamp_ms >?<?=? ?(\d+)", body)
        moments = [moment(unquote(one)) if not one.isdigit() else moment(int(one)) for one in found]
        return (moments[1] - moments[0]).total_seconds() if len(moments) == 2 else None

    whole = (checks.QUERY.end - checks.QUERY.start).total_seconds() / 24

    def answer(method: str, path: str, body: str, headers: dict[str, str]) -> dict[str, Any] | None:
        seconds = width(path, body)
        if seconds is None:
            return held.get(f"{method} {path} {body}".strip())
        spans.append(seconds)
        if seconds > whole * 0.6:
            return {"status": 504, "headers": {}, "body": "{}"}
        return {"status": 200, "headers": {}, "body": json.dumps({"data": [], "traces": []})}

    with answering(answer) as base, checks.source_of(server, base) as source:
        pages = list(source.iter_window(checks.QUERY))
    assert pages[-1].cursor is None
    assert sum(seconds for seconds in spans if seconds <= whole * 0.6) == pytest.approx(24 * whole, abs=1)


class Held:
    """A server that holds what was recorded and answers any span of time; it fails when `left` is used up."""

    def __init__(self, server: str) -> None:
        self.recorded = json.loads((FOLDER / f"{server}.json").read_text())
        bodies = [json.loads(said["body"]) for said in self.recorded.values() if said["body"].startswith("{")]
        rows = [row for body in bodies for row in body.get("data") or () if isinstance(row, dict)]
        self.spans = {row["id"]: row for row in rows if "context" in row}
        self.traces = {
            trace["trace_info"]["trace_id"]: trace
            for body in bodies
            for trace in [*(body.get("traces") or ()), *([body["trace"]] if "trace" in body else [])]
            if "trace_info" in trace
        }
        self.left = 0

    def __call__(self, method: str, path: str, body: str, headers: dict[str, str]) -> dict[str, Any] | None:
        self.left -= 1
        if self.left < 0:
            return {"status": 500, "headers": {}, "body": "{}"}
        known = self.recorded.get(f"{method} {path}")
        query = parse_qs(urlsplit(path).query)
        if "annotations" in path:
            found: dict[str, Any] = {"data": []}
        elif "batchGet" in path:
            found = {"traces": [self.traces[one] for one in query["trace_ids"]]}
        elif method == "POST":
            low, high = (int(one) / 1000 for one in re.findall(r"timestamp_ms >?<?=? ?(\d+)", body))
            infos = [trace["trace_info"] for trace in self.traces.values()]
            found = {"traces": self._between(infos, "request_time", low, high)}
        elif "trace_id" in query:
            mine = [span for span in self.spans.values() if span["context"]["trace_id"] in query["trace_id"]]
            found = {"data": mine}
        elif "parent_id" in query:
            low, high = (parse_moment(query[name][0]).timestamp() for name in ("start_time", "end_time"))
            roots = [span for span in self.spans.values() if not span["parent_id"]]
            found = {"data": self._between(roots, "start_time", low, high)}
        else:
            return known
        return {"status": 200, "headers": {}, "body": json.dumps(found)}

    @staticmethod
    def _between(rows: list[dict[str, Any]], field: str, low: float, high: float) -> list[dict[str, Any]]:
        begun = [(parse_moment(row[field]).timestamp(), row) for row in rows]
        return [row for at, row in sorted(begun, key=lambda one: -one[0]) if low <= at < high]


@pytest.mark.parametrize("server", ["phoenix", "mlflow"])
@pytest.mark.parametrize("answers", [12, 25, 40])
def test_a_break_in_a_window_loses_nothing(server: str, answers: int) -> None:
    held, done = Held(server), []
    held.left = answers
    with answering(held) as base, checks.source_of(server, base, backoff_seconds=0.001) as source:
        with pytest.raises(SourceError, match="failed with HTTP 500"):
            for page in source.iter_window(checks.QUERY):
                done.append(page)
        assert done[-1].trace_count < COUNT
        held.left = 10_000
        done += source.iter_window(checks.QUERY, done[-1].cursor)
    found = [record.external_id for page in done for record in page.records]
    assert len(found) == len(set(found)) == COUNT
