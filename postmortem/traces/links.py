"""Links that people paste from Langfuse, Phoenix and MLflow, taken apart. No Django here."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from postmortem.lib.errors import UserError
from postmortem.traces.values import clean, moment

_MAX_LINK = 4000
_MAX_ID = 800
_SECTIONS = {"traces", "observations", "sessions", "prompts"}
_EXAMPLE = "like https://cloud.langfuse.com/project/<project>/traces/<trace>"


@dataclass(frozen=True, slots=True)
class TraceLink:
    """What a link says. `base_url` has no trailing slash; the API is at `{base_url}/api/public`."""

    base_url: str
    project_id: str | None = None
    trace_id: str | None = None
    observation_id: str | None = None
    session_id: str | None = None
    timestamp: datetime | None = None
    prompt_name: str | None = None
    prompt_version: int | None = None
    kind: str = "langfuse"  # or phoenix, mlflow


def parse_link(text: str) -> TraceLink:
    """Take a link apart: Langfuse's traces, peeks of v3 and v4, public and short forms, sessions and prompts;
    Phoenix's traces, sessions and redirects; MLflow's traces and chat sessions.

    Ids are URL-decoded and otherwise left alone: they may be any text up to 800 characters.
    Raises UserError for anything that is not such a link.
    """
    text = text.strip().strip("<>\"'").strip()
    if not text:
        raise UserError(f"Paste a Langfuse link, {_EXAMPLE}.")
    if len(text) > _MAX_LINK:
        raise UserError(
            f"That is longer than {_MAX_LINK:,} characters, so it is no Langfuse link; paste one, {_EXAMPLE}."
        )
    try:
        parts = urlsplit(text)
        base = origin_of(parts)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"“{text[:80]}” is not a web address; paste a Langfuse link, {_EXAMPLE}.") from error
    segments = [segment for segment in parts.path.split("/") if segment]
    query = {name: values[-1] for name, values in parse_qs(parts.query, max_num_fields=50).items()}
    for position, segment in enumerate(segments):
        rest = segments[position + 1 :]
        prefix = "/".join([base, *segments[:position]])
        if segment == "project" and len(rest) > 1 and rest[1] in _SECTIONS:
            return _project_link(prefix, _decode(rest[0]), rest[1], rest[2:], query)
        if segment == "trace" and len(rest) == 1:
            return _link_to_trace(prefix, None, _decode(rest[0]), query)
        if segment == "public" and len(rest) > 1 and rest[0] == "traces":
            # {base}/public/traces/{id}, and the API's own {base}/api/public/traces/{id}
            prefix = prefix.removesuffix("/api")
            return _link_to_trace(prefix, None, _decode(rest[1]), query)
    if found := _phoenix_link(base, segments) or _mlflow_link(base, segments, parts.fragment):
        return found
    raise UserError(f"“{text[:80]}” does not lead to a trace; paste a link, {_EXAMPLE}.")


def origin_of(parts: SplitResult) -> str:
    """Scheme, host and port in one spelling: lower case, no default port.

    Raises ValueError for anything but http and https, UserError for an address with credentials in it.
    """
    scheme = parts.scheme.lower()
    if scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not http or https")
    if parts.username is not None or parts.password is not None:
        raise UserError("The address holds a user name or password; take it out, the connection has its own keys.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[scheme]
    port = "" if parts.port in {None, default} else f":{parts.port}"
    return f"{scheme}://{host}{port}"


def _project_link(base: str, project: str, section: str, rest: list[str], query: dict[str, str]) -> TraceLink:
    if section == "prompts" and rest:
        version = query.get("version", "")
        return TraceLink(
            base,
            project,
            prompt_name=_decode("/".join(rest)),
            prompt_version=int(version) if version.isdigit() else None,
        )
    if section == "sessions" and rest:
        return TraceLink(base, project, session_id=_decode("/".join(rest)), timestamp=moment(query.get("timestamp")))
    if section == "traces" and rest:
        return _link_to_trace(base, project, _decode("/".join(rest)), query)
    if section in {"traces", "observations"}:
        # v4 peeks at an observation and names its trace beside it; v3 peeks at the trace itself.
        trace, peek = query.get("traceId", ""), query.get("peek", "")
        if trace or peek:
            if trace and peek and peek != trace:
                query = {"observation": peek, **query}
            return _link_to_trace(base, project, trace or peek, query)
    raise UserError(
        f"This link leads to the list of {section}, not to one trace; open a trace and copy its link, {_EXAMPLE}."
    )


def _phoenix_link(base: str, segments: list[str]) -> TraceLink | None:
    """{base}/projects/{id}/traces/{trace} (or spans, sessions), {base}/redirects/traces/{trace} (or sessions)."""
    for position, segment in enumerate(segments):
        prefix, rest = "/".join([base, *segments[:position]]), segments[position + 1 :]
        if segment == "projects" and len(rest) > 2:
            project, section, identifier = _decode(rest[0]), rest[1], _checked_id(_decode(rest[2]))
        elif segment == "redirects" and len(rest) == 2:
            project, section, identifier = None, rest[0], _checked_id(_decode(rest[1]))
        else:
            continue
        if section == "sessions":
            return TraceLink(prefix, project, session_id=identifier, kind="phoenix")
        if section == "traces" or (section == "spans" and segment == "projects"):
            return TraceLink(prefix, project, identifier, kind="phoenix")
    return None


def _mlflow_link(base: str, segments: list[str], fragment: str) -> TraceLink | None:
    """{base}/#/experiments/{id}/traces?selectedEvaluationId={trace}, …/traces/{trace}, …/chat-sessions/{session}."""
    path, _, query_text = fragment.partition("?")
    inner = [segment for segment in path.split("/") if segment]
    if len(inner) < 3 or inner[0] != "experiments":
        return None
    prefix, experiment, section = "/".join([base, *segments]), _decode(inner[1]), inner[2]
    query = {name: values[-1] for name, values in parse_qs(query_text, max_num_fields=50).items()}
    if section == "chat-sessions" and len(inner) > 3:
        return TraceLink(prefix, experiment, session_id=_checked_id(_decode(inner[3])), kind="mlflow")
    trace = _decode(inner[3]) if len(inner) > 3 else query.get("selectedEvaluationId") or query.get("selectedTraceId")
    if section != "traces" or not trace:
        raise UserError("This link leads to an experiment, not to one trace; open a trace and copy its link.")
    return TraceLink(prefix, experiment, _checked_id(trace), kind="mlflow")


def _link_to_trace(base: str, project: str | None, trace: str, query: dict[str, str]) -> TraceLink:
    return TraceLink(
        base_url=base,
        project_id=project,
        trace_id=_checked_id(trace),
        observation_id=query.get("observation") or None,
        timestamp=moment(query.get("timestamp")),
    )


def _checked_id(text: str) -> str:
    if not text.strip() or len(text) > _MAX_ID:
        raise UserError(f"The trace id in this link is empty or longer than {_MAX_ID} characters; copy the link again.")
    return clean(text)


def _decode(segment: str) -> str:
    return clean(unquote(segment))
