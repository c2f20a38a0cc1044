"""The bulk endpoints of Langfuse v4 servers: observations v2 and scores v3, read as they come.

The SDK's models take 0.4 s of CPU for a thousand observations, so these are plain GETs.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from postmortem.lib.clock import format_moment
from postmortem.traces.metric_cells import written
from postmortem.traces.rows import Row, TraceRows
from postmortem.traces.source_answers import Answer, get_answer, groups_of_ids
from postmortem.traces.source_http import HttpReader
from postmortem.traces.source_window import Reading
from postmortem.traces.sources import WindowQuery

SCORE_FIELDS = "details,subject,annotation"
_WINDOW_FIELDS = "core,basic,time,metadata,model,usage,prompt,metrics,trace_context"
_MAX_PAGES = 400  # of one trace: 40,000 observations


class NewApi:
    """Reads of one v4 server. Raises the SourceErrors of `reader`."""

    def __init__(self, reader: HttpReader) -> None:
        self._reader = reader

    def window_rows(self, query: WindowQuery, start: datetime, end: datetime, page: Any, limit: int) -> Reading:
        """One page of the observations of the query's traces, newest first."""
        asked = {"fields": _WINDOW_FIELDS, "limit": limit, "cursor": page}
        return self._rows(asked, [*_between(start, end), *_conditions(query)])

    def session_rows(self, session_id: str, start: datetime, end: datetime, page: Any) -> Reading:
        """One page of a session's observations, newest first, without what is in them."""
        asked = {"fields": "core", "limit": 1000, "cursor": page}
        return self._rows(asked, [*_between(start, end), _is("sessionId", session_id)])

    def more(self, trace_ids: list[str], _: TraceRows) -> list[tuple[list[Row], bytes]]:
        """The traces' scores."""
        return self.scores(trace_ids)

    def scores(self, trace_ids: list[str], since: datetime | None = None) -> list[tuple[list[Row], bytes]]:
        """Scores of these traces, given at or after `since` where it is said.

        An id with a comma cannot be asked for in a list; such a trace comes without.
        """
        found = []
        begin = format_moment(since) if since else None
        for some in groups_of_ids([identifier for identifier in trace_ids if "," not in identifier]):
            asked = {"traceId": ",".join(some), "fields": SCORE_FIELDS, "limit": 100, "fromTimestamp": begin}
            for answer in paged(partial(self._scores_page, asked)):
                if answer.rows:
                    found.append(([Row(0, "score", row) for row in answer.rows], answer.body))
        return found

    def metrics(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows that one query of the metrics endpoint gives."""
        answer = get_answer(self._reader, "v2/metrics", {"query": written(body)}, patient=False)
        return answer.rows

    def _rows(self, asked: Mapping[str, Any], conditions: list[dict[str, Any]]) -> Reading:
        # `filter` overrides every other parameter, so all of the conditions go into it.
        params = {**asked, "filter": json.dumps(conditions)}
        answer = get_answer(self._reader, "v2/observations", params, patient=False)
        return Reading([Row(0, "observation", row) for row in answer.rows], answer.body, answer.cursor)

    def _scores_page(self, asked: Mapping[str, Any], cursor: str | None) -> Answer:
        return get_answer(self._reader, "v3/scores", {**asked, "cursor": cursor})


def paged(read: Callable[[str | None], Answer]) -> Iterator[Answer]:
    """Every page of one of the new endpoints."""
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        answer = read(cursor)
        yield answer
        cursor = answer.cursor
        if cursor is None:
            return


def _between(start: datetime, end: datetime) -> list[dict[str, Any]]:
    return [
        {"type": "datetime", "column": "startTime", "operator": ">=", "value": format_moment(start)},
        {"type": "datetime", "column": "startTime", "operator": "<", "value": format_moment(end)},
    ]


def _conditions(query: WindowQuery) -> list[dict[str, Any]]:
    """The filters on what every observation of a trace carries, as the new API's `filter` wants them."""
    columns = {
        "traceName": query.name, "environment": query.environment, "userId": query.user, "sessionId": query.session,
    }  # fmt: skip
    found = [_is(column, value) for column, value in columns.items() if value]
    if query.tags:
        found.append({"type": "arrayOptions", "column": "traceTags", "operator": "all of", "value": list(query.tags)})
    return found


def _is(column: str, value: str) -> dict[str, Any]:
    return {"type": "string", "column": column, "operator": "=", "value": value}
