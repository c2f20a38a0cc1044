"""What a source must read from a server that holds the story. Run on recorded answers and on the real servers."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from postmortem.traces.mlflow_source import MlflowSource
from postmortem.traces.phoenix_source import PhoenixSource
from postmortem.traces.rest_source import RestSource
from postmortem.traces.source_http import SourceError, UnknownTrace
from postmortem.traces.sources import ScoreFilter, WindowQuery
from postmortem.traces.tree import build_tree, flatten
from tests.servers.story import COUNT, END, FAILED, PROJECT, SESSION, START, UPGRADE, trace_id

_SOURCES: dict[str, type[RestSource]] = {"phoenix": PhoenixSource, "mlflow": MlflowSource}
_PREFIX = {"phoenix": "", "mlflow": "tr-"}
QUERY = WindowQuery(START, END, 1000)


def source_of(server: str, base: str, **more: Any) -> RestSource:
    """A source of the story's project."""
    return _SOURCES[server](**{"base_url": base, "project": PROJECT, "backoff_seconds": 0.01, **more})


def number_of(external_id: str) -> int:
    """Which trace of the story it is, from 0."""
    return int(external_id.removeprefix("tr-"), 16) - 1


def check_who_it_is(server: str, base: str) -> None:
    """Version and project, by name and by id."""
    with source_of(server, base) as source:
        info = source.check()
    assert (info.api, info.project_name) == (server, PROJECT)
    assert info.version[:1].isdigit()
    with source_of(server, base, project=info.project_id) as source:
        assert source.check() == info
    with source_of(server, base, project="nowhere") as source, pytest.raises(SourceError, match="named nowhere"):
        source.check()


def check_trace(server: str, base: str) -> None:
    """A whole trace: facets, scores, tree, times and tokens."""
    with source_of(server, base) as source:
        record = source.fetch_trace(trace_id(0)).record
        failed = source.fetch_trace(trace_id(FAILED)).record
        with pytest.raises(UnknownTrace, match="check the link"):
            source.fetch_trace("f" * 32)
    assert record.external_id == _PREFIX[server] + trace_id(0)
    assert (record.name, record.timestamp, record.latency_seconds, record.input_tokens) == ("answer", START, 1.5, 400)
    assert (record.session_id, record.user_id) == (SESSION, "u-0")
    assert record.input_preview.strip('"') == "How do I return order 0?"
    assert record.output_preview.strip('"') == "With the label for order 0."
    shared = {"prompt_version": "7", "model": "atlas-chat", "region": "us", "index_version": "11"}
    own = {
        "phoenix": {"segment": "consumer"},
        "mlflow": {
            "prompt": "answer", "model_served": "atlas-chat-2026-02", "environment": "production", "release": "4.18.2",
        },
    }  # fmt: skip
    assert record.facets == shared | own[server]
    assert record.scores == {"phoenix": {"grounded": 1.0, "helpful": 0.5}, "mlflow": {"grounded": 1.0}}[server]
    kinds = {"phoenix": ["CHAIN", "RETRIEVER", "GENERATION"], "mlflow": ["AGENT", "TOOL", "GENERATION"]}[server]
    tree = [(node.depth, node.observation.kind) for node in flatten(build_tree(record.observations))]
    assert tree == list(zip([0, 1, 1], kinds, strict=True))
    assert failed.has_error
    assert not record.has_error


def check_window(server: str, base: str) -> None:
    """Every trace of a window once and whole; no more than the cap; on from a cursor."""
    with source_of(server, base) as source:
        pages = list(source.iter_window(QUERY))
        single = source.fetch_trace(trace_id(0)).record
        records = {record.external_id: record for page in pages for record in page.records}
        first = next(page for page in source.iter_window(QUERY) if page.records)
        rest = [record for page in source.iter_window(QUERY, first.cursor) for record in page.records]
        capped = list(source.iter_window(replace(QUERY, cap=6)))
        half = source.iter_window(replace(QUERY, end=START + timedelta(minutes=3 * UPGRADE)))
        before = [record for page in half for record in page.records]
    assert {number_of(identifier) for identifier in records} == set(range(COUNT))
    one = records[single.external_id]
    for name in ("name", "facets", "scores", "latency_seconds", "input_tokens", "session_id", "user_id"):
        assert getattr(one, name) == getattr(single, name), name
    assert len(first.records) + len(rest) == COUNT
    assert (capped[-1].trace_count, capped[-1].truncated) == (6, True)
    assert {number_of(record.external_id) for record in before} == set(range(UPGRADE))
    assert {record.facets["prompt_version"] for record in before} == {"7"}
    told = [identifier for page in pages for raw in page.pages for identifier in raw.trace_ids or ()]
    assert set(told) == set(records)


def check_filters(server: str, base: str) -> None:
    """Filters, whether the server or the workbench applies them."""
    everywhere = {
        "name": ("answer", lambda n: True),
        "user": ("u-1", lambda n: n % 3 == 1),
        "session": (SESSION, lambda n: n % 5 == 0),
        "score": (ScoreFilter("grounded", ">=", 1), lambda n: n == 0),
    }
    own: dict[str, Any] = {
        "phoenix": {"tags": (("segment:consumer",), lambda n: True)},
        "mlflow": {"release": ("4.18.2", lambda n: True), "environment": ("staging", lambda n: False)},
    }
    with source_of(server, base) as source:
        for field, (value, wanted) in (everywhere | own[server]).items():
            pages = source.iter_window(replace(QUERY, **{field: value}))
            found = {number_of(record.external_id) for page in pages for record in page.records}
            assert found == {n for n in range(COUNT) if wanted(n)}, field
        nothing = source.iter_window(replace(QUERY, name="another"))
        assert [record for page in nothing for record in page.records] == []


def check_session(server: str, base: str) -> None:
    """The traces of a session in their order, and on from a cursor."""
    with source_of(server, base) as source:
        pages = list(source.iter_session(SESSION))
        again = list(source.iter_session(SESSION, None, pages[0].cursor))
        with pytest.raises(UnknownTrace, match="no session nothing"):
            list(source.iter_session("nothing"))
    assert [number_of(page.records[0].external_id) for page in pages] == [0, 5, 10, 15]
    assert [number_of(page.records[0].external_id) for page in again] == [5, 10, 15]
    assert pages[-1].cursor is None


ALL = (check_who_it_is, check_trace, check_window, check_filters, check_session)
