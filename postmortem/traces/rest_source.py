"""What the sources of Phoenix and MLflow share: reading, checking once, sentences about what is not there. Pure."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import httpx

from postmortem.lib.errors import UserError
from postmortem.traces.rows import Row, TraceRows, rows_of
from postmortem.traces.source_answers import Answer
from postmortem.traces.source_http import HttpReader, SourceError, UnknownTrace, credentials
from postmortem.traces.sources import FetchedTrace, SourceInfo

MAX_PAGES = 400


class RestSource:
    """One project of a server that is read by plain HTTP. Use in `with`, or call close(). Not shared between threads.

    `project` is the name or id that an administrator allowed. `user` and `secret`: a name and password, a token
    alone, or nothing, as the server wants it.
    """

    server = ""  # what people call it

    def __init__(
        self,
        *,
        base_url: str,
        project: str,
        user: str = "",
        secret: str = "",
        timeout_seconds: float = 60.0,
        max_wait_seconds: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
        backoff_seconds: float = 1.0,
        on_info: Callable[[SourceInfo], None] | None = None,
    ) -> None:
        self.project, self._on_info = project, on_info
        self._info: SourceInfo | None = None
        self._http = HttpReader(
            base_url,
            auth=credentials(user, secret),
            timeout_seconds=timeout_seconds,
            max_wait_seconds=max_wait_seconds,
            sleep=sleep,
            backoff_seconds=backoff_seconds,
        )
        self._base = self._http.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def check(self) -> SourceInfo:
        """Ask for the server's version and for the project. SourceError when the server has no such project."""
        info = self._ask_info()
        self._info = info
        if self._on_info:
            self._on_info(info)
        return info

    def _ask_info(self) -> SourceInfo:
        raise NotImplementedError

    def _ready(self) -> SourceInfo:
        return self._info or self.check()

    def _get(self, path: str, params: Mapping[str, Any] | None = None, *, patient: bool = True) -> Answer:
        return self._read(lambda: self._http.get(path, params or {}), patient=patient)

    def _post(self, path: str, body: Mapping[str, Any], *, patient: bool = True) -> Answer:
        return self._read(lambda: self._http.post(path, body), patient=patient)

    def _read(self, ask: Callable[[], httpx.Response], *, patient: bool) -> Answer:
        return Answer(self._base, self._http.read(ask, patient=patient)[1], self.server)

    def _rows(self, answer: Answer) -> list[Row]:
        """The answer's rows; they are read from its bytes as they will be read again from storage."""
        if not answer.value:
            return []
        try:
            return list(rows_of(answer.body, f"The answer of {self._base}"))
        except UserError:
            return []  # an empty page

    def _whole(
        self, trace_id: str, answers: list[Answer], scores: Callable[[list[str], TraceRows], Any]
    ) -> FetchedTrace:
        """The trace that the answers tell, with what `scores` adds to it."""
        collected = TraceRows()
        for answer in answers:
            for row in self._rows(answer):
                if row.trace_id == trace_id:
                    collected.add(row)
        if trace_id not in collected.trace_ids():
            raise self._unknown(trace_id)
        more = scores([trace_id], collected)
        for rows, _ in more:
            for row in rows:
                collected.add(row)
        return FetchedTrace(
            collected.record(trace_id), [*(answer.body for answer in answers), *(body for _, body in more)]
        )

    def _unknown(self, trace_id: str) -> UnknownTrace:
        return UnknownTrace(
            f"{self._base} has no trace {trace_id[:80]} in {self.project}; check the link, "
            "and if the trace is new, wait a minute and try again."
        )

    def _unknown_project(self, error: Exception) -> SourceError:
        refused = SourceError(
            f"{self._base} has no project or experiment named {self.project[:80]}; "
            "ask an administrator to enter its name or id in the connection."
        )
        refused.__cause__ = error
        return refused


def pages_by_cursor(read: Callable[[str | None], Answer]) -> Iterator[Answer]:
    """Every page of a list whose answers hold `next_cursor`, at most 400."""
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        answer = read(cursor)
        yield answer
        cursor = next_cursor(answer)
        if cursor is None:
            return


def next_cursor(answer: Answer, name: str = "next_cursor") -> str | None:
    """How to ask for the next page; None on the last."""
    found = answer.value.get(name)
    return found if isinstance(found, str) and found else None
