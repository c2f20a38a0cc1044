"""Reading Langfuse: whole traces, windows, prompts; and every way in which that can fail, in one sentence."""

import gzip
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures.standin import Fault, StandIn, awkward, faults
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.traces import source_http
from postmortem.traces.langfuse_source import (
    AccessRefused,
    LangfuseSource,
    RateLimited,
    SourceError,
    SourceInfo,
    TooSlow,
    UnknownTrace,
)
from postmortem.traces.records import TraceRecord
from postmortem.traces.sources import ScoreFilter, WindowQuery
from postmortem.traces.tree import build_tree, flatten
from tests.traces.stories import BEGIN, END, ENVIRONMENT, NAME, write_story


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_story(tmp_path_factory.mktemp("story"))


@pytest.fixture(params=["v4", "v3", "dual"])
def server(request: pytest.FixtureRequest, story: Path) -> Iterator[StandIn]:
    with StandIn(mode=request.param, stories=[story]) as stand_in:
        yield stand_in


@pytest.fixture
def dual(story: Path) -> Iterator[StandIn]:
    with StandIn(stories=[story]) as stand_in:
        yield stand_in


def source_of(stand_in: StandIn, **more: Any) -> LangfuseSource:
    given = {"public_key": stand_in.public_key, "secret_key": stand_in.secret_key, "base_url": stand_in.base_url}
    return LangfuseSource(**{"timeout_seconds": 5.0, "backoff_seconds": 0.001, **given, **more})


def query(**more: Any) -> WindowQuery:
    given = {"name": NAME, "environment": ENVIRONMENT, "start": BEGIN, "end": END, "cap": 1000}
    return WindowQuery(**{**given, **more})


def window(source: LangfuseSource, *, cap: int = 1000, name: str = NAME) -> list[TraceRecord]:
    pages = source.iter_window(query(name=name, cap=cap))
    return [record for page in pages for record in page.records]


def said(error: pytest.ExceptionInfo[Exception]) -> str:
    """The sentence, checked to be one line that gives nothing away."""
    sentence = str(error.value)
    assert "\n" not in sentence
    assert "sk-lf-demo" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_the_flavour_is_found_and_told(server: StandIn) -> None:
    told: list[SourceInfo] = []
    with source_of(server, on_info=told.append) as source:
        info = source.check()
    assert info.api == {"v4": "v4", "v3": "v3", "dual": "v4"}[server.mode]
    assert (info.project_id, info.project_name) == ("demo-project", "Demo shop")
    assert told == [info]


def test_a_whole_trace_comes_the_same_from_every_server(server: StandIn) -> None:
    with source_of(server) as source:
        fetched = source.fetch_trace(f"{59:032x}")
    record = fetched.record
    assert record.facets == {
        "prompt": "answer", "prompt_version": "7", "model": "atlas-chat", "model_version": "2025-11-04", "region": "us",
        "index": "help-articles", "index_version": "11", "release": "4.18.2", "segment": "consumer",
        "environment": "production",
    }  # fmt: skip
    assert record.scores == {"grounded": 1.0, "helpful": 0.5}
    assert (record.latency_seconds, record.time_to_first_token_seconds, record.cost_usd) == (1.5, 0.4, 0.001)
    assert (record.name, record.environment, record.input_tokens) == (NAME, ENVIRONMENT, 459)
    assert record.input_preview
    assert [(node.depth, node.observation.kind) for node in flatten(build_tree(record.observations))] == [
        (0, "SPAN"), (1, "RETRIEVER"), (1, "GENERATION"),
    ]  # fmt: skip
    assert all(page.startswith(b"{") for page in fetched.pages)


def test_awkward_traces(server: StandIn) -> None:
    with source_of(server) as source:
        orphans = source.fetch_trace(awkward.ORPHANS).record
        assert [node.observation.name for node in build_tree(orphans.observations)] == ["handle", "lost"]
        assert orphans.facets["model"] == "m-large-2026-02"
        assert orphans.scores == {"quality": 0.25, "refused": 1.0, "grounded": 0.5}
        assert {score.name: score.text_value for score in orphans.score_records}["kind"] == "greeting"

        cut = source.fetch_trace(awkward.TRUNCATED).record
        assert cut.observations[0].metadata["policy"] == awkward.LONG_VALUE
        assert cut.observations[0].truncated_metadata == ()

        long = source.fetch_trace(awkward.LONG).record
        assert len(long.observations) == 240
        assert max(node.depth for node in flatten(build_tree(long.observations))) == 239

        assert source.fetch_trace(awkward.CUSTOM_ID).record.session_id == "session/1"
        assert source.fetch_trace(awkward.FAILED).record.has_error
        assert len(list(flatten(build_tree(source.fetch_trace(awkward.CYCLE).record.observations)))) == 2
        assert source.fetch_trace(awkward.BARE).record.facets == {"environment": "production"}


