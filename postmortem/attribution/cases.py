"""Reading a case in the open formats: incident.json, changes.jsonl, traces.jsonl or traces.jsonl.gz.

A case is a folder. Bytes are bounded before they are parsed, and what is wrong is said with its file and line.
"""

import gzip
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any

from postmortem.attribution.shapes import AttributionCase, Span
from postmortem.changes.parse import parse_changes
from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.traces.normalise import trace_from_open
from postmortem.traces.records import TraceRecord

MAX_FILE_BYTES = 2_000_000_000  # unpacked
MAX_TRACES = 2_000_000
_PLAIN_FIELDS = frozenset({"id", "timestamp", "facets", "scores", "latency", "input_tokens"})
_PLAIN_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


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
        raise UserError(
            f"{path.name}: incident.json has no {error}; it needs signal, worse and detected_at."
        ) from error
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
    size = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
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


def _read_changes(path: Path) -> list[ChangeRecord]:
    """The change log; no file, or an empty one, is an empty log."""
    if not path.exists() or not path.stat().st_size:
        return []
    try:
        return [parsed.record for parsed in parse_changes(path.read_bytes(), path.name)]
    except UserError as error:
        raise UserError(f"{path.parent.name}: {path.name}: {error}") from error


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
            yield _trace(entry)
        except UserError as error:
            raise UserError(f"{folder.name}: {path.name} line {number}: {error}.") from error


def _trace(entry: dict[str, Any]) -> TraceRecord:
    """A trace of the open format; the ordinary one without the checks that only odd ones need."""
    facets, scores, stamp = entry.get("facets"), entry.get("scores") or {}, entry.get("timestamp")
    if (
        entry.keys() <= _PLAIN_FIELDS
        and isinstance(stamp, str)
        and _PLAIN_MOMENT.fullmatch(stamp)
        and isinstance(facets, dict)
        and isinstance(scores, dict)
        and all(type(value) is str and value for value in facets.values())
        and all(type(value) in (int, float) for value in scores.values())
        and isinstance(entry.get("latency"), (int, float, NoneType))
    ):
        try:
            return TraceRecord(
                external_id=str(entry.get("id")),
                timestamp=datetime.fromisoformat(stamp),
                facets=facets,
                scores=scores,
                latency_seconds=entry.get("latency"),
                input_tokens=entry.get("input_tokens"),
            )
        except ValueError as error:
            raise UserError(f"“{stamp}” is not a date and time") from error
    return trace_from_open(entry)
