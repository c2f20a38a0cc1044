"""First guess of the baseline and incident windows; people correct it. No Django here."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from postmortem.lib.errors import UserError

BASELINE = timedelta(days=7)
ONSET_BEFORE_DETECTION = timedelta(days=2)
AFTER_DETECTION = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Windows:
    """Two half-open spans [start, end), UTC; the baseline ends where the incident starts."""

    baseline_start: datetime
    baseline_end: datetime
    incident_start: datetime
    incident_end: datetime


def suggest_windows(*, onset: datetime | None, detected_at: datetime | None, end: datetime | None) -> Windows:
    """Seven days of baseline before the onset, then the incident until `end`.

    Without an onset the incident is taken to start two days before detection. Without an end
    (mitigation) it lasts until one day after detection, or after the onset when nobody detected it.
    Raises UserError when neither onset nor detection is known.
    """
    if onset is None and detected_at is None:
        raise UserError("There is no onset and no detection time to place the windows by; enter one of them.")
    start = onset if onset is not None else (detected_at or datetime.max) - ONSET_BEFORE_DETECTION
    if end is None or end <= start:
        end = max(detected_at or start, start) + AFTER_DETECTION
    return Windows(baseline_start=start - BASELINE, baseline_end=start, incident_start=start, incident_end=end)