def test_a_window_gives_every_trace_a_whole_record(server: StandIn) -> None:
    with source_of(server) as source:
        records = window(source)
        single = source.fetch_trace(f"{20:032x}").record
    assert len({record.external_id for record in records}) == len(records) == 60
    one = next(record for record in records if record.external_id == single.external_id)
    assert one.facets == single.facets
    assert one.scores == single.scores
    assert one.latency_seconds == single.latency_seconds
    assert one.input_tokens == single.input_tokens
    assert sum(record.scores["grounded"] for record in records) == 52


def test_a_window_has_a_cap_and_goes_on_from_its_cursor(server: StandIn) -> None:
    with source_of(server) as source:
        pages = list(source.iter_window(query(cap=30)))
        assert pages[-1].trace_count == 30
        assert pages[-1].truncated
        first = next(source.iter_window(query()))
        rest = source.iter_window(query(), first.cursor)
        found = {record.external_id for page in [first, *rest] for record in page.records}
    assert len(found) == 60


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"user": "u-1"}, lambda n: n % 4 == 1),
        ({"session": "s-4"}, lambda n: n // 3 == 4),
        ({"version": "web-2"}, lambda n: n % 5 == 0),
        ({"release": "4.18.2"}, lambda n: True),
        ({"release": "4.18.3"}, lambda n: False),
        ({"tags": ("segment:consumer", "region:eu")}, lambda n: n % 2 == 0),
        ({"score": ScoreFilter("grounded", "<", 0.5)}, lambda n: n >= 36 and n % 3 == 0),
        ({"score": ScoreFilter("grounded", ">=", 0.5), "user": "u-0"}, lambda n: n % 4 == 0 and (n < 36 or n % 3)),
        ({"score": ScoreFilter("unknown", ">", 0)}, lambda n: False),
    ],
)
def test_filters_let_through_what_they_say(server: StandIn, filters: dict[str, Any], wanted: Any) -> None:
    with source_of(server) as source:
        pages = list(source.iter_window(query(**filters)))
    found = {int(record.external_id, 16) for page in pages for record in page.records}
    assert found == {n for n in range(60) if wanted(n)}
    assert pages[-1].trace_count == len(found)
    assert all(len(record.observations) == 3 for page in pages for record in page.records) or server.mode == "v3"


def test_a_filtered_window_fills_its_cap_from_what_passes_and_goes_on(server: StandIn) -> None:
    asked = query(score=ScoreFilter("grounded", "<", 0.5), cap=5)
    with source_of(server) as source:
        pages = list(source.iter_window(asked))
        assert (pages[-1].trace_count, pages[-1].truncated) == (5, True)
        asked = query(version="web-2")
        first = next(page for page in source.iter_window(asked) if page.records)
        rest = source.iter_window(asked, first.cursor)
        found = [record for page in rest for record in page.records]
    assert len(found) == 12 - len(first.records)


def test_a_session_comes_whole_and_in_order(server: StandIn) -> None:
    with source_of(server) as source:
        pages = list(source.iter_session("s-4"))
        assert [int(page.records[0].external_id, 16) for page in pages] == [12, 13, 14]
        assert pages[0].records[0].input_preview
        assert [len(page.records[0].observations) for page in pages] == [3, 3, 3]
        again = list(source.iter_session("s-4", None, pages[0].cursor))
        assert [int(page.records[0].external_id, 16) for page in again] == [13, 14]
        assert pages[-1].cursor is None
        with pytest.raises(UnknownTrace, match="no traces in session nothing"):
            list(source.iter_session("nothing"))


def test_a_session_that_the_server_cannot_find_at_once_is_looked_for_near_its_time(server: StandIn) -> None:
    path = {"v3": "public/traces"}.get(server.mode, "v2/observations")
    server.faults.append(faults.too_large(wider_than_hours=30, path=path))
    with source_of(server) as source:
        pages = list(source.iter_session("s-4", BEGIN + (END - BEGIN) * 13 / 60))
    assert [int(page.records[0].external_id, 16) for page in pages] == [12, 13, 14]


def test_other_names_and_environments_stay_out(server: StandIn) -> None:
    with source_of(server) as source:
        assert window(source, name="another") == []
        pages = source.iter_window(query(environment="staging"))
        assert [record for page in pages for record in page.records] == []


