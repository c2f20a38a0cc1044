"""The annex of Article 73 of the EU AI Act: its fields, its clocks, what is still missing. No Django here.

Fields, periods, dates and the authority are data (regulation/article73.json, or a file that an administrator
names), so that an amended law needs no new code. The rules used are frozen with the record.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from postmortem.lib.clock import describe_duration, format_moment, parse_moment
from postmortem.lib.errors import UserError

SHIPPED = Path(__file__).with_name("regulation") / "article73.json"
MOST = {"line": 300, "email": 254, "text": 10_000}
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_NUMBER = re.compile(r"\d{1,9}")


@dataclass(frozen=True, slots=True)
class Clock:
    """One period of Article 73. `deadline` is the last moment, UTC; None while nobody was aware of anything.

    `applies` says that the kinds chosen bring it into force; `sent_late` is None until a report was sent.
    """

    key: str
    days: int
    article: str
    label: str
    applies: bool
    deadline: datetime | None
    sent_late: bool | None

    def left(self, now: datetime) -> str:
        """Time left at `now` in words, or by how much it is over."""
        if self.deadline is None:
            return "starts with awareness"
        if self.sent_late is not None:
            return "sent after the deadline" if self.sent_late else "sent in time"
        rest = self.deadline - now
        return f"{describe_duration(rest)} left" if rest > timedelta() else f"over by {describe_duration(-rest)}"


@cache
def load_rules(path: str = "") -> dict[str, Any]:
    """The rules in `path`, the shipped ones for "". Raises UserError for a file that is not of their form."""
    source = Path(path) if path else SHIPPED
    try:
        rules: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
        ZoneInfo(rules["timezone"])
        for clock in rules["clocks"]:
            int(clock["days"]), str(clock["article"]), list(clock["kinds"])
        for field in fields_of(rules):
            if field["kind"] not in {"choice", "choices", "line", "text", "email", "moment", "number"}:
                raise ValueError(f"field {field['name']} has no known kind")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"The rules of Article 73 in {source.name} cannot be read: {error}.") from error
    return rules


def fields_of(rules: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All fields in their order."""
    return [field for group in rules["groups"] for field in group["fields"]]


def check_values(rules: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Clean values for the fields of `rules`; empty ones are left out, for a first report may be incomplete.

    Moments become RFC 3339 in UTC. Raises UserError naming the field that is wrong.
    """
    known = {field["name"]: field for field in fields_of(rules)}
    if unknown := sorted(set(values) - set(known)):
        raise UserError(f"The annex has no field “{unknown[0][:60]}”; leave it out.")
    found = {}
    for name, field in known.items():
        value = _checked(field, values.get(name))
        if value not in (None, "", []):
            found[name] = value
    sent = found.get("complete_sent_at"), found.get("initial_sent_at")
    if all(sent) and str(sent[0]) < str(sent[1]):
        raise UserError("The complete report is sent after the initial one; correct one of the two times.")
    return found


def _checked(field: Mapping[str, Any], value: Any) -> Any:
    label, kind = field["label"], field["kind"]
    if value is None or value == "":
        return None
    if kind == "choices":
        given = [value] if isinstance(value, str) else value
        allowed = [key for key, _ in field["choices"]]
        if not isinstance(given, list | tuple) or any(one not in allowed for one in given):
            raise UserError(f"“{label}” takes some of: {', '.join(allowed)}.")
        return [key for key in allowed if key in given]
    if kind == "moment":
        try:
            return format_moment(value if isinstance(value, datetime) else parse_moment(str(value)))
        except ValueError as error:
            raise UserError(f"“{label}”: {error}") from error
    if kind == "number":
        if not _NUMBER.fullmatch(str(value)):
            raise UserError(f"“{label}” is a whole number, 0 or more.")
        return int(value)
    if not isinstance(value, str):
        raise UserError(f"“{label}” is a text.")
    text = value.replace("\r\n", "\n").strip()
    if kind == "choice":
        allowed = [key for key, _ in field["choices"]]
        if text and text not in allowed:
            raise UserError(f"“{label}” takes one of: {', '.join(allowed)}.")
        return text
    if len(text) > MOST[kind]:
        raise UserError(f"“{label}” has {len(text):,} characters; {MOST[kind]:,} are the most.")
    if kind == "email" and text and not _MAIL.fullmatch(text):
        raise UserError(f"“{label}” is not an e-mail address.")
    return text


def awareness(values: Mapping[str, Any], detected_at: str | None) -> tuple[datetime | None, bool]:
    """When the clocks began, UTC, and whether that is the stated time and not only the time of detection."""
    stated = values.get("aware_at")
    moment = stated or detected_at
    return (parse_moment(moment) if moment else None), bool(stated)


def clocks(rules: Mapping[str, Any], values: Mapping[str, Any], detected_at: str | None) -> list[Clock]:
    """The periods counted from awareness, shortest first.

    The day of awareness, in the authority's time zone, is not counted; a period ends with its last day.
    """
    aware, _ = awareness(values, detected_at)
    kinds = set(values.get("kinds", []))
    sent = values.get("initial_sent_at") or values.get("complete_sent_at")
    found = []
    for clock in sorted(rules["clocks"], key=lambda one: int(one["days"])):
        deadline = _last_moment(aware, int(clock["days"]), str(rules["timezone"])) if aware else None
        late = parse_moment(sent) > deadline if sent and deadline else None
        found.append(
            Clock(
                key=clock["key"], days=int(clock["days"]), article=clock["article"], label=clock["label"],
                applies=bool(kinds & set(clock["kinds"])), deadline=deadline, sent_late=late,
            )
        )  # fmt: skip
    return found


def first_deadline(found: list[Clock]) -> Clock | None:
    """The clock that runs out first among those in force; None while no kind of incident is chosen."""
    return next((clock for clock in found if clock.applies and clock.deadline), None)


def missing_fields(rules: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Labels of the required fields without a value."""
    return [field["label"] for field in fields_of(rules) if field.get("required") and not _given(values, field)]


def _given(values: Mapping[str, Any], field: Mapping[str, Any]) -> bool:
    return values.get(field["name"]) not in (None, "", [])


def in_words(field: Mapping[str, Any], value: Any) -> str:
    """A value as people read it, "" where none is given."""
    if value in (None, "", []):
        return ""
    if field["kind"] in ("choice", "choices"):
        words = dict(field["choices"])
        return "; ".join(words.get(one, str(one)) for one in (value if isinstance(value, list) else [value]))
    if field["kind"] == "moment":
        at = parse_moment(value)
        return f"{at.day} {at:%B %Y %H:%M} UTC"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _last_moment(aware: datetime, days: int, zone: str) -> datetime:
    local = aware.astimezone(ZoneInfo(zone))
    after = datetime.combine(local.date() + timedelta(days=days + 1), time(), tzinfo=ZoneInfo(zone))
    return after.astimezone(UTC) - timedelta(seconds=1)
