"""What is open and overdue across incidents, only of those that one may see."""

from datetime import date, timedelta

import pytest

from postmortem.accounts.models import Role
from postmortem.insights.selectors import ActionCounts, open_action_counts, overdue_actions
from tests.builders import make_action, make_incident, make_person

pytestmark = pytest.mark.django_db

TODAY = date(2026, 4, 10)
DAY = timedelta(days=1)


def test_overdue_until_verified_and_only_where_one_may_look():
    seen, hidden = make_incident("INC-2026-0001"), make_incident("INC-2026-0002", visibility="participants")
    owner = seen.created_by
    make_action(seen, owner, 1, due_on=TODAY - DAY, title="Late")
    make_action(seen, owner, 2, due_on=TODAY - 5 * DAY, status="done", title="Done is not verified")
    make_action(seen, owner, 3, due_on=TODAY, title="Due today")
    make_action(seen, owner, 4, due_on=TODAY - DAY, status="verified")
    make_action(seen, owner, 5, due_on=TODAY - DAY, status="dropped")
    make_action(hidden, owner, 1, due_on=TODAY - DAY, title="Hidden")
    viewer = make_person("Vic Viewer", Role.VIEWER)
    assert [item.title for item in overdue_actions(viewer, today=TODAY)] == ["Done is not verified", "Late"]
    assert "Hidden" in [item.title for item in overdue_actions(owner, today=TODAY)]


def test_overdue_is_one_query(django_assert_num_queries):
    viewer = make_person("Vic Viewer", Role.VIEWER)
    for index in range(4):
        incident = make_incident(f"INC-2026-000{index}")
        make_action(incident, incident.created_by, due_on=TODAY - DAY)
    with django_assert_num_queries(1):
        rows = [
            (item.incident.number, item.owner.name, item.owner.team) for item in overdue_actions(viewer, today=TODAY)
        ]
    assert len(rows) == 4


def test_counts_of_many_incidents_are_one_query(django_assert_num_queries):
    busy, idle = make_incident("INC-2026-0001"), make_incident("INC-2026-0002")
    owner = busy.created_by
    for number, (status, due_on) in enumerate(
        [("open", TODAY - DAY), ("done", TODAY + DAY), ("verified", TODAY - DAY), ("dropped", TODAY - DAY)], start=1
    ):
        make_action(busy, owner, number, status=status, due_on=due_on)
    with django_assert_num_queries(1):
        counts = open_action_counts([busy.pk, idle.pk], today=TODAY)
    assert counts == {
        busy.pk: ActionCounts(unfinished=2, overdue=1, next_due_on=TODAY - DAY),
        idle.pk: ActionCounts(),
    }


def test_no_incidents_no_counts():
    assert open_action_counts([]) == {}