def test_window_reads_ask_with_the_parameters_of_the_sdk(dual: StandIn) -> None:
    """Bulk reads are plain GETs; they must name what the SDK's own methods name."""
    with source_of(dual) as source:
        window(source)
        bulk = [httpx.URL(request) for request in dual.requests if "filter=" in request or "v3/scores" in request]
        dual.requests.clear()
        source._sdk.observations.get_many(fields="core", limit=1, cursor=None, filter="[]")
        source._sdk.scores.get_many(trace_id="x", fields="subject", limit=1, cursor=None)
    known = {httpx.URL(request).path: set(httpx.URL(request).params) | {"cursor"} for request in dual.requests}
    assert bulk
    for url in bulk:
        assert set(url.params) <= known[url.path], url


def test_prompt_versions(server: StandIn) -> None:
    with source_of(server) as source:
        versions = source.list_prompt_versions()
    answer = [version for version in versions if version.name == "answer"]
    assert [version.version for version in answer] == [7, 6]
    assert answer[1].created_at == parse_moment("2026-03-02T00:00:00Z")
    assert (answer[0].labels, answer[0].created_by) == (("production", "latest"), "simulated author")
    assert b'"version": 7' in answer[0].raw
    assert "folder/tone of voice" in {version.name for version in versions}


# What can go wrong


def test_keys_that_the_server_does_not_know(server: StandIn) -> None:
    with source_of(server, secret_key="sk-lf-old") as source, pytest.raises(AccessRefused) as error:
        source.fetch_trace(awkward.ORPHANS)
    assert "does not know these keys (401)" in said(error)


def test_keys_that_may_not_read(server: StandIn) -> None:
    with source_of(server, public_key="pk-lf-forbidden") as source, pytest.raises(AccessRefused) as error:
        source.fetch_trace(awkward.ORPHANS)
    assert "refuses these keys (403: Access denied" in said(error)


def test_keys_of_another_project(server: StandIn) -> None:
    given = {"public_key": "pk-lf-other", "project_id": "demo-project"}
    with source_of(server, **given) as source, pytest.raises(AccessRefused) as error:
        source.fetch_trace(awkward.ORPHANS)
    assert "belong to project “Another team” (other-project), not to demo-project" in said(error)


def test_an_unknown_trace(server: StandIn) -> None:
    with source_of(server) as source, pytest.raises(UnknownTrace) as error:
        source.fetch_trace("f" * 32)
    assert "has no trace ffff" in said(error)


def test_a_link_without_a_trace(dual: StandIn) -> None:
    with source_of(dual) as source, pytest.raises(UserError, match="leads to a prompt"):
        source.fetch_trace(None)


@pytest.mark.parametrize(("remembered", "mode"), [("v3", "v4"), ("v4", "v3")])
def test_a_server_that_was_upgraded_since_is_read_in_its_new_flavour(remembered: str, mode: str, story: Path) -> None:
    told: list[SourceInfo] = []
    with (
        StandIn(mode=mode, stories=[story]) as stand_in,
        source_of(stand_in, api=remembered, on_info=told.append) as source,
    ):
        assert source.fetch_trace(awkward.ORPHANS).record.external_id == awkward.ORPHANS
        assert told[-1].api == mode
    with StandIn(mode=mode, stories=[story]) as stand_in, source_of(stand_in, api=remembered) as source:
        assert len(window(source)) == 60


def test_a_limited_read_waits_as_long_as_it_is_told(server: StandIn) -> None:
    server.faults.append(faults.rate_limited(retry_after=7, times=2))
    waits: list[float] = []
    with source_of(server, sleep=waits.append) as source:
        source.fetch_trace(awkward.ORPHANS)
    assert waits == [7, 7]


def test_a_read_that_stays_limited_says_when_to_come_back(server: StandIn) -> None:
    server.faults.append(faults.rate_limited(retry_after=50, times=None))
    waits: list[float] = []
    with source_of(server, sleep=waits.append) as source, pytest.raises(RateLimited) as error:
        source.fetch_trace(awkward.ORPHANS)
    assert "can go on in 50 s" in said(error)
    assert error.value.retry_after_seconds == 50
    assert sum(waits) <= 120


def test_a_failure_half_way_is_read_over(server: StandIn) -> None:
    path = {"v3": "public/traces"}.get(server.mode, "v2/observations")
    server.faults.append(faults.breaks_half_way(path=path, skip=3, times=2))
    with source_of(server) as source:
        assert len(window(source)) == 60


