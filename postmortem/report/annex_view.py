"""The annex in words: groups of fields, clocks and what is missing, for HTML, PDF and Markdown alike. Pure."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from postmortem.report import article73
from postmortem.report.present import when

_TIMES = (
    ("latent_since", "latent since"), ("onset_at", "began"), ("detected_at", "detected"), ("mitigated_at", "mitigated"),
    ("recovered_at", "signal back"), ("users_recovered_at", "users recovered"),
)  # fmt: skip
_TITLES = {"initial": "Initial report", "followup": "Follow-up report", "complete": "Complete report"}


def annex_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the annex shows. A record without the section is shown under the shipped rules, with nothing stated."""
    section = record.get("annex") or {}
    rules: Mapping[str, Any] = section.get("rules") or article73.load_rules()
    values: Mapping[str, Any] = section.get("values") or {}
    detected = record["incident"]["detected_at"]
    aware, stated = article73.awareness(values, detected)
    clocks = article73.clocks(rules, values, detected)
    first = article73.first_deadline(clocks)
    missing = article73.missing_fields(rules, values)
    kind = values.get("report_type", "")
    zone = ZoneInfo(str(rules["timezone"]))
    return {
        "law": rules["name"],
        "short": rules.get("short", rules["name"]),
        "edition": rules.get("edition", ""),
        "applies_from": _date(str(rules.get("applies_from", ""))),
        "applies_note": " ".join(filter(None, (rules.get("applies_note", ""), _not_yet(aware, rules, zone)))),
        "counting": rules.get("counting", ""),
        "report_title": _TITLES.get(kind, "Report"),
        "incomplete_allowed": kind == "initial",
        "aware": f"{when(_text(aware))} UTC" if aware else "not known",
        "aware_stated": stated,
        "clocks": [_clock(one, zone, first=first, is_open=not values.get("kinds")) for one in clocks],
        "first": _clock(first, zone, first=first) if first else None,
        "zone": zone.key,
        "times": _times(record["incident"]),
        "groups": [
            {
                "key": group["key"],
                "title": group["title"],
                "rows": [
                    {
                        "label": field["label"],
                        "value": article73.in_words(field, values.get(field["name"])),
                        "required": bool(field.get("required")),
                        "note": _from_record(record, field["name"], values),
                    }
                    for field in group["fields"]
                ],
            }
            for group in rules["groups"]
        ],
        "missing": missing,
        "is_complete": not missing,
        "revision": section.get("revision", 0),
        "edited": f"{section['edited_by']}, {when(section['edited_at'])} UTC" if section else "",
    }


def _clock(
    clock: article73.Clock, zone: ZoneInfo, *, first: article73.Clock | None, is_open: bool = False
) -> dict[str, Any]:
    sent = "" if clock.sent_late is None else ("sent after it" if clock.sent_late else "sent in time")
    return {
        "days": f"{clock.days} days",
        "article": f"Article {clock.article}",
        "label": clock.label,
        "applies": clock.applies,
        "is_first": first is not None and clock.key == first.key,
        "deadline": f"{_day(clock.deadline, zone)} ({zone.key})" if clock.deadline else "starts with awareness",
        "until": _day(clock.deadline, zone) if clock.deadline else "starts with awareness",
        "sent": sent,
        "state": "open" if is_open else f"applies{f', {sent}' if sent else ''}" if clock.applies else "does not apply",
    }


def _day(at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"end of {local.day} {local:%B %Y}"


def _not_yet(aware: datetime | None, rules: Mapping[str, Any], zone: ZoneInfo) -> str:
    """One sentence for an incident that was known before the law applied."""
    begins = str(rules.get("applies_from", ""))
    if aware is None or not begins or aware.astimezone(zone).date() >= date.fromisoformat(begins):
        return ""
    return "On the day of awareness Article 73 did not apply yet: the periods show what it would ask."


def _times(incident: Mapping[str, Any]) -> str:
    """ "Began 9 Mar 2026 09:20; detected …" in UTC, of what the record knows."""
    known = [f"{words} {when(incident[name])}" for name, words in _TIMES if incident.get(name)]
    text = "; ".join(known)
    return f"{text[:1].upper()}{text[1:]} (UTC)." if known else "No time is recorded."


def _from_record(record: Mapping[str, Any], name: str, values: Mapping[str, Any]) -> str:
    """What the record knows about a field that nobody stated."""
    if values.get(name) not in (None, "", []):
        return ""
    count, detected = record["incident"].get("affected_people"), record["incident"].get("detected_at")
    if name == "persons_affected" and count is not None:
        return f"the record counts {count:,}"
    return f"detected {when(detected)} UTC" if name == "aware_at" and detected else ""


def _date(text: str) -> str:
    day = date.fromisoformat(text) if text else None
    return f"{day.day} {day:%B %Y}" if day else "a date that the rules do not state"


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def deadline_of(record: Mapping[str, Any]) -> datetime | None:
    """The moment at which the first clock in force runs out, UTC."""
    section = record.get("annex") or {}
    if not section:
        return None
    found = article73.clocks(section["rules"], section["values"], record["incident"]["detected_at"])
    first = article73.first_deadline(found)
    return first.deadline if first else None
