"""Every form of link that people copy from Langfuse."""

import pytest

from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.traces.links import TraceLink, parse_link

CLOUD = "https://cloud.langfuse.com"
HEX = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (f"{CLOUD}/project/p1/traces/{HEX}", TraceLink(CLOUD, "p1", HEX)),
        (
            f"{CLOUD}/project/p1/traces/{HEX}?observation=o1&timestamp=2026-03-09T09:40:00.000Z",
            TraceLink(CLOUD, "p1", HEX, observation_id="o1", timestamp=parse_moment("2026-03-09T09:40:00Z")),
        ),
        # v3 peeks at a trace; v4 peeks at an observation and names the trace beside it
        (f"{CLOUD}/project/p1/traces?peek={HEX}&timestamp=x", TraceLink(CLOUD, "p1", HEX)),
        (f"{CLOUD}/project/p1/traces?peek=o1&traceId={HEX}", TraceLink(CLOUD, "p1", HEX, observation_id="o1")),
        (f"{CLOUD}/project/p1/observations?peek=o1&traceId={HEX}", TraceLink(CLOUD, "p1", HEX, observation_id="o1")),
        (f"{CLOUD}/project/p1/observations?peek={HEX}", TraceLink(CLOUD, "p1", HEX)),
        # an empty traceId is none
        (f"{CLOUD}/project/p1/traces?peek={HEX}&traceId=", TraceLink(CLOUD, "p1", HEX)),
        # short forms carry no project
        (f"{CLOUD}/trace/{HEX}", TraceLink(CLOUD, None, HEX)),
        (f"{CLOUD}/public/traces/{HEX}", TraceLink(CLOUD, None, HEX)),
        (f"{CLOUD}/api/public/traces/{HEX}", TraceLink(CLOUD, None, HEX)),
        # a self-hosted server below a path, with a port, in capitals
        (f"https://Host.example:8443/a/project/p1/traces/{HEX}/", TraceLink("https://host.example:8443/a", "p1", HEX)),
        (f"https://host.example:443/a/b/project/p1/traces/{HEX}", TraceLink("https://host.example/a/b", "p1", HEX)),
        (f"http://[::1]:3000/project/p1/traces/{HEX}", TraceLink("http://[::1]:3000", "p1", HEX)),
        # a server that lives below a folder named project
        (f"https://host.example/project/project/p1/traces/{HEX}", TraceLink("https://host.example/project", "p1", HEX)),
        # ids are any text: decoded once, not matched
        (f"{CLOUD}/project/p1/traces/order%207%2Fstep%20%232%20%C3%BC", TraceLink(CLOUD, "p1", "order 7/step #2 ü")),
        (f"{CLOUD}/project/p1/traces/100%2525", TraceLink(CLOUD, "p1", "100%25")),
        (f"  <{CLOUD}/project/p1/traces/{HEX}> ", TraceLink(CLOUD, "p1", HEX)),
        # not a trace, and said so
        (f"{CLOUD}/project/p1/sessions/a%2Fb", TraceLink(CLOUD, "p1", session_id="a/b")),
        (f"{CLOUD}/project/p1/prompts/a%2Fb?version=7", TraceLink(CLOUD, "p1", prompt_name="a/b", prompt_version=7)),
    ],
)  # fmt: skip
def test_link_forms(link: str, expected: TraceLink) -> None:
    assert parse_link(link) == expected


@pytest.mark.parametrize(
    ("link", "word"),
    [
        ("", "Paste a Langfuse link"),
        ("what is this", "is not a web address"),
        ("javascript:alert(1)//project/p/traces/t", "is not a web address"),
        ("ftp://host/project/p/traces/t", "is not a web address"),
        ("https://host:99999/project/p/traces/t", "is not a web address"),
        ("https://user:secret@host/project/p/traces/t", "user name or password"),
        (f"{CLOUD}/project/p1/traces", "list of traces"),
        (f"{CLOUD}/project/p1/traces?peek=&traceId=", "list of traces"),
        (f"{CLOUD}/project/p1/settings", "does not lead to a trace"),
        (f"{CLOUD}/project/p1/traces/" + "x" * 801, "longer than 800"),
        (f"{CLOUD}/project/p1/traces/" + "x" * 4001, "longer than 4,000"),
        (f"{CLOUD}/project/p1/traces/%20", "empty"),
    ],
)
def test_what_is_no_trace_link_gets_one_sentence(link: str, word: str) -> None:
    with pytest.raises(UserError, match=word):
        parse_link(link)
