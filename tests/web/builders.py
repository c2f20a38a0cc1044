"""What the tests of the pages share: a small open-format file, a deep trace, a review that can be decided."""

import json
from datetime import timedelta
from typing import Any

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.lib.clock import format_moment, parse_moment
from postmortem.traces import services as traces

START = parse_moment("2026-03-02T00:00:00Z")


def open_traces(count: int = 12, *, facets: dict[str, str] | None = None) -> bytes:
    """Traces in the open format, one an hour, from the 2nd of March; score `grounded` falls in the second half."""
    lines = []
    for index in range(count):
        late = index >= count // 2
        own = {"prompt": "refund", "prompt_version": "v43" if late else "v42", "region": ["eu", "us"][index % 2]}
        record = {
            "id": f"trace-{index:04d}",
            "timestamp": format_moment(START + timedelta(hours=index)),
            "facets": own | (facets or {}),
            "scores": {"grounded": 0.0 if late else 1.0},
        }
        lines.append(json.dumps(record))
    return "\n".join(lines).encode()


def deep_trace(count: int, *, text: str = "How do refunds work?") -> bytes:
    """A trace download as Langfuse's page gives it: a root and a chain of `count` - 1 observations below it."""
    observations = []
    for index in range(count):
        start = START + timedelta(milliseconds=10 * index)
        observations.append(
            {
                "id": f"o{index}",
                "traceId": "deep",
                "parentObservationId": f"o{index // 2}" if index else None,
                "type": "GENERATION" if index % 3 == 0 else "SPAN",
                "name": f"step {index}",
                "startTime": format_moment(start),
                "endTime": format_moment(start + timedelta(milliseconds=500)),
                "input": text,
                "output": f"answer {index}",
                "metadata": {},
                "level": "ERROR" if index == 5 else "DEFAULT",
            }
        )
    return json.dumps({"observations": observations, "scores": []}).encode()


def import_traces(incident: Incident, by: Person, **kwargs: Any) -> None:
    traces.import_file(incident=incident, by=by, filename="traces.jsonl", data=open_traces(**kwargs))


HTMX = {"HX-Request": "true"}
