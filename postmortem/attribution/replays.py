"""Replay sets out, replay results in: the writes and reads around `replay.py`."""

import json
from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.attribution.models import ReplayResult
from postmortem.attribution.replay import ReplayOutcome, failing_traces, outcome_of, outcome_text, read_results
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.services import refuse_published
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.traces.models import Trace
from postmortem.traces.reading import clear_reading, masked_reading
from postmortem.traces.selectors import trace_records
from postmortem.traces.services import store_blob

MOST_TRACES = 200
MAX_RESULT_BYTES = 5 * 1024 * 1024


def replay_set(*, incident: Incident, by: Person, count: int, clear: bool) -> list[dict[str, Any]]:
    """Failing traces of the incident window to run again: input, output, version tuple; texts masked unless `clear`.

    Raises UserError without signal, window or failing traces, PermissionDenied for `clear` without the right.
    """
    require(by, Capability.REVIEW, incident)
    if clear:
        require(by, Capability.REVEAL, incident)
    if not (incident.signal and incident.incident_start and incident.incident_end):
        raise UserError("Choose the signal and the incident window first; they say which traces failed.")
    traces = trace_records(incident, start=incident.incident_start, end=incident.incident_end)
    chosen = failing_traces(traces, incident.signal, incident.worse, min(max(count, 1), MOST_TRACES))
    if not chosen:
        raise UserError("No trace of the incident window fails by its signal, so there is nothing to replay.")
    rows = {
        trace.external_id: trace
        for trace in Trace.objects.filter(
            incident=incident, external_id__in=[one.external_id for one in chosen]
        ).select_related("incident")
    }
    lines = []
    for one in chosen:
        trace = rows[one.external_id]
        reading = clear_reading(trace=trace, by=by, place="replay set") if clear else masked_reading(trace)
        root = reading.roots[0].observation if reading.roots else None
        lines.append(
            {
                "id": one.external_id,
                "timestamp": format_moment(one.timestamp),
                "input": reading.input or (root.input if root else "") or reading.trace.input_preview,
                "output": reading.output or (root.output if root else "") or reading.trace.output_preview,
                "expected_output": None,
                "versions": dict(one.facets),
                "masked": not clear,
            }
        )
    with transaction.atomic():
        audit.record(
            person=by, action="replay.export", subject=f"{len(lines)} traces", incident_number=incident.number,
            after={"clear": clear},
        )  # fmt: skip
    return lines


def as_jsonl(lines: list[dict[str, Any]]) -> Iterator[bytes]:
    """One trace a line."""
    return (json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def as_dataset_items(lines: list[dict[str, Any]], incident: Incident) -> Iterator[bytes]:
    """One Langfuse dataset item a line: the body of `POST /api/public/dataset-items`."""
    for line in lines:
        item = {
            "datasetName": f"{incident.number} replay",
            "input": line["input"],
            "expectedOutput": line["expected_output"],
            "sourceTraceId": line["id"],
            "metadata": {"incident": incident.number, "output": line["output"], "versions": line["versions"]},
        }
        yield json.dumps(item, ensure_ascii=False).encode() + b"\n"


def add_replay_results(*, incident: Incident, by: Person, change: Change, data: bytes) -> ReplayResult:
    """Read the results of a replay with and without a change; its bytes are kept. Raises UserError naming the line."""
    require(by, Capability.REVIEW, incident)
    refuse_published(incident)
    if change.feature_id != incident.feature_id:
        raise UserError("Choose a change of this feature's logs.")
    if len(data) > MAX_RESULT_BYTES:
        raise UserError(f"The results have more than {MAX_RESULT_BYTES // 1024 // 1024} MB; upload fewer traces.")
    known = set(Trace.objects.filter(incident=incident).order_by().values_list("external_id", flat=True))
    outcome = outcome_of(read_results(data, known))
    with transaction.atomic():
        result = ReplayResult.objects.create(
            incident=incident, change=change, blob=store_blob(data, "application/x-ndjson"),
            result=outcome_json(outcome, change.summary), added_by=by,
        )  # fmt: skip
        audit.record(
            person=by, action="replay.results", subject=str(change), incident_number=incident.number,
            after={"sentence": result.result["sentence"], "bytes": result.blob_id},
        )  # fmt: skip
    return result


def replay_results(incident: Incident) -> QuerySet[ReplayResult]:
    """All results of replays, the newest first, with their changes and who added them."""
    return ReplayResult.objects.filter(incident=incident).select_related("change", "added_by").order_by("-added_at")


def outcome_json(outcome: ReplayOutcome, title: str) -> dict[str, Any]:
    """The stored form of an outcome; rates are fractions."""
    levels = {"with": outcome.with_change, "without": outcome.without_change}
    return {
        **{
            name: {"count": level.count, "mean": level.mean, "interval": list(level.interval)}
            for name, level in levels.items()
        },
        "difference": {"estimate": outcome.difference.estimate, "interval": list(outcome.difference.interval)},
        "pairs": outcome.pairs,
        "p": outcome.chance,
        "direction": outcome.direction,
        "sentence": outcome_text(outcome, title),
    }
