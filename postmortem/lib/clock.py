"""Moments in UTC and durations in words. No local time anywhere below the templates."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones


def utc_now() -> datetime:
    """The present moment, time zone UTC."""
    return datetime.now(UTC)


def parse_moment(text: str) -> datetime:
    """Parse RFC 3339 / ISO 8601 into UTC; a moment without offset is taken as UTC.

    Raises ValueError with a sentence for anything else, also for years outside 1970 to 2200.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, AttributeError) as error:
        raise ValueError(f"“{str(text)[:60]}” is not a date and time; write it like 2026-03-09T09:40:00Z.") from error
    if moment.tzinfo is not UTC:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if not 1970 <= moment.year <= 2200:
        raise ValueError(f"“{str(text)[:60]}” is outside the years 1970 to 2200.")
    return moment


def format_moment(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and Z, the form of every file and hash of the product."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def describe_duration(duration: timedelta) -> str:
    """Two largest units for people: "4 d 20 h", "2 h 20 min", "45 s"; negative durations keep a minus."""
    seconds = int(abs(duration.total_seconds()))
    sign = "−" if duration.total_seconds() < 0 else ""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    named = [f"{value} {unit}" for value, unit in parts if value][:2]
    return sign + (" ".join(named) if named else f"{seconds} s")


def known_zone(name: str) -> ZoneInfo:
    """The time zone of that name, e.g. "Europe/Berlin". Raises ValueError with a sentence for any other."""
    if name not in available_timezones():
        raise ValueError(f"“{name[:60]}” is not a time zone; write it like Europe/Berlin.")
    return ZoneInfo(name)


def local_to_utc(moment: datetime, zone: str) -> datetime:
    """A wall-clock time without zone, read in `zone`, as UTC.

    Raises ValueError with a sentence when the clocks skipped it or showed it twice that night.
    """
    known = known_zone(zone)
    first, second = (moment.replace(tzinfo=known, fold=fold).astimezone(UTC) for fold in (0, 1))
    shown = f"{moment:%Y-%m-%d %H:%M}"
    if first.astimezone(known).replace(tzinfo=None, fold=0) != moment:
        raise ValueError(f"The clocks of {zone} skipped {shown}; give the time in UTC.")
    if first != second:
        raise ValueError(f"The clocks of {zone} showed {shown} twice; give the time in UTC.")
    return first


def beside(moment: datetime, zone: str) -> str:
    """A moment on a reader's clock: "10:40 CET", with the day where it is another than in UTC; "" for UTC."""
    if zone in ("", "UTC") or zone not in available_timezones():
        return ""
    local = moment.astimezone(ZoneInfo(zone))
    day = "" if local.date() == moment.astimezone(UTC).date() else f"{local.day} {local:%b} "
    return f"{day}{local:%H:%M %Z}"
