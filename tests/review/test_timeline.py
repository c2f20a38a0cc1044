"""The timeline: assembled, pinned, corrected and hidden with history; its gaps; other clocks beside UTC."""

from datetime import datetime, timedelta

import pytest

from postmortem.accounts.models import AuditEntry, Role
from postmortem.actions.undo import undo
from postmortem.incidents import services as incidents
from postmortem.lib.clock import beside, local_to_utc, parse_moment
from postmortem.lib.errors import EditConflict, UserError
from postmortem.review.assembling import short_timeline, timeline
from postmortem.review.timeline import TimelineItem, gaps, signal_items
from tests.builders import make_change, make_incident, make_person
from tests.review.builders import finding_result, make_finding

NOON = parse_moment("2026-03-09T12:00:00Z")
HOUR = timedelta(hours=1)


@pytest.fixture
def helen(db):
    return make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org")


def undo_last(incident, by):
    entry = AuditEntry.objects.filter(incident_number=incident.number).latest("id")
    undo(entry=entry, incident=incident, by=by)


def test_a_change_is_pinned_corrected_and_hidden_while_the_log_stays(helen):
    incident = make_incident(by=helen, onset_at=NOON)
    change = make_change(at=NOON - HOUR, until=NOON + HOUR)
    key = f"change.{change.pk}"
    mark = {"incident": incident, "by": helen, "key": key, "subject": change.summary}
    incidents.mark_timeline_item(**mark, pinned=True)
    incidents.mark_timeline_item(**mark, at=NOON, text="The prompt reached everybody", revision=1)
    (item,) = [one for one in timeline(incident) if one.key == key]
    assert (item.pinned, item.at, item.was_at) == (True, NOON, NOON - HOUR)
    assert (item.text, item.was_text) == ("The prompt reached everybody", change.summary)
    with pytest.raises(EditConflict):
        incidents.mark_timeline_item(**mark, hidden=True, revision=1)
    incidents.mark_timeline_item(**mark, hidden=True)
    assert key not in {one.key for one in timeline(incident)}
    undo_last(incident, helen)
    undo_last(incident, helen)
    assert key not in {one.key for one in timeline(incident)}, "the undo itself was undone"
    incidents.mark_timeline_item(**mark, hidden=False, at="", text="")
    (item,) = [one for one in timeline(incident) if one.key == key]
    assert (item.at, item.text, item.was_at) == (change.at, change.summary, None)
    assert f"rollout.{change.pk}" in {one.key for one in timeline(incident)}, "two hours of rollout end on the timeline"
    with pytest.raises(UserError):
        incidents.mark_timeline_item(**(mark | {"key": "time.onset_at"}), hidden=True)


def test_a_note_keeps_what_it_said(helen):
    incident = make_incident(by=helen)
    note = incidents.add_timeline_entry(incident=incident, by=helen, at=NOON, text="Page sent", kind="alert")
    incidents.correct_timeline_entry(entry=note, by=helen, text="Page sent and ignored", at=NOON + HOUR)
    entry = AuditEntry.objects.latest("id")
    assert entry.before == {"at": "2026-03-09T12:00:00.000Z", "text": "Page sent"}
    undo_last(incident, helen)
    (item,) = timeline(incident)
    assert (item.at, item.text, item.kind) == (NOON, "Page sent", "alert")
    with pytest.raises(EditConflict):
        incidents.correct_timeline_entry(entry=note, by=helen, text="Late", revision=1)
    incidents.pin_timeline_entry(entry=note, by=helen, pinned=True)
    undo_last(incident, helen)
    assert not timeline(incident)[0].pinned
    with pytest.raises(UserError):
        incidents.add_timeline_entry(incident=incident, by=helen, at=NOON, text="x", kind="rumour")


def test_the_timeline_asks_a_fixed_number_of_queries(helen, django_assert_num_queries):
    incident = make_incident(by=helen)
    make_finding(incident)
    for count in range(20):
        make_change(f"c-{count}", at=NOON + count * HOUR)
        incidents.add_timeline_entry(incident=incident, by=helen, at=NOON, text=f"n{count}")
    with django_assert_num_queries(4):
        items = timeline(incident)
    assert len([one for one in items if one.kind in ("change", "note")]) == 40
    shown = short_timeline(items, 5)
    assert len(shown) == 5 and shown == sorted(shown, key=lambda one: one.at)


def test_the_signal_says_when_it_fell_and_when_it_was_back():
    means = [(0.9, 0), (0.89, 1), (0.7, 2), (0.6, 3), (0.88, 4)]
    series = [
        {"start": f"2026-03-09T{10 + at}:00:00Z", "end": "", "mean": mean, "interval": [mean - 0.03, mean + 0.03]}
        for mean, at in means
    ]
    baseline = {"start": "2026-03-08T10:00:00Z", "end": "2026-03-09T10:00:00Z", "mean": 0.9}
    result = finding_result(series=series, windows={"baseline": baseline})
    found = [(item.at.hour, item.text) for item in signal_items(result, 3)]
    assert [hour for hour, _ in found] == [12, 13, 14]
    assert "first worse" in found[0][1] and "60.0%" in found[1][1] and "no longer worse" in found[2][1]
    assert signal_items(finding_result(), 1) == []


def test_gaps_are_missing_times_silences_and_an_unexplained_detection():
    def item(hours: float, kind: str = "note") -> TimelineItem:
        note = 1 if kind in ("note", "alert", "response", "report") else None
        return TimelineItem(NOON + hours * HOUR, kind, "x", None, "", note_id=note)

    times = {"onset_at": NOON, "detected_at": NOON + 9 * HOUR, "mitigated_at": NOON + 12 * HOUR}
    found = gaps(times, [])
    assert [gap.field for gap in found if gap.field] == ["recovered_at", "users_recovered_at"]
    texts = " ".join(gap.text for gap in found)
    assert "how it was noticed" in texts and "what stopped it" in texts and "12 h pass without a word" in texts
    told = [item(3), item(6), item(9, "alert"), item(11.5, "response")]
    assert [gap.text for gap in gaps(times | {"recovered_at": NOON, "users_recovered_at": NOON}, told)] == []
    assert len(gaps({}, [])) == 5


def test_a_readers_clock_stands_beside_utc_and_summer_time_is_right():
    winter, summer = parse_moment("2026-03-28T23:30:00Z"), parse_moment("2026-03-29T10:00:00Z")
    assert beside(winter, "Europe/Berlin") == "29 Mar 00:30 CET"
    assert beside(summer, "Europe/Berlin") == "12:00 CEST"
    assert beside(summer, "UTC") == beside(summer, "Mars/Olympus") == ""
    assert local_to_utc(datetime(2026, 3, 29, 12), "Europe/Berlin") == summer
    for hour, month, day, word in ((2, 3, 29, "skipped"), (2, 10, 25, "twice")):
        with pytest.raises(ValueError, match=word):
            local_to_utc(datetime(2026, month, day, hour, 30), "Europe/Berlin")
