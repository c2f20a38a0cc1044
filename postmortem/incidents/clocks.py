"""The five clocks of an incident, from latent change to users recovered. No Django here."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Clock:
    """One span. `duration` is None while an end is missing; `sentence` then says what is missing."""

    key: str
    label: str
    duration: timedelta | None
    start: datetime | None
    end: datetime | None
    sentence: str


def five_clocks(  # noqa: PLR0917
    latent_since: datetime | None,
    onset: datetime | None,
    detected: datetime | None,
    mitigated: datetime | None,
    recovered: datetime | None,
    users_recovered: datetime | None,
) -> list[Clock]:
    """Always five, in this order; all moments UTC.

    Latent runs from the latent change to the onset, detection from the onset, mitigation from
    detection, both recoveries from mitigation. A span that runs backwards keeps its minus:
    an incident can be over before anybody notices it.
    """
    return [
        _clock("latent", "Latent", ("latent change", latent_since), ("onset", onset), "{start} to onset"),
        _clock("detect", "To detect", ("onset", onset), ("detection", detected), "onset to {end}"),
        _clock("mitigate", "To mitigate", ("detection", detected), ("mitigation", mitigated), "detected to {end}"),
        _clock("recover", "To recover", ("mitigation", mitigated), ("recovery", recovered), "signal back {end}"),
        _clock(
            "users_recovered",
            "Users recovered",
            ("mitigation", mitigated),
            ("users' recovery", users_recovered),
            "mitigated to {end}",
        ),
    ]


def _clock(
    key: str, label: str, start: tuple[str, datetime | None], end: tuple[str, datetime | None], text: str
) -> Clock:
    start_name, start_at = start
    end_name, end_at = end
    if start_at is None or end_at is None:
        missing = start_name if start_at is None else end_name
        return Clock(key, label, None, start_at, end_at, f"no time of {missing} recorded")
    if end_at < start_at:
        sentence = f"{end_name} {_short(end_at)}, before {start_name} {_short(start_at)}"
    else:
        sentence = text.format(start=_short(start_at), end=_short(end_at))
    return Clock(key, label, end_at - start_at, start_at, end_at, sentence)


def _short(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %H:%M}"
