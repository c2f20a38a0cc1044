"""Langfuse, read through its SDK's API client; old servers by plain HTTP. The only module that imports langfuse.

A server speaks v4 (observations v2, scores v3) or v3 (traces, observations, scores v2); `dual` servers speak
both and are read as v4. Which one is found once and given back by `check`, so that it can be remembered.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self
from urllib.parse import quote

from langfuse.api import LangfuseAPI
from langfuse.api.core.api_error import ApiError
from pydantic import ValidationError

from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.langfuse_new import SCORE_FIELDS, NewApi, paged
from postmortem.traces.langfuse_old import OldApi
from postmortem.traces.metric_cells import MetricCell, iter_metric_cells
from postmortem.traces.normalise import score_from_langfuse
from postmortem.traces.records import ScoreRecord
from postmortem.traces.rows import Row, TraceRows
from postmortem.traces.source_answers import Answer
from postmortem.traces.source_http import (
    AccessRefused,
    HttpFailure,
    HttpReader,
    RateLimited,
    SourceError,
    TooSlow,
    UnknownTrace,
    WrongApi,
)
from postmortem.traces.source_session import session_ids, session_pages
from postmortem.traces.source_window import REACH, WindowPage, iter_window
from postmortem.traces.sources import FetchedTrace, SourceInfo, WindowQuery
from postmortem.traces.values import MAX_ID, MAX_NAME, moment, short_text

__all__ = [
    "AccessRefused",
    "FetchedTrace",
    "LangfuseSource",
    "PromptEntry",
    "PromptVersion",
    "RateLimited",
    "SourceError",
    "SourceInfo",
    "TooSlow",
    "UnknownTrace",
    "WindowPage",
    "WrongApi",
]

_ALL_FIELDS = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context"
_MAX_PROMPT_READS = 400


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """One version of a prompt, with the bytes that told it."""

    name: str
    version: int
    created_at: datetime
    labels: tuple[str, ...]
    commit_message: str
    created_by: str
    raw: bytes
    updated_at: datetime | None = None  # also when a label came or went


@dataclass(frozen=True, slots=True)
class PromptEntry:
    """A prompt in the list of prompts: which versions and labels it has, and when the last of them changed."""

    name: str
    versions: tuple[int, ...]
    labels: tuple[str, ...]
    updated_at: datetime | None


class LangfuseSource:
    """One Langfuse project. Use in `with`, or call close(). Not shared between threads.

    `project_id`, where it is given, must be the project of the keys. Every method raises SourceError with one
    clear sentence; RateLimited says when to come back.
    """

    def __init__(
        self,
        *,
        base_url: str,
        public_key: str,
        secret_key: str,
        api: str = "unknown",
        project_id: str = "",
        timeout_seconds: float = 60.0,
        max_wait_seconds: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
        backoff_seconds: float = 1.0,
        on_info: Callable[[SourceInfo], None] | None = None,
    ) -> None:
        self.project_id = project_id
        self._api, self._timeout, self._on_info = api, timeout_seconds, on_info
        self._info: SourceInfo | None = None
        self._http = HttpReader(
            base_url,
            auth=(public_key, secret_key),
            timeout_seconds=timeout_seconds,
            max_wait_seconds=max_wait_seconds,
            sleep=sleep,
            backoff_seconds=backoff_seconds,
        )
        self._base = self._http.base_url
        self._new, self._old = NewApi(self._http), OldApi(self._http)
        self._sdk = LangfuseAPI(
            base_url=self._base, username=public_key, password=secret_key, httpx_client=self._http.client
        )
        self._options: Any = {"max_retries": 0, "timeout_in_seconds": timeout_seconds}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def check(self) -> SourceInfo:
        """Ask for version, project of the keys and API flavour. AccessRefused when the keys are another project's."""
        health = self._ask(self._sdk.health.health)
        projects = self._ask(self._sdk.projects.get).rows
        project = projects[0] if projects else {}
        found = short_text(project.get("id"))
        name = short_text(project.get("name"))
        if not found:
            raise AccessRefused(
                f"{self._base} names no project for these keys; use the keys of a project, not of an organisation."
            )
        if self.project_id and self.project_id != found:
            raise AccessRefused(
                f"The keys stored for {self._base} belong to project “{name}” ({found}), not to {self.project_id}; "
                "ask an administrator to enter the keys of that project."
            )
        if self._api not in {"v3", "v4"}:
            self._api = self._flavour()
        version = short_text(health.value.get("version"), 40)
        self._info = SourceInfo(self._api, version, found, name)
        if self._on_info:
            self._on_info(self._info)
        return self._info

    def fetch_trace(self, trace_id: str | None, timestamp: datetime | None = None) -> FetchedTrace:
        """Read one trace whole: every observation with input, output and full metadata, and its scores.

        `timestamp` (UTC), where a link has it, narrows the read when the server is slow. UnknownTrace if there is none.
        """
        if not trace_id:
            raise UserError("This link leads to a prompt; open one of its traces and copy that link.")
        fetched: FetchedTrace = self._either(
            partial(self._trace_v4, trace_id, timestamp), partial(self._trace_v3, trace_id)
        )
        return fetched

    def iter_window(self, query: WindowQuery, cursor: Mapping[str, Any] | None = None) -> Iterator[WindowPage]:
        """The query's traces in steps. A record holds facets, latency, cost and scores; inputs and outputs are left.

        What a server cannot filter by itself is filtered here: version, release and score with the new API, the
        score with the old.
        """
        left_v4 = replace(query, name="", environment="", tags=(), user="", session="")
        left_v3 = replace(left_v4, version="", release="")

        def begin(read_rows: Any, read_more: Any, limit: int, reach: timedelta, left: WindowQuery) -> Any:
            keep = left.keeps if left.filters() else None
            return _begun(
                iter_window(
                    read_rows,
                    read_more,
                    start=query.start,
                    end=query.end,
                    cap=query.cap,
                    cursor=cursor,
                    limit=limit,
                    reach=reach,
                    keep=keep,
                )
            )

        new = partial(begin, partial(self._new.window_rows, query), self._new.more, 1000, REACH, left_v4)
        more = partial(self._old.more, query.environment)
        # the old list sends whole traces, so nothing runs over the end of a read
        old = partial(begin, partial(self._old.window_rows, query), more, 100, timedelta(), left_v3)
        yield from self._either(new, old)

    def iter_session(
        self, session_id: str, timestamp: datetime | None = None, cursor: Mapping[str, Any] | None = None
    ) -> Iterator[WindowPage]:
        """Every trace of a session whole, oldest first, at most 200. UnknownTrace for a session without traces.

        `timestamp` (UTC), where a link has it, narrows the search when the server is slow.
        """

        def list_ids() -> list[str]:
            found: list[str] = self._either(
                partial(session_ids, partial(self._new.session_rows, session_id), timestamp),
                partial(session_ids, partial(self._old.session_rows, session_id), timestamp),
            )
            if not found:
                raise UnknownTrace(
                    f"{self._base} has no traces in session {session_id[:80]}; check the link, "
                    "and if the session is new, wait a minute and try again."
                )
            return found

        return session_pages(list_ids, self.fetch_trace, cursor)

    def scores_since(self, trace_ids: list[str], since: datetime) -> tuple[dict[str, list[ScoreRecord]], list[bytes]]:
        """Scores given at or after `since` (UTC) by trace id, with their bytes. None from a v3 server."""
        self._ready()
        found: dict[str, list[ScoreRecord]] = {}
        pages: list[bytes] = []
        for rows, body in self._new.scores(trace_ids, since) if self._api == "v4" else ():
            pages.append(body)
            for row in rows:
                if told := score_from_langfuse(row.value):
                    found.setdefault(told[0], []).append(told[1])
        return found, pages

    def iter_metric_cells(self, query: WindowQuery, signal: str, *, granularity: str = "hour") -> Iterator[MetricCell]:
        """The query's traces grouped by the server into cells of one signal, without importing any (see metric_cells).

        Raises WrongApi for a v3 server, which has no such endpoint.
        """
        if self._ready() and self._api != "v4":
            raise WrongApi(f"{self._base} is too old to group traces by itself; import the window instead.")
        return iter_metric_cells(self._new.metrics, query, signal, granularity=granularity)

    def list_prompt_versions(self) -> list[PromptVersion]:
        """Every version of every prompt, at most 400, newest first within a prompt."""
        versions: list[PromptVersion] = []
        for prompt in self.list_prompts():
            for number in sorted(prompt.versions, reverse=True):
                if len(versions) >= _MAX_PROMPT_READS:
                    return versions
                versions.append(self.prompt_version(prompt.name, number, known_since=prompt.updated_at))
        return versions

    def list_prompts(self) -> list[PromptEntry]:
        """Every prompt by name, at most 1,000."""
        self._ready()
        prompts: list[PromptEntry] = []
        page, more = 1, True
        while more and page <= 20:
            answer = self._ask(partial(self._sdk.prompts.list, page=page, limit=50))
            for prompt in answer.rows:
                numbers = [number for number in prompt.get("versions") or [] if isinstance(number, int)]
                updated_at = moment(prompt.get("lastUpdatedAt"))
                name, labels = short_text(prompt.get("name")), _labels(prompt)
                prompts.append(PromptEntry(name, tuple(sorted(numbers)), labels, updated_at))
            more, page = answer.has_page_after(page), page + 1
        return prompts

    def prompt_version(
        self, name: str, number: int | None = None, *, label: str | None = None, known_since: datetime | None = None
    ) -> PromptVersion:
        """One version of a prompt, by its number or by a label that it has. UnknownTrace where there is none."""
        self._ready()
        ask = partial(self._sdk.prompts.get, quote(name, safe=""), version=number, label=label, resolve=False)
        answer = self._ask(ask)
        said = answer.value
        found, updated_at = said.get("version"), moment(said.get("updatedAt"))
        if number is None and (not isinstance(found, int) or isinstance(found, bool)):
            raise SourceError(f"{self._base} names no version of the prompt {name[:80]}; try again later.")
        return PromptVersion(
            name=name,
            version=int(found or 0) if number is None else number,
            created_at=moment(said.get("createdAt")) or updated_at or known_since or utc_now(),
            labels=_labels(said),
            commit_message=short_text(said.get("commitMessage"), 500),
            created_by=short_text(said.get("createdBy"), MAX_NAME),
            raw=answer.body,
            updated_at=updated_at,
        )

    # One trace

    def _trace_v4(self, trace_id: str, timestamp: datetime | None) -> FetchedTrace:
        near: dict[str, Any] = {}
        if timestamp:
            near = {"from_start_time": timestamp - timedelta(hours=1), "to_start_time": timestamp + timedelta(days=2)}
        collected, pages = TraceRows(), list[bytes]()
        for limit, within in ((100, {}), (20, {}), (20, near)):
            try:
                collected, pages = self._observations_of(trace_id, limit, within)
                break
            except TooSlow:
                if within is near:
                    raise
        if not collected.trace_ids():
            raise self._unknown(trace_id)
        cut = sorted(
            {
                key
                for observation in collected.record(trace_id).observations
                for key in observation.truncated_metadata
                if "," not in key
            }
        )
        if cut:  # ask again for what the server cut off at 200 characters
            collected, pages = self._observations_of(trace_id, 100, {"expand_metadata": ",".join(cut[:50])})
        read = partial(self._sdk.scores.get_many, trace_id=trace_id, fields=SCORE_FIELDS, limit=100)
        for answer in paged(lambda cursor: self._ask(partial(read, cursor=cursor))):
            for row in answer.rows:
                collected.add(Row(0, "score", row))
            if answer.rows:
                pages.append(answer.body)
        return FetchedTrace(collected.record(trace_id), pages)

    def _observations_of(self, trace_id: str, limit: int, more: Mapping[str, Any]) -> tuple[TraceRows, list[bytes]]:
        collected, pages = TraceRows(), []
        read = partial(self._sdk.observations.get_many, fields=_ALL_FIELDS, trace_id=trace_id, limit=limit, **more)
        for answer in paged(lambda cursor: self._ask(partial(read, cursor=cursor))):
            pages.append(answer.body)
            for row in answer.rows:
                if short_text(row.get("traceId"), MAX_ID) in {trace_id, ""}:
                    collected.add(Row(0, "observation", {"traceId": trace_id, **row}))
        return collected, pages

    def _trace_v3(self, trace_id: str) -> FetchedTrace:
        try:
            answer = self._old.trace(trace_id)
        except UnknownTrace as error:
            raise self._unknown(trace_id) from error
        collected = TraceRows()
        collected.add(Row(0, "trace", answer.value))
        return FetchedTrace(collected.record(trace_id), [answer.body])

    def _unknown(self, trace_id: str) -> UnknownTrace:
        return UnknownTrace(
            f"{self._base} has no trace {trace_id[:80]} in this project; check the link, "
            "and if the trace is new, wait a minute and try again."
        )

    # Asking

    def _ready(self) -> SourceInfo:
        return self._info or self.check()

    def _flavour(self) -> str:
        """Which API the server speaks: the new one where it has it."""
        try:
            self._ask(partial(self._sdk.observations.get_many, fields="core", limit=1), patient=False)
        except (WrongApi, UnknownTrace):  # an old server has no such path at all
            return "v3"
        except TooSlow:
            return "v4"
        return "v4"

    def _either(self, new: Callable[[], Any], old: Callable[[], Any]) -> Any:
        """Ask in the remembered flavour; a server that was upgraded since is asked once more in the other."""
        self._ready()
        try:
            return new() if self._api == "v4" else old()
        except WrongApi:
            self._api = "unknown"
            self.check()
            return new() if self._api == "v4" else old()

    def _ask(self, call: Callable[..., Any], *, patient: bool = True) -> Answer:
        """What the SDK's call brought, in the server's own bytes."""

        def ask() -> None:
            try:
                call(request_options=self._options)
            except ApiError as error:
                raise HttpFailure(error.status_code or 0, error.body, error.headers or {}) from error
            except ValidationError:
                return  # a newer server's answer: the rows are read leniently from its bytes

        return Answer(self._base, self._http.read(ask, patient=patient)[1])


def _begun(pages: Iterator[WindowPage]) -> Iterator[WindowPage]:
    """`pages` with the first one read already, so that a server of the other flavour shows at once."""
    first = next(pages)

    def rest() -> Iterator[WindowPage]:
        yield first
        yield from pages

    return rest()


def _labels(said: Mapping[str, Any]) -> tuple[str, ...]:
    labels = said.get("labels")
    return tuple(short_text(label) for label in labels if label) if isinstance(labels, list) else ()
