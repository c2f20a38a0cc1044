"""MLflow's tracing server, read through its REST API 3.0. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from postmortem.lib.errors import UserError
from postmortem.traces.rest_source import MAX_PAGES, RestSource, next_cursor
from postmortem.traces.rows import Row, TraceRows
from postmortem.traces.server_rows import mlflow_id
from postmortem.traces.source_answers import Answer
from postmortem.traces.source_http import SourceError, UnknownTrace
from postmortem.traces.source_session import session_pages
from postmortem.traces.source_window import Reading, WindowPage, iter_window
from postmortem.traces.sources import FetchedTrace, SourceInfo, WindowQuery
from postmortem.traces.values import mapping, short_text

_SEARCH = "api/3.0/mlflow/traces/search"
_IDS_PER_READ = 50


class MlflowSource(RestSource):
    """One experiment of an MLflow server. `project` is the experiment's id or name."""

    server = "MLflow"

    def fetch_trace(self, trace_id: str | None, timestamp: datetime | None = None) -> FetchedTrace:
        """One trace whole: its info, spans and assessments. UnknownTrace if there is none."""
        if not trace_id:
            raise UserError("This link leads to no trace; open one in MLflow and copy that link.")
        experiment = self._ready().project_id
        identifier = mlflow_id(trace_id)
        try:
            answer = self._get("api/3.0/mlflow/traces/get", {"trace_id": identifier})
        except UnknownTrace as error:
            raise self._unknown(identifier) from error
        info = mapping(mapping(answer.value.get("trace")).get("trace_info"))
        place = mapping(mapping(info.get("trace_location")).get("mlflow_experiment")).get("experiment_id")
        if place not in (None, experiment):  # ids are of the whole server; the connection is for one experiment
            raise self._unknown(identifier)
        return self._whole(identifier, [answer], lambda *_: [])

    def iter_window(self, query: WindowQuery, cursor: Mapping[str, Any] | None = None) -> Iterator[WindowPage]:
        """The query's traces. Times and user are left to the server; what else is asked for is filtered here."""
        self._ready()
        here = replace(query, user="", session="")
        return iter_window(
            partial(self._infos, query),
            self._more,
            start=query.start,
            end=query.end,
            cap=query.cap,
            cursor=cursor,
            limit=200,
            reach=timedelta(),  # a trace's spans are asked for by its id
            keep=here.keeps if here.filters() else None,
        )

    def iter_session(
        self, session_id: str, timestamp: datetime | None = None, cursor: Mapping[str, Any] | None = None
    ) -> Iterator[WindowPage]:
        """Every trace of a session whole, oldest first. UnknownTrace for a session without traces."""
        self._ready()
        return session_pages(partial(self._traces_of, session_id), self.fetch_trace, cursor)

    def _traces_of(self, session_id: str) -> list[str]:
        found: list[str] = []
        page: str | None = None
        for _ in range(MAX_PAGES):
            answer = self._search([_equals("metadata.`mlflow.trace.session`", session_id)], page, 200, "ASC")
            found += [short_text(mapping(row).get("trace_id"), 800) for row in _list(answer.value.get("traces"))]
            page = next_cursor(answer, "next_page_token")
            if page is None:
                break
        if not found:
            raise UnknownTrace(f"{self._base} has no session {session_id[:80]} in {self.project}; check the link.")
        return list(dict.fromkeys(found))

    def _ask_info(self) -> SourceInfo:
        try:
            answer = self._experiment()
        except UnknownTrace as error:
            raise self._unknown_project(error) from error
        experiment = mapping(answer.value.get("experiment"))
        identifier = short_text(experiment.get("experiment_id"))
        if not identifier:
            raise SourceError(f"{self._base} answered without an experiment; check that it is an MLflow server.")
        return SourceInfo("mlflow", self._version(), identifier, short_text(experiment.get("name")))

    def _experiment(self) -> Answer:
        if self.project.isdigit():
            try:
                return self._get("api/2.0/mlflow/experiments/get", {"experiment_id": self.project})
            except UnknownTrace:
                pass  # then it is a name of digits
        return self._get("api/2.0/mlflow/experiments/get-by-name", {"experiment_name": self.project})

    def _version(self) -> str:
        """The server tells it as plain text; a proxy may not let it through."""
        try:
            body = self._read(lambda: self._http.get("version", {}), patient=True).body
        except SourceError:
            return ""
        text = body[:40].decode(errors="replace").strip()
        return text if text[:1].isdigit() else ""

    def _infos(self, query: WindowQuery, start: datetime, end: datetime, page: Any, limit: int) -> Reading:
        conditions = [
            f"attributes.timestamp_ms >= {_milliseconds(start)}",
            f"attributes.timestamp_ms < {_milliseconds(end)}",
        ]
        if query.user:
            conditions.append(_equals("metadata.`mlflow.trace.user`", query.user))
        if query.session:
            conditions.append(_equals("metadata.`mlflow.trace.session`", query.session))
        answer = self._search(conditions, page, limit, "DESC", patient=False)
        return Reading(self._rows(answer), answer.body, next_cursor(answer, "next_page_token"))

    def _search(
        self, conditions: list[str], page: str | None, limit: int, order: str, *, patient: bool = True
    ) -> Answer:
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": self._ready().project_id}}
        asked: dict[str, Any] = {
            "locations": [place],
            "filter": " AND ".join(conditions),
            "order_by": [f"timestamp_ms {order}"],
            "max_results": limit,
        }
        return self._post(_SEARCH, asked | ({"page_token": page} if page else {}), patient=patient)

    def _more(self, trace_ids: list[str], collected: TraceRows) -> list[tuple[list[Row], bytes]]:
        """Spans and assessments of the traces."""
        found = []
        for begin in range(0, len(trace_ids), _IDS_PER_READ):
            asked = {"trace_ids": trace_ids[begin : begin + _IDS_PER_READ]}
            answer = self._get("api/3.0/mlflow/traces/batchGet", asked)
            # the trace's own row came with the search, word for word the same
            rows = [row for row in self._rows(answer) if row.kind == "observation"]
            found.append((rows, answer.body))
        return found


def _equals(field: str, value: str) -> str:
    """A condition in MLflow's search language, which has no way to write a quote of both kinds."""
    quote = '"' if "'" in value else "'"
    if quote in value:
        raise UserError("MLflow cannot search for a text with both kinds of quotes in it; leave that filter out.")
    return f"{field} = {quote}{value}{quote}"


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
