"""Reading a case in the open formats: incident.json, changes.jsonl, traces.jsonl or traces.jsonl.gz.

A case is a folder. Bytes are bounded before they are parsed, and what is wrong is said with its file and line.
"""

import gzip
import json
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import orjson

from postmortem.attribution.shapes import AttributionCase, Span
from postmortem.changes.log_files import parse_changes
from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.traces.cells import Cells, ProfileNumbers, cells_of_columns
from postmortem.traces.normalise import trace_from_open
from postmortem.traces.signals import SIGNALS, signal_value

MAX_FILE_BYTES = 2_000_000_000  # unpacked
MAX_TRACES = 2_000_000
_PLAIN_FIELDS = frozenset({"id", "timestamp", "facets", "scores", "latency", "input_tokens"})
_STRING, _NUMBERS = frozenset({str}), frozenset({int, float})
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
        signal, detected = str(incident["signal"]), parse_moment(incident["detected_at"])
        baseline, window = _span(incident.get("baseline")), _span(incident.get("incident"))
        changes = tuple(_read_changes(path / "changes.jsonl"))
        cells, count = _read_traces(path, signal, case_edges(changes, detected, baseline, window))
        return AttributionCase(
            signal=signal,
            worse=_worse(incident.get("worse", "lower")),
            detected_at=detected,
            changes=changes,
            cells=cells,
            trace_count=count,
            baseline=baseline,
            incident=window,
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


def case_edges(changes: Sequence[ChangeRecord], detected: datetime, *spans: Span | None) -> list[float]:
    """Moments (seconds since 1970, UTC) that no cell may cross: changes, detection and windows begin or end there."""
    moments = [detected, *(moment for change in changes for moment in (change.at, change.until))]
    moments += [moment for span in spans if span for moment in span]
    return [moment.timestamp() for moment in moments]


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
                    entry = _loads(line)
                    if not isinstance(entry, dict):
                        raise UserError(f"{path.parent.name}: {path.name} line {number} is not an object.")
                    yield number, entry
        except (OSError, EOFError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"{path.parent.name}: {path.name} cannot be read at line {number}.") from error


def _loads(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)  # it knows NaN, and says better what is wrong


def _read_changes(path: Path) -> list[ChangeRecord]:
    """The change log; no file, or an empty one, is an empty log."""
    if not path.exists() or not path.stat().st_size:
        return []
    try:
        return [parsed.record for parsed in parse_changes(path.read_bytes(), path.name)]
    except UserError as error:
        raise UserError(f"{path.parent.name}: {error}") from error


def _read_traces(folder: Path, signal: str, edges: list[float]) -> tuple[Cells, int]:
    """The cells of the traces that have the signal, and how many traces there are."""
    path = folder / "traces.jsonl.gz"
    if not path.exists():
        path = folder / "traces.jsonl"
    if not path.exists():
        raise UserError(f"{folder.name}: there is neither traces.jsonl nor traces.jsonl.gz.")
    numbers, count = ProfileNumbers(), 0
    profile, seconds, values = array("i"), array("d"), array("d")
    for number, entry in _lines(path):
        count += 1
        if count > MAX_TRACES:
            raise UserError(f"{folder.name}: {path.name} has more than {MAX_TRACES:,} traces.")
        try:
            facets, moment, value = _facts(entry, signal)
        except UserError as error:
            raise UserError(f"{folder.name}: {path.name} line {number}: {error}.") from error
        if value is not None and math.isfinite(value):
            profile.append(numbers.of(facets))
            seconds.append(moment.timestamp())
            values.append(value)
    cells = cells_of_columns(
        profiles=numbers.profiles(),
        profile=np.array(profile, dtype=np.int32),
        seconds=np.array(seconds, dtype=np.float64),
        values=np.array(values, dtype=np.float64),
        edges=edges,
    )
    return cells, count


def _facts(entry: dict[str, Any], signal: str) -> tuple[dict[str, str], datetime, float | None]:
    """Facets, time and signal of a trace in the open format; an ordinary one without the checks of odd ones."""
    facets, scores, stamp = entry.get("facets"), entry.get("scores") or {}, entry.get("timestamp")
    latency = entry.get("latency")
    if (
        entry.keys() <= _PLAIN_FIELDS
        and isinstance(stamp, str)
        and _PLAIN_MOMENT.fullmatch(stamp)
        and isinstance(facets, dict)
        and isinstance(scores, dict)
        and (signal not in SIGNALS or signal == "latency")
        and _STRING.issuperset(map(type, facets.values()))
        and "" not in facets.values()
        and _NUMBERS.issuperset(map(type, scores.values()))
        and isinstance(latency, (int, float, NoneType))
    ):
        try:
            moment = datetime.fromisoformat(stamp)
        except ValueError as error:
            raise UserError(f"“{stamp}” is not a date and time") from error
        value = latency if signal == "latency" and latency is not None else scores.get(signal)
        return facets, moment, None if value is None else float(value)
    record = trace_from_open(entry)
    return dict(record.facets), record.timestamp, signal_value(record, signal)
