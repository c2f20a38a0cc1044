"""The endpoints of Langfuse v3 servers, which the SDK dropped: traces, observations, scores v2."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from postmortem.lib.clock import format_moment
from postmortem.traces.rows import Row, TraceRows
from postmortem.traces.source_answers import Answer, get_answer, groups_of_ids
from postmortem.traces.source_http import HttpReader
from postmortem.traces.source_window import Reading
from postmortem.traces.sources import WindowQuery
from postmortem.traces.values import moment

_MAX_PAGES = 400


class OldApi:
    """Reads of one v3 server. Raises the SourceErrors of `reader`."""

    def __init__(self, reader: HttpReader) -> None:
        self._reader = reader

    def trace(self, trace_id: str) -> Answer:
        """A whole trace with its observations and scores."""
        return get_answer(self._reader, f"traces/{quote(trace_id, safe='')}")

    def window_rows(self, query: WindowQuery, start: datetime, end: datetime, page: int | None, limit: int) -> Reading:
        """One page of the query's traces, newest first."""
        filters = {
            "name": query.name,
            "environment": query.environment,
            "version": query.version,
            "release": query.release,
            "userId": query.user,
            "sessionId": query.session,
            "tags": list(query.tags),
        }
        return self._traces({**filters, "fields": "core,io,scores,metrics"}, start, end, page, limit)

    def session_rows(self, session_id: str, start: datetime, end: datetime, page: int | None) -> Reading:
        """One page of a session's traces, newest first, without what is in them."""
        return self._traces({"sessionId": session_id, "fields": "core"}, start, end, page, 100)

    def _traces(self, filters: dict[str, Any], start: datetime, end: datetime, page: int | None, limit: int) -> Reading:
        number = page or 1
        params = {
            **filters,
            "fromTimestamp": format_moment(start),
            "toTimestamp": format_moment(end),
            "orderBy": "timestamp.desc",
            "limit": min(limit, 100),
            "page": number,
        }
        answer = get_answer(self._reader, "traces", params, patient=False)
        rows = [Row(0, "trace", row) for row in answer.rows]
        return Reading(rows, answer.body, number + 1 if answer.has_page_after(number) else None)

    def more(self, environment: str, trace_ids: list[str], collected: TraceRows) -> list[tuple[list[Row], bytes]]:
        """The traces' scores, and their generations: prompt and model are on them, not on the trace."""
        found = []
        wanted = set(trace_ids)
        traces = [collected.traces[identifier].value for identifier in trace_ids]
        score_ids = [
            item for trace in traces for item in trace.get("scores") or [] if isinstance(item, str) and "," not in item
        ]
        for some in groups_of_ids(score_ids):
            params = {"scoreIds": ",".join(some), "limit": 100}
            answer = get_answer(self._reader, "v2/scores", params)
            found.append(([Row(0, "score", row) for row in answer.rows], answer.body))
        times = [at for trace in traces if (at := moment(trace.get("timestamp")))]
        span = {
            "type": "GENERATION",
            "environment": environment,
            "fromStartTime": format_moment(min(times)),
            "toStartTime": format_moment(max(times) + timedelta(minutes=10)),
            "limit": 100,
        }
        for number in range(1, _MAX_PAGES):  # prompt and model are on the generations
            answer = get_answer(self._reader, "observations", {**span, "page": number})
            rows = [Row(0, "observation", row) for row in answer.rows if row.get("traceId") in wanted]
            if rows:
                found.append((rows, answer.body))
            if not answer.has_page_after(number):
                break
        return found
