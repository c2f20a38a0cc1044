"""Windows and clocks are plain arithmetic on moments."""

from datetime import UTC, datetime, timedelta

import pytest

from postmortem.incidents.clocks import five_clocks
from postmortem.incidents.windows import suggest_windows
from postmortem.lib.errors import UserError

ONSET = datetime(2026, 3, 9, 9, 40, tzinfo=UTC)
DETECTED = datetime(2026, 3, 11, 15, 25, tzinfo=UTC)
MITIGATED = datetime(2026, 3, 12, 16, 40, tzinfo=UTC)


def test_known_onset_and_mitigation_bound_the_windows():
    windows = suggest_windows(onset=ONSET, detected_at=DETECTED, end=MITIGATED)
    assert windows.baseline_start == ONSET - timedelta(days=7)
    assert windows.baseline_end == windows.incident_start == ONSET
    assert windows.incident_end == MITIGATED


def test_without_onset_the_incident_starts_two_days_before_detection():
    windows = suggest_windows(onset=None, detected_at=DETECTED, end=None)
    assert windows.incident_start == DETECTED - timedelta(days=2)
    assert windows.incident_end == DETECTED + timedelta(days=1)


@pytest.mark.parametrize("end", [None, ONSET, ONSET - timedelta(days=3)])
def test_windows_are_never_empty(end):
    windows = suggest_windows(onset=ONSET, detected_at=None, end=end)
    assert windows.baseline_start < windows.baseline_end <= windows.incident_start < windows.incident_end


def test_nothing_known_is_refused():
    with pytest.raises(UserError, match="no onset and no detection"):
        suggest_windows(onset=None, detected_at=None, end=MITIGATED)


def test_five_clocks_of_a_complete_incident():
    clocks = five_clocks(
        datetime(2026, 3, 4, 13, 30, tzinfo=UTC),
        ONSET,
        DETECTED,
        MITIGATED,
        datetime(2026, 3, 12, 19, 0, tzinfo=UTC),
        datetime(2026, 3, 14, 9, 0, tzinfo=UTC),
    )
    assert [clock.label for clock in clocks] == ["Latent", "To detect", "To mitigate", "To recover", "Users recovered"]
    assert [clock.duration for clock in clocks] == [
        timedelta(days=4, hours=20, minutes=10),
        timedelta(days=2, hours=5, minutes=45),
        timedelta(days=1, hours=1, minutes=15),
        timedelta(hours=2, minutes=20),
        timedelta(days=1, hours=16, minutes=20),
    ]
    assert clocks[0].sentence == "4 Mar 13:30 to onset"
    assert clocks[3].sentence == "signal back 12 Mar 19:00"


def test_missing_ends_are_named_and_backwards_spans_keep_their_minus():
    latent, detect, mitigate, recover, users = five_clocks(None, ONSET, MITIGATED, DETECTED, None, None)
    assert latent.duration is None and latent.sentence == "no time of latent change recorded"
    assert detect.duration == MITIGATED - ONSET
    assert mitigate.duration == DETECTED - MITIGATED < timedelta(0)
    assert mitigate.sentence == "mitigation 11 Mar 15:25, before detection 12 Mar 16:40"
    assert recover.sentence == "no time of recovery recorded" and users.duration is None
