"""Moments in UTC and durations in words. No local time anywhere below the templates."""

from datetime import UTC, datetime, timedelta


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