def test_a_failure_that_lasts_is_told_and_the_window_goes_on_later(dual: StandIn) -> None:
    dual.faults.append(faults.breaks_half_way(skip=8, times=None))
    done = []
    with source_of(dual) as source:
        with pytest.raises(SourceError) as error:
            for page in source.iter_window(query()):
                done.append(page)
        assert "failed with HTTP 500: Internal Server Error; try again later" in said(error)
        assert done
        dual.faults.clear()
        rest = list(source.iter_window(query(), done[-1].cursor))
    assert len({record.external_id for page in [*done, *rest] for record in page.records}) == 60


def test_a_slow_server_is_given_up_in_time(dual: StandIn) -> None:
    dual.faults.append(faults.slow(delay_seconds=5, path="v2/observations"))
    dual.sleep_scale = 0.1
    with source_of(dual, timeout_seconds=0.1, api="v4") as source, pytest.raises(TooSlow) as error:
        source.fetch_trace(awkward.ORPHANS)
    assert "did not answer in time" in said(error)


def test_an_answer_that_trickles_is_given_up_in_time() -> None:
    with _answering(lambda connection: [connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")] + [
        (connection.sendall(b"x"), threading.Event().wait(0.05)) for _ in range(60)
    ]) as base, _plain_source(base, timeout_seconds=0.4) as source, pytest.raises(TooSlow):  # fmt: skip
        source.check()


@pytest.mark.parametrize("status", [422, 524])
def test_a_read_that_is_too_large_is_made_smaller(server: StandIn, status: int) -> None:
    path = {"v3": "public/traces"}.get(server.mode, "v2/observations")
    server.faults.append(faults.too_large(wider_than_hours=4, path=path, status=status))
    with source_of(server) as source:
        assert len(window(source)) == 60


def test_redirects_are_not_followed(dual: StandIn) -> None:
    with StandIn() as elsewhere:
        dual.faults.append(faults.redirects(to=elsewhere.base_url + "/"))
        with source_of(dual) as source, pytest.raises(SourceError) as error:
            source.check()
        assert "redirects to 127.0.0.1, and keys are not sent on" in said(error)
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "fault",
    [faults.sign_in_page(), Fault(200, body=[]), Fault(200, body={"data": "x"}), Fault(200, body={"status": "OK"})],
)
def test_an_answer_that_is_not_langfuses(dual: StandIn, fault: Fault) -> None:
    dual.faults.append(fault)
    with source_of(dual) as source, pytest.raises(SourceError) as error:
        source.check()
    assert "answered with" in said(error)


def test_an_answer_that_is_too_large(dual: StandIn) -> None:
    dual.faults.append(Fault(200, body={"data": ["x" * 3_000_000]}))
    keys = (dual.public_key, dual.secret_key)
    reader = source_http.HttpReader(dual.base_url, auth=keys, max_answer_bytes=2 * 1024 * 1024)
    with pytest.raises(SourceError) as error:
        reader.read(lambda: reader.get("api/public/health", {}))
    reader.close()
    assert "more than 2 MB" in said(error)


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with _plain_source(f"http://127.0.0.1:{port}") as source, pytest.raises(SourceError) as error:
        source.check()
    assert "connection refused" in said(error)


def test_no_such_name() -> None:
    with _plain_source("http://langfuse.invalid") as source, pytest.raises(SourceError) as error:
        source.check()
    assert "There is no server named langfuse.invalid" in said(error)


def test_no_tls_there(dual: StandIn) -> None:
    base = dual.base_url.replace("http://", "https://")
    with _plain_source(base) as source, pytest.raises(SourceError) as error:
        source.check()
    assert "TLS" in said(error)


def test_bounds_on_what_a_packed_answer_unpacks_to() -> None:
    packed = gzip.compress(b'{"status": "OK", "version": "' + b"4" * 3_000_000 + b'"}')

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(packed))

    transport = source_http.BoundedTransport(httpx.MockTransport(answer), max_bytes=1_000_000, max_seconds=5)
    with httpx.Client(transport=transport) as client, pytest.raises(SourceError, match="more than"):
        client.get("http://langfuse.test/api/public/health")
    roomy = source_http.BoundedTransport(httpx.MockTransport(answer), max_bytes=4_000_000, max_seconds=5)
    with httpx.Client(transport=roomy) as client:
        assert len(client.get("http://langfuse.test/").json()["version"]) == 3_000_000


def _plain_source(base: str, **more: Any) -> LangfuseSource:
    return LangfuseSource(base_url=base, public_key="pk", secret_key="sk", backoff_seconds=0.001, **more)


class _answering:
    """A server that says something of its own to everybody who connects."""

    def __init__(self, say: Any) -> None:
        self.say = say

    def __enter__(self) -> str:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(4096)
                    self.say(connection)
                except OSError:
                    pass
