"""The calendar of model retirements: a data file of our own, an administrator's, and people's entries. Pure."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from postmortem.lib.errors import UserError

_OWN = Path(__file__).parent / "retirements.json"
MAX_BYTES, MAX_ENTRIES = 2 * 1024 * 1024, 5_000
_VENDOR = re.compile(
    r"^(?:[a-z0-9_-]+/)+|^(?:us|eu|apac|global)\.(?=[a-z])|^(?:anthropic|openai|meta|mistral|cohere)\."
)
_BUILD = re.compile(r"-v\d+(?::\d+)?$|:latest$")


@dataclass(frozen=True, slots=True)
class Retirement:
    """From `retires_on` (UTC) the provider no longer serves the model; `source` is where it says so."""

    model: str
    retires_on: date
    source: str = ""
    replacement: str = ""

    @property
    def moment(self) -> datetime:
        """The beginning of that day."""
        return datetime.combine(self.retires_on, time(), UTC)


def read_retirement(fields: Mapping[str, Any], *, needs_source: bool = True) -> Retirement:
    """Check the fields of one entry. Raises UserError with a sentence that names the field."""
    texts = {name: str(fields.get(name) or "").strip() for name in ("model", "retires_on", "source", "replacement")}
    if not texts["model"] or len(texts["model"]) > 200 or "\x00" in texts["model"]:
        raise UserError("the field “model” must be the model's id, of up to 200 characters.")
    try:
        day = date.fromisoformat(texts["retires_on"])
    except ValueError as error:
        raise UserError("the field “retires_on” must be a date like 2026-09-30.") from error
    if not 2015 <= day.year <= 2200:
        raise UserError("the field “retires_on” is outside the years 2015 to 2200.")
    if (texts["source"] or needs_source) and not texts["source"].lower().startswith(("https://", "http://")):
        raise UserError("the field “source” must be a link to where the provider says so, with https:// or http://.")
    for name, most in (("replacement", 200), ("source", 1000)):
        if len(texts[name]) > most or "\x00" in texts[name]:
            raise UserError(f"the field “{name}” has at most {most} characters.")
    return Retirement(texts["model"], day, texts["source"], texts["replacement"])


def parse_calendar(data: bytes, filename: str, *, needs_source: bool = True) -> list[Retirement]:
    """Entries of a JSON file ({"models": […]} or a list) or a CSV with the same names as its first line.

    Raises UserError naming file, entry or line, and field; a file with one bad entry is refused whole.
    """
    what = PurePath(filename).name[:80] or "The file"
    if len(data) > MAX_BYTES:
        raise UserError(f"{what} has more than {MAX_BYTES // 1024 // 1024} MB; a calendar is smaller.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{what} is not UTF-8 text; save it as UTF-8.") from error
    rows = _csv(text, what) if what.lower().endswith(".csv") else _json(text, what)
    found: list[Retirement] = []
    for where, fields in rows:
        try:
            found.append(read_retirement(fields, needs_source=needs_source))
        except UserError as error:
            raise UserError(f"{what}, {where}: {error}") from error
        if len(found) > MAX_ENTRIES:
            raise UserError(f"{what} has more than {MAX_ENTRIES:,} entries.")
    if not found:
        raise UserError(f"{what} lists no models.")
    return found


def _json(text: str, what: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{what} is not JSON.") from error
    entries = value.get("models") if isinstance(value, dict) else value
    if not isinstance(entries, list):
        raise UserError(f"{what} has no list “models”.")
    for place, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise UserError(f"{what}, entry {place}: this is not an object with model, retires_on and source.")
        yield f"entry {place}", entry


def _csv(text: str, what: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            yield f"line {reader.line_num}", {str(name).strip().lower(): cell for name, cell in row.items()}
    except csv.Error as error:
        raise UserError(f"{what}, line {reader.line_num}: this is not CSV ({error}).") from error


@lru_cache(maxsize=4)
def shipped_calendar(extra: str = "") -> tuple[Retirement, ...]:
    """What comes with the product, and the entries of the file `extra`, which win. Raises UserError."""
    found = _shipped(_OWN)
    if extra:
        found |= _shipped(Path(extra))
    return tuple(found.values())


def _shipped(path: Path) -> dict[str, Retirement]:
    try:
        return {one.model: one for one in parse_calendar(path.read_bytes(), path.name, needs_source=False)}
    except OSError as error:
        raise UserError(f"The calendar of model retirements {path.name} cannot be read.") from error


def model_retirements(extra: str = "") -> dict[str, datetime]:
    """Model id → when its provider stops to serve it (UTC), of `shipped_calendar`."""
    return {one.model: one.moment for one in shipped_calendar(extra)}


def plain_model(model: str) -> str:
    """A model id without what clouds and gateways put around it: "us.anthropic.claude-2.1-v1:0" is "claude-2.1"."""
    name = model.strip().lower().replace("@", "-")
    for _ in range(3):
        name = _VENDOR.sub("", name)
    return _BUILD.sub("", name)


def retirements_of(models: Iterable[str], calendar: Mapping[str, datetime]) -> dict[str, tuple[str, datetime]]:
    """For each of these models that retires: the calendar's name for it, and when. An exact name goes first."""
    plain = {plain_model(name): (name, moment) for name, moment in calendar.items()}
    found = {}
    for model in models:
        known = (model, calendar[model]) if model in calendar else plain.get(plain_model(model)) if model else None
        if known is not None:
            found[model] = known
    return found
