"""Onset, detection, mitigation and recovery on one series: the signal's own clock beside the one people kept. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from postmortem.attribution.wording import moment_text, signed
from postmortem.lib.clock import describe_duration, parse_moment


@dataclass(frozen=True, slots=True)
class MeasuredClock:
    """One moment or span, with its interval or what is missing as a note."""

    label: str
    value: str
    note: str


def measured_clocks(
    result: Mapping[str, Any], *, detected: datetime | None, mitigated: datetime | None
) -> list[MeasuredClock]:
    """What a run's result says of when it began and ended; empty without an onset. `result` is published JSON."""
    onset = result.get("onset")
    if not onset:
        return []
    begun, (low, high) = parse_moment(onset["at"]), _moments(onset["interval"])
    clocks = [MeasuredClock("Onset", moment_text(begun), _span(low, high))]
    if detected is not None:
        clocks.append(
            MeasuredClock(
                "Onset to detection", describe_duration(detected - begun),
                f"{describe_duration(detected - high)} to {describe_duration(detected - low)}; "
                f"detected {moment_text(detected)}",
            )
        )  # fmt: skip
    if detected is not None and mitigated is not None:
        note = f"mitigated {moment_text(mitigated)}"
        clocks.append(MeasuredClock("Detection to mitigation", describe_duration(mitigated - detected), note))
    return [*clocks, *_recovery(result.get("recovery"), mitigated)]


def _recovery(found: Mapping[str, Any] | None, mitigated: datetime | None) -> list[MeasuredClock]:
    if not found:
        note = "no step back stands out, or no traces came after the incident window"
        return [MeasuredClock("Signal back", "not measured", note)]
    back, (low, high) = parse_moment(found["at"]), _moments(found["interval"])
    share, bounds = found["share"]["estimate"], found["share"]["interval"]
    clocks = [MeasuredClock("Signal back", moment_text(back), _span(low, high))]
    if mitigated is not None:
        span = f"{describe_duration(low - mitigated)} to {describe_duration(high - mitigated)}"
        clocks.append(MeasuredClock("Mitigation to recovery", describe_duration(back - mitigated), span))
    gone = signed(f"{100 * share:.0f}%")
    note = signed(f"{100 * bounds[0]:.0f} to {100 * bounds[1]:.0f}; n {found['during']:,} and {found['after']:,}")
    return [*clocks, MeasuredClock("Harm gone since", gone, note)]


def _span(low: datetime, high: datetime) -> str:
    return f"{low.day} {low:%b %H:%M} to {high.day} {high:%b %H:%M}"


def _moments(pair: list[str]) -> tuple[datetime, datetime]:
    return parse_moment(pair[0]), parse_moment(pair[1])
