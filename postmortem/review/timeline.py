"""The timeline of an incident as data: what stands on it, and what is missing from it. No Django here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from postmortem.lib.clock import describe_duration, parse_moment
from postmortem.lib.layers import Layer

# What an incident's times are called; the first five stand in every report.
TIMES = {
    "latent_since": "Latent since",
    "onset_at": "Onset",
    "detected_at": "Detected",
    "mitigated_at": "Mitigated",
    "recovered_at": "Recovered",
    "users_recovered_at": "Users recovered",
    "resolved_at": "Resolved",
}
_NEEDED = {
    "onset_at": "when answers began to get worse",
    "detected_at": "when somebody first knew",
    "mitigated_at": "when the harm was stopped",
    "recovered_at": "when the signal was back",
    "users_recovered_at": "when the people who were harmed had been put right",
}
_TELLS = ("alert", "report", "note")  # kinds of note that can say how it was noticed
_NEAR_DETECTION = timedelta(hours=1)
_BEFORE_MITIGATION = timedelta(hours=3)
_SILENCE = timedelta(hours=4)
_SILENT_SHARE = 0.25  # of the whole incident


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """A moment of the incident (UTC).

    `kind`: latent_since, onset, detected, mitigated, recovered, users_recovered, resolved, onset_estimate,
    recovery_estimate, change,
    rollout (a rollout that was complete), signal, unlogged, note, alert, report or response. `source` says where it
    comes from. `key` names it for marks ("change.12", "note.3", "time.onset_at"). `was_at` and `was_text` hold what
    was assembled where people corrected it. `revision` is that of its note or mark, 0 without.
    """

    at: datetime
    kind: str
    text: str
    layer: Layer | None
    source: str
    key: str = ""
    pinned: bool = False
    hidden: bool = False
    was_at: datetime | None = None
    was_text: str = ""
    revision: int = 0
    note_id: int | None = None

    @property
    def is_note(self) -> bool:
        """Whether people wrote it here."""
        return self.note_id is not None

    @property
    def is_time(self) -> bool:
        """Whether it is one of the incident's own times, which are corrected in the record."""
        return self.key.startswith("time.")


@dataclass(frozen=True, slots=True)
class TimelineGap:
    """Something that the timeline does not say. `field` is the incident time that mends it, "" for a note."""

    text: str
    field: str = ""
    at: datetime | None = None


def signal_items(result: Mapping[str, Any], run: int) -> list[TimelineItem]:
    """What the signal itself says, from the series of a finding: first outside the baseline, worst, back inside."""
    series, baseline = result.get("series") or [], (result.get("windows") or {}).get("baseline") or {}
    signal = result.get("signal") or {}
    if not series or baseline.get("mean") is None:
        return []
    sign = 1 if signal.get("worse") == "higher" else -1
    label, unit = str(signal.get("label") or signal.get("name") or "The signal"), str(signal.get("unit", "score"))
    label = label[:1].upper() + label[1:] if label.replace(" ", "").isalpha() else label
    end = parse_moment(baseline["end"])
    during = [one for one in series if one.get("mean") is not None and parse_moment(one["start"]) >= end]
    # Worse for sure: the whole interval lies on the bad side of the baseline's mean.
    bad = [one for one in during if min(sign * (edge - baseline["mean"]) for edge in one["interval"]) > 0]
    if not bad:
        return []
    source = f"run {run}"
    worst = max(bad, key=lambda one: sign * one["mean"])
    items = [
        _signal(bad[0], f"{label} first worse than before: {_value(bad[0], unit)}", source),
        _signal(worst, f"{label} at its worst: {_value(worst, unit)}", source),
    ]
    after = [one for one in during if one["start"] > bad[-1]["start"]]
    if after:
        items.append(_signal(after[0], f"{label} no longer worse than before: {_value(after[0], unit)}", source))
    unique = {item.at: item for item in reversed(items)}
    return sorted(unique.values(), key=lambda item: item.at)


def gaps(times: Mapping[str, datetime | None], items: Sequence[TimelineItem]) -> list[TimelineGap]:
    """What the timeline does not say, in order: missing times, an unexplained detection or mitigation, silences.

    `times` are the incident's, by field; `items` what is shown. Silence counts from the onset to the mitigation,
    from four hours and a quarter of the whole on.
    """
    found = [
        TimelineGap(f"Nothing says {words}.", field) for field, words in _NEEDED.items() if times.get(field) is None
    ]
    found += [gap for gap in (_detection(times, items), _mitigation(times, items)) if gap]
    start, end = times.get("onset_at"), times.get("mitigated_at")
    if start is None or end is None or end <= start:
        return found
    least = max(_SILENCE, (end - start) * _SILENT_SHARE)
    told = sorted({start, end, *(item.at for item in items if start < item.at < end)})
    for before, after in pairwise(told):
        if after - before >= least:
            span = describe_duration(after - before)
            found.append(TimelineGap(f"{span} pass without a word: what did people see and do?", "", before))
    return found


def _detection(times: Mapping[str, datetime | None], items: Sequence[TimelineItem]) -> TimelineGap | None:
    detected = times.get("detected_at")
    if detected is None:
        return None
    told = any(item.kind in _TELLS and abs(item.at - detected) <= _NEAR_DETECTION for item in items)
    return None if told else TimelineGap("No alert, report or note says how it was noticed.", "", detected)


def _mitigation(times: Mapping[str, datetime | None], items: Sequence[TimelineItem]) -> TimelineGap | None:
    mitigated = times.get("mitigated_at")
    if mitigated is None:
        return None
    told = any(
        (item.is_note or item.kind == "change")
        and mitigated - _BEFORE_MITIGATION <= item.at <= mitigated + _NEAR_DETECTION
        for item in items
    )
    return None if told else TimelineGap("No change, response or note says what stopped it.", "", mitigated)


def _signal(span: Mapping[str, Any], text: str, source: str) -> TimelineItem:
    at = parse_moment(span["start"])
    return TimelineItem(at, "signal", text, None, source, key=f"signal.{at:%Y%m%dT%H%M%S}")


def _value(span: Mapping[str, Any], unit: str) -> str:
    """ "64.9% (58.1 to 71.2), n 188"."""
    scale, decimals = (100, 1) if unit == "share" else (1, 2)
    mean, *bounds = (f"{scale * one:.{decimals}f}".replace("-", "−") for one in (span["mean"], *span["interval"]))
    count = f", n\u00a0{span['count']:,}" if span.get("count") else ""
    return f"{mean}{ {'share': '%', 's': ' s', 'USD': ' USD'}.get(unit, '') } ({' to '.join(bounds)}){count}"
