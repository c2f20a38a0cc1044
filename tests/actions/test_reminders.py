"""Reminders run until an item is verified, and what nobody moves is escalated."""

from datetime import date, timedelta

import pytest
from django.core import mail
from django.core.management import call_command

from postmortem.actions.models import Reminder
from postmortem.actions.reminding import due_reminders, escalated_to, keep_reminder
from postmortem.actions.schedule import ESCALATED, OVERDUE, SOON, Sent, is_due, level_on
from postmortem.pipeline.remind import remind
from tests.builders import make_action, make_incident, make_participant, make_person

DUE = date(2026, 4, 1)


def day(offset: int) -> date:
    return DUE + timedelta(days=offset)


@pytest.mark.parametrize(
    ("severity", "offset", "level"),
    [
        ("sev2", -4, ""), ("sev2", -3, SOON), ("sev2", 0, SOON), ("sev2", 1, OVERDUE), ("sev2", 5, OVERDUE),
        ("sev2", 6, ESCALATED), ("sev1", 3, ESCALATED), ("sev3", 10, OVERDUE), ("sev4", 20, OVERDUE),
        ("sev4", 21, ESCALATED),
    ],
)  # fmt: skip
def test_the_level_follows_the_due_date_and_the_severity(severity, offset, level):
    assert level_on(DUE, day(offset), severity) == level


@pytest.mark.parametrize(
    ("level", "last", "due"),
    [
        ("", None, False),
        (SOON, None, True),
        (SOON, Sent(SOON, day(-3)), False),
        (OVERDUE, Sent(SOON, day(0)), True),
        (OVERDUE, Sent(OVERDUE, day(2)), False),
        (OVERDUE, Sent(OVERDUE, day(-5)), True),
        (ESCALATED, Sent(OVERDUE, day(1)), True),
    ],
)
def test_a_level_is_told_at_once_and_then_weekly(level, last, due):
    assert is_due(level, last, day(2)) is due


@pytest.fixture
def item(db):
    incident = make_incident(status="published", severity="sev2")
    make_participant(incident, incident.created_by, "facilitator")
    return make_action(incident, make_person("Priya Nair"), due_on=DUE)


def sent(today: date) -> list[tuple[str, list[str]]]:
    return [(due.level, [person.name for person in due.people]) for due in remind(today)]


def test_reminders_go_on_until_verified(item):
    assert sent(day(-4)) == []
    assert sent(day(-2)) == [(SOON, ["Priya Nair"])]
    assert sent(day(-1)) == []
    assert sent(day(1)) == [(OVERDUE, ["Priya Nair"])]
    assert sent(day(2)) == []
    assert sent(day(6)) == [(ESCALATED, ["Priya Nair", "Helen Lindqvist"])]
    item.status = "done"
    item.save()
    assert sent(day(12)) == []
    assert sent(day(13)) == [(ESCALATED, ["Priya Nair", "Helen Lindqvist"])]
    item.status = "verified"
    item.save()
    assert sent(day(40)) == []


def test_two_workers_tell_nobody_twice(item):
    (due,) = due_reminders(day(1))
    assert keep_reminder(due, day(1))
    assert not keep_reminder(due, day(1))
    assert Reminder.objects.count() == 1


def test_before_publication_nobody_is_reminded(item):
    item.incident.status = "in_review"
    item.incident.save()
    assert sent(day(30)) == []


def test_an_escalated_item_stands_on_the_facilitators_page(item, client):
    remind(day(10))
    helen = item.incident.created_by
    assert list(escalated_to(helen)) == [item]
    assert list(escalated_to(item.owner)) == []
    client.force_login(helen)
    assert "Escalated to you" in client.get("/actions/mine/").content.decode()
    said = client.get(f"/incidents/{item.incident.number}/actions/").content.decode()
    assert "escalated to Helen Lindqvist" in said and "reminded 11 Apr" in said
    told = client.get(f"/api/incidents/{item.incident.number}/actions/reminders/").json()["results"]
    assert {row["to"] for row in told} == {"Helen Lindqvist", "Priya Nair"}
    assert {row["level"] for row in told} == {"escalated"}


def test_letters_go_out_where_a_mail_server_is_named(item, settings):
    remind(day(1))
    assert mail.outbox == []
    settings.EMAIL_HOST = "mail.example.org"
    make_action(item.incident, item.owner, 2, title="Second", due_on=DUE)
    remind(day(10))
    by_person = {letter.to[0]: letter for letter in mail.outbox}
    assert set(by_person) == {item.owner.email, item.incident.created_by.email}
    assert "A-1" in by_person[item.owner.email].body and "Second" in by_person[item.owner.email].body
    assert "escalated to you" in by_person[item.incident.created_by.email].body
    assert "2 overdue" in by_person[item.owner.email].subject


def test_a_mail_server_that_is_away_stops_nothing(item, settings, monkeypatch):
    settings.EMAIL_HOST = "mail.example.org"

    def away(*args, **kwargs):
        raise OSError("away")

    monkeypatch.setattr("postmortem.pipeline.remind.send_mail", away)
    assert sent(day(1)) == [(OVERDUE, ["Priya Nair"])]


def test_the_command_prints_what_went_out(item, capsys):
    call_command("remind", "--on", day(1).isoformat())
    assert capsys.readouterr().out == "INC-2026-0001 A-1 overdue: Priya Nair\n"


def test_queries_do_not_grow_with_the_items(item, django_assert_max_num_queries):
    for number in range(2, 9):
        make_action(item.incident, item.owner, number, due_on=DUE)
    with django_assert_max_num_queries(4):
        assert len(due_reminders(day(1))) == 8
