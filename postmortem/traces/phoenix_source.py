"""Arize Phoenix, read through its REST API (`/v1/projects/…`, versions that sort spans by time). Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.traces.rest_source import RestSource, next_cursor, pages_by_cursor
from postmortem.traces.rows import Row, TraceRows
from postmortem.traces.source_answers import groups_of_ids
from postmortem.traces.source_http import SourceError, UnknownTrace
from postmortem.traces.source_session import session_pages
from postmortem.traces.source_window import Reading, WindowPage, iter_window
from postmortem.traces.sources import FetchedTrace, SourceInfo, WindowQuery
from postmortem.traces.values import mapping, moment, short_text

_PAGE = 1000

More = list[tuple[list[Row], bytes]]


class PhoenixSource(RestSource):
    """One project of a Phoenix server. `project` is its name or its id."""

    server = "Phoenix"

    def fetch_trace(self, trace_id: str | None, timestamp: datetime | None = None) -> FetchedTrace:
        """One trace whole: its spans, and the annotations on it and on them. UnknownTrace if there is none."""
        if not trace_id:
            raise UserError("This link leads to no trace; open one in Phoenix and copy that link.")
        self._ready()
        answers = list(pages_by_cursor(lambda cursor: self._get(
            self._at("spans"), {"trace_id": trace_id, "limit": _PAGE, "cursor": cursor}
        )))  # fmt: skip
        return self._whole(trace_id, answers, self._annotations)

    def iter_window(self, query: WindowQuery, cursor: Mapping[str, Any] | None = None) -> Iterator[WindowPage]:
        """The query's traces: root spans by time, then everything of each. The server filters by name only."""
        self._ready()
        return iter_window(
            partial(self._roots, query),
            self._more,
            start=query.start,
            end=query.end,
            cap=query.cap,
            cursor=cursor,
            limit=200,
            reach=timedelta(),  # a trace's spans are asked for by its id
            keep=replace(query, name="").keeps if set(query.filters()) - {"name"} else None,
        )

    def iter_session(
        self, session_id: str, timestamp: datetime | None = None, cursor: Mapping[str, Any] | None = None
    ) -> Iterator[WindowPage]:
        """Every trace of a session whole, oldest first. UnknownTrace for a session without traces."""
        self._ready()
        return session_pages(partial(self._traces_of, session_id), self.fetch_trace, cursor)

    def _traces_of(self, session_id: str) -> list[str]:
        asked = {"session_identifier": session_id, "order": "asc", "limit": 500}
        answers = pages_by_cursor(lambda cursor: self._get(self._at("traces"), {**asked, "cursor": cursor}))
        found = [short_text(row.get("trace_id")) for answer in answers for row in answer.rows]
        if not found:
            raise UnknownTrace(f"{self._base} has no session {session_id[:80]} in {self.project}; check the link.")
        return list(dict.fromkeys(found))

    def _ask_info(self) -> SourceInfo:
        try:
            answer = self._get(f"v1/projects/{quote(self.project, safe='')}")
        except UnknownTrace as error:
            raise self._unknown_project(error) from error
        project = mapping(answer.value.get("data"))
        identifier = short_text(project.get("id"))
        if not identifier:
            raise SourceError(f"{self._base} answered without a project; check that it is a Phoenix server.")
        version = short_text(self._http.last_headers.get("x-phoenix-server-version"), 40)
        return SourceInfo("phoenix", version, identifier, short_text(project.get("name")))

    def _at(self, what: str) -> str:
        return f"v1/projects/{quote(self._ready().project_id, safe='')}/{what}"

    def _roots(self, query: WindowQuery, start: datetime, end: datetime, page: Any, limit: int) -> Reading:
        asked = {
            "parent_id": "null",
            "name": query.name,
            "start_time": format_moment(start),
            "end_time": format_moment(end),
            "sort": "start_time",
            "order": "desc",
            "limit": limit,
            "cursor": page,
        }
        answer = self._get(self._at("spans"), asked, patient=False)
        times = [at for row in answer.rows if (at := moment(row.get("start_time")))]
        if times != sorted(times, reverse=True):
            raise SourceError(f"{self._base} does not sort spans by time; update Phoenix to read windows from it.")
        return Reading(self._rows(answer), answer.body, next_cursor(answer))

    def _more(self, trace_ids: list[str], collected: TraceRows) -> More:
        """Every span of the traces, and every annotation."""
        found: More = []
        for some in groups_of_ids(trace_ids):
            asked = {"trace_id": some, "limit": _PAGE}
            for answer in pages_by_cursor(partial(self._page, self._at("spans"), asked)):
                rows = self._rows(answer)
                found.append((rows, answer.body))
                for row in rows:
                    collected.add(row)
        return [*found, *self._annotations(trace_ids, collected)]

    def _annotations(self, trace_ids: list[str], collected: TraceRows) -> More:
        spans = {span: trace for trace in trace_ids for span in collected.observations.get(trace, {})}
        found: More = []
        for path, name, identifiers in (
            ("trace_annotations", "trace_ids", trace_ids),
            ("span_annotations", "span_ids", list(spans)),
        ):
            for some in groups_of_ids(identifiers):
                try:
                    for answer in pages_by_cursor(partial(self._page, self._at(path), {name: some, "limit": _PAGE})):
                        rows = self._rows(answer)
                        # a span's annotation does not name the trace
                        named = [
                            Row(0, row.kind, {**row.value, "traceId": row.trace_id or spans.get(on, "")})
                            for row in rows
                            if (on := row.value.get("observationId") or "") in spans or row.trace_id
                        ]
                        if named:
                            found.append((named, answer.body))
                except UnknownTrace:
                    break  # nothing is annotated, or the server is older than annotations
        return found

    def _page(self, path: str, asked: Mapping[str, Any], cursor: str | None) -> Any:
        return self._get(path, {**asked, "cursor": cursor})
