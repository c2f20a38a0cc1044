"""Reading a case in the open formats: incident.json, changes.jsonl, traces.jsonl or traces.jsonl.gz.

A case is a folder. Bytes are bounded before they are parsed, and what is wrong is said with its file and line.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from postmortem.attribution.shapes import AttributionCase, Span
from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.traces.records import TraceRecord

MAX_FILE_BYTES = 2_000_000_000  # unpacked
MAX_TRACES = 2_000_000
MAX_CHANGES = 5_000


def case_folders(root: Path) -> list[Path]:
    """Folders below `root` that hold an incident.json, by name. Raises UserError if there is none."""
    if not root.is_dir():
        raise UserError(f"“{root}” is not a folder; give one that holds case folders.")
    folders = sorted(path.parent for path in root.glob("*/incident.json"))
    if not folders:
        raise UserError(f"No folder in “{root}” holds an incident.json.")
    return folders


def read_case(path: Path) -> AttributionCase:
    """Read one case folder. Raises UserError that names the file, and the line, that cannot be read."""
    incident_path = path / "incident.json"
    try:
        incident = json.loads(incident_path.read_bytes())
        return AttributionCase(
            signal=str(incident["signal"]),
            worse=_worse(incident.get("worse", "lower")),
            detected_at=parse_moment(incident["detected_at"]),
            changes=tuple(_read_changes(path / "changes.jsonl")),
            traces=tuple(_read_traces(path)),
            baseline=_span(incident.get("baseline")),
            incident=_span(incident.get("incident")),
        )
    except OSError as error:
        raise UserError(f"{path.name}: {incident_path.name} cannot be read.") from error
    except KeyError as error:
        raise UserError(f"{path.name}: incident.json has no {error}; it needs signal, worse and detected_at.") from error
    except (TypeError, AttributeError, json.JSONDecodeError) as error:
        raise UserError(f"{path.name}: incident.json is not an object with signal, worse and detected_at.") from error
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path.name}: incident.json: {error}") from error


def _worse(value: object) -> str:
    if value not in ("lower", "higher"):
        raise UserError("incident.json: worse must be “lower” or “higher”.")
    return str(value)


def _span(value: object) -> Span | None:
    if value is None:
        return None
    if isinstance(value, dict):
        value = [value.get("start"), value.get("end")]
    if not isinstance(value, list) or len(value) != 2:
        raise UserError("incident.json: a window is [start, end].")
    start, end = parse_moment(str(value[0])), parse_moment(str(value[1]))
    if start >= end:
        raise UserError("incident.json: a window must start before it ends.")
    return start, end


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered JSON objects of a JSONL file, unpacked if its name ends with .gz."""
    opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    size = 0
    with opened as file:
        number = 0
        try:
            for number, line in enumerate(file, start=1):
                size += len(line)
                if size > MAX_FILE_BYTES:
                    raise UserError(f"{path.parent.name}: {path.name} is larger than {MAX_FILE_BYTES:,} bytes.")
                if line.strip():
                    entry = json.loads(line)
                    if not isinstance(entry, dict):
                        raise UserError(f"{path.parent.name}: {path.name} line {number} is not an object.")
                    yield number, entry
        except (OSError, EOFError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"{path.parent.name}: {path.name} cannot be read at line {number}.") from error


def _read_changes(path: Path) -> Iterator[ChangeRecord]:
    if not path.exists():
        return
    seen: set[str] = set()
    for number, entry in _lines(path):
        try:
            change = change_from_entry(entry)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{path.parent.name}: {path.name} line {number} is not a change: {error}.") from error
        if change.id in seen:
            continue
        seen.add(change.id)
        if len(seen) > MAX_CHANGES:
            raise UserError(f"{path.parent.name}: {path.name} has more than {MAX_CHANGES:,} changes.")
        yield change


def change_from_entry(entry: Mapping[str, Any]) -> ChangeRecord:
    """One change of the open format. Raises KeyError or ValueError for what is missing or wrong.

    Lenient where the order of times is wrong (`until` before `at` counts as instant): logs are.
    """
    at = parse_moment(entry["at"])
    until = parse_moment(entry["until"]) if entry.get("until") else at
    stages = entry.get("stages") or {}
    share = entry.get("canary_share")
    return ChangeRecord(
        id=str(entry["id"]),
        layer=Layer(entry["layer"]),
        at=at,
        until=max(at, until),
        rollout=str(entry.get("rollout") or "instant"),
        scope={
            str(facet): tuple(str(value) for value in (values if isinstance(values, list) else [values]))
            for facet, values in (entry.get("scope") or {}).items()
        },
        facet=entry.get("facet") or None,
        to_version=entry.get("to_version") or None,
        from_version=entry.get("from_version") or None,
        canary_share=None if share is None else float(share),
        stage_facet=stages.get("facet"),
        stage_order=tuple(str(value) for value in stages.get("order", ())),
        summary=str(entry.get("summary") or ""),
        actor=str(entry.get("actor") or ""),
        link=str(entry.get("link") or ""),
        is_rollback=bool(entry.get("is_rollback", False)),
    )


def _read_traces(folder: Path) -> Iterator[TraceRecord]:
    path = folder / "traces.jsonl.gz"
    if not path.exists():
        path = folder / "traces.jsonl"
    if not path.exists():
        raise UserError(f"{folder.name}: there is neither traces.jsonl nor traces.jsonl.gz.")
    for number, entry in _lines(path):
        if number > MAX_TRACES:
            raise UserError(f"{folder.name}: {path.name} has more than {MAX_TRACES:,} traces.")
        try:
            moment = datetime.fromisoformat(entry["timestamp"])
            yield TraceRecord(
                external_id=entry.get("id", ""),
                timestamp=moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC),
                facets=entry.get("facets") or {},
                scores=entry.get("scores") or {},
                latency_seconds=entry.get("latency"),
                cost_usd=entry.get("cost"),
                input_tokens=entry.get("input_tokens"),
                has_error=bool(entry.get("error", False)),
                name=entry.get("name", ""),
                environment=entry.get("environment", ""),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{folder.name}: {path.name} line {number} is not a trace: {error}.") from error
