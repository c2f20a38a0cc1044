"""Action items, rule by rule."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied

from postmortem.accounts.models import AuditEntry, Person, Role
from postmortem.actions import selectors, services
from postmortem.actions.models import ActionItem
from postmortem.incidents.models import Incident
from postmortem.lib.errors import EditConflict, UserError
from postmortem.review import services as review
from postmortem.review.causal_graph import check_graph
from tests.actions.builders import TODAY, action_fields, make_action
from tests.builders import make_incident, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def incident():
    return make_incident()


@pytest.fixture
def owner():
    return make_person("Priya Nair")


@pytest.fixture
def administrator():
    return make_person("Ada Admin", Role.ADMINISTRATOR)


def leave(person):
    Person.objects.filter(pk=person.pk).update(is_active=False)
    person.refresh_from_db()
    return person


class TestAdd:
    def test_items_are_numbered_within_their_incident(self, incident, owner):
        assert [make_action(incident, owner).number for _ in range(3)] == [1, 2, 3]
        assert make_action(make_incident("INC-2026-0002"), owner).number == 1
        entry = AuditEntry.objects.first()
        assert entry.action == "action.add" and entry.after["owner"] == "Priya Nair <priya.nair@example.org>"

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"owner": None}, "needs an owner; choose one active person"),
            ({"due_on": None}, "needs a due date"),
            ({"due_on": "2026-03-27"}, "needs a due date"),
            ({"due_on": datetime(2026, 3, 27, tzinfo=UTC)}, "needs a due date"),
            ({"due_on": TODAY - timedelta(days=1)}, "due date 2026-03-12 has passed"),
            ({"verification": "  "}, "needs a verification: the signal, threshold and window"),
            ({"verification": None}, "needs a verification"),
            ({"verification": "x" * 4001}, "at most 4,000"),
            ({"title": ""}, "title is missing"),
            ({"title": "x" * 201}, "at most 200"),
            ({"layer": "sales"}, "not a layer"),
            ({"kind": "hope"}, "prevent, detect, mitigate, recover, instrument, learn"),
            ({"tracker_link": "javascript:alert(1)"}, "not a web address"),
        ],
    )
    def test_what_is_missing_or_wrong_is_one_sentence(self, incident, owner, fields, sentence):
        with pytest.raises(UserError, match=sentence):
            services.add_action(**action_fields(incident, owner, **fields))
        assert not ActionItem.objects.exists() and not AuditEntry.objects.exists()

    def test_due_today_is_not_past_and_the_clock_is_utc_by_default(self, incident, owner):
        assert make_action(incident, owner, due_on=TODAY).due_on == TODAY
        with pytest.raises(UserError, match="has passed"):
            services.add_action(**action_fields(incident, owner, today=None, due_on=date(2000, 1, 1)))

    def test_owner_must_be_active(self, incident, owner):
        gone = leave(make_person("Jun Sato"))
        with pytest.raises(UserError, match="Jun Sato is no longer active"):
            make_action(incident, owner, owner=gone)

    def test_an_owner_who_left_while_the_form_was_open_is_refused_by_the_database(self, incident, owner):
        stale = make_person("Jun Sato")
        Person.objects.filter(pk=stale.pk).update(is_active=False)
        with pytest.raises(UserError, match="must be an active person"):
            make_action(incident, owner, owner=stale)
        assert not ActionItem.objects.exists()

    def test_it_cuts_a_factor_of_this_incident_but_never_the_impact(self, incident, owner):
        cause = review.add_factor(incident=incident, by=owner, kind="trigger", layer="retrieval", text="Encoder moved")
        impact = incident.factors.get(kind="impact")
        review.connect(cause=cause, effect=impact, by=owner)
        assert not check_graph(selectors.graph(incident)).is_cut
        item = make_action(incident, owner, cuts_factor=cause)
        assert selectors.graph(incident).cut == {cause.pk: ("A-1",)} and check_graph(selectors.graph(incident)).is_cut
        services.set_status(action=item, by=owner, status="dropped", note="Too dear", revision=1)
        assert not check_graph(selectors.graph(incident)).is_cut
        with pytest.raises(UserError, match="not the impact"):
            make_action(incident, owner, cuts_factor=impact)
        with pytest.raises(UserError, match="another incident"):
            make_action(make_incident("INC-2026-0002"), owner, cuts_factor=cause)

    def test_viewers_may_not_and_published_is_closed(self, incident, owner):
        with pytest.raises(PermissionDenied, match="action items"):
            make_action(incident, owner, by=make_person("V", Role.VIEWER))
        item = make_action(incident, owner)
        Incident.objects.filter(pk=incident.pk).update(status="published")
        with pytest.raises(UserError, match="is published"):
            make_action(incident, owner)
        with pytest.raises(UserError, match="is published"):
            services.update_action(action=item, by=owner, revision=1, title="New")
        services.set_status(action=item, by=owner, status="done", revision=1)  # follow-up goes on


class TestUpdate:
    def test_two_edits_of_one_revision_conflict_and_lose_nothing(self, incident, owner):
        item = make_action(incident, owner)
        other = ActionItem.objects.get(pk=item.pk)
        services.update_action(action=item, by=owner, revision=1, title="Check ids at start")
        with pytest.raises(EditConflict, match="A-1") as caught:
            services.update_action(action=other, by=owner, revision=1, title="Other")
        assert caught.value.current["title"] == "Check ids at start" and caught.value.revision == 2
        assert caught.value.current["owner"] == "Priya Nair"
        with pytest.raises(EditConflict):
            services.set_status(action=other, by=owner, status="done", revision=1)
        stored = ActionItem.objects.get()
        assert (stored.title, stored.status, stored.revision) == ("Check ids at start", "open", 2)

    def test_history_holds_only_what_changed(self, incident, owner):
        item = make_action(incident, owner)
        services.update_action(action=item, by=owner, revision=1, title="New", layer="retrieval")
        entry = AuditEntry.objects.first()
        assert entry.before == {"title": "Refuse to start when encoder ids differ"} and entry.after == {"title": "New"}

    def test_a_passed_due_date_may_stay_but_not_be_set(self, incident, owner):
        item = make_action(incident, owner, due_on=TODAY)
        later = TODAY + timedelta(days=90)
        services.update_action(action=item, by=owner, revision=1, today=later, title="Still wanted")
        with pytest.raises(UserError, match="has passed"):
            services.update_action(action=item, by=owner, revision=2, today=later, due_on=TODAY + timedelta(days=1))

    def test_nothing_necessary_can_be_taken_away(self, incident, owner):
        item = make_action(incident, owner)
        for name in ("owner", "due_on", "verification"):
            with pytest.raises(UserError, match="needs"):
                services.update_action(action=item, by=owner, revision=1, **{name: None})
        with pytest.raises(UserError, match="no field status"):
            services.update_action(action=item, by=owner, revision=1, status="verified")

    def test_a_gone_item_is_said_so(self, incident, owner):
        item = make_action(incident, owner)
        ActionItem.objects.all().delete()
        item.incident = incident
        with pytest.raises(UserError, match="is gone"):
            services.update_action(action=item, by=owner, revision=1, title="x")


class TestStatus:
    def test_verified_and_dropped_say_why(self, incident, owner):
        item = make_action(incident, owner)
        with pytest.raises(UserError, match="what showed that it works"):
            services.set_status(action=item, by=owner, status="verified", revision=1)
        with pytest.raises(UserError, match="why this item will not be done"):
            services.set_status(action=item, by=owner, status="dropped", revision=1)
        with pytest.raises(UserError, match="open, done, verified or dropped"):
            services.set_status(action=item, by=owner, status="lost", revision=1)
        done = services.set_status(action=item, by=owner, status="done", revision=1)
        verified = services.set_status(
            action=done, by=owner, status="verified", revision=2, note="Recall 0.94 (0.91 to 0.96), n 400"
        )
        assert verified.status == "verified" and verified.status_note.startswith("Recall")
        assert AuditEntry.objects.first().before == {"status": "done", "note": ""}

    def test_reopening_needs_an_active_owner(self, incident, owner):
        other = make_person("Jun Sato")
        item = make_action(incident, owner, owner=other)
        item = services.set_status(action=item, by=owner, status="dropped", note="No", revision=1)
        leave(other)
        with pytest.raises(UserError, match="choose another owner before you reopen"):
            services.set_status(action=item, by=owner, status="open", revision=2)


class TestPeople:
    def test_handing_over_moves_open_items_only(self, incident, owner):
        to = make_person("Dana Levi")
        first, second = make_action(incident, owner), make_action(incident, owner)
        services.set_status(action=second, by=owner, status="verified", note="Seen", revision=1)
        assert services.hand_over(from_person=owner, to_person=to, by=owner) == 1
        assert {item.pk: item.owner for item in ActionItem.objects.all()} == {first.pk: to, second.pk: owner}
        assert ActionItem.objects.get(pk=first.pk).revision == 2
        assert AuditEntry.objects.filter(action="action.hand_over").count() == 1

    def test_handing_over_some_and_only_open_ones(self, incident, owner):
        to = make_person("Dana Levi")
        first, second = make_action(incident, owner), make_action(incident, owner)
        assert services.hand_over(from_person=owner, to_person=to, by=owner, actions=[second]) == 1
        with pytest.raises(UserError, match="Not all of these"):
            services.hand_over(from_person=owner, to_person=to, by=owner, actions=[first, second])
        assert ActionItem.objects.get(pk=first.pk).owner == owner

    def test_handing_over_needs_an_active_other_person_and_permission(self, incident, owner):
        with pytest.raises(UserError, match="somebody else"):
            services.hand_over(from_person=owner, to_person=owner, by=owner)
        with pytest.raises(UserError, match="Jun Sato is not active"):
            services.hand_over(from_person=owner, to_person=leave(make_person("Jun Sato")), by=owner)
        make_action(incident, owner)
        with pytest.raises(PermissionDenied):
            services.hand_over(from_person=owner, to_person=make_person("Dana Levi"), by=make_person("V", Role.VIEWER))

    def test_hidden_incidents_need_an_administrator(self, owner, administrator):
        hidden = make_incident("INC-2026-0003", visibility="participants")
        make_action(hidden, owner, by=hidden.created_by)
        fields = {"from_person": owner, "to_person": make_person("Dana Levi")}
        with pytest.raises(PermissionDenied):
            services.hand_over(**fields, by=owner)
        assert services.hand_over(**fields, by=administrator) == 1

    def test_deactivation_waits_for_the_hand_over(self, incident, owner, administrator):
        items = [make_action(incident, owner) for _ in range(2)]
        services.set_status(action=items[0], by=owner, status="done", revision=1)
        with pytest.raises(UserError, match="Priya Nair owns 2 open action items; hand them over"):
            services.deactivate_person(person=owner, by=administrator)
        assert Person.objects.get(pk=owner.pk).is_active
        services.hand_over(from_person=owner, to_person=administrator, by=administrator)
        services.deactivate_person(person=owner, by=administrator)
        assert not Person.objects.get(pk=owner.pk).is_active
        assert AuditEntry.objects.first().action == "person.deactivate"

    def test_only_administrators_deactivate_and_not_themselves(self, owner, administrator):
        with pytest.raises(PermissionDenied):
            services.deactivate_person(person=administrator, by=owner)
        with pytest.raises(UserError, match="cannot deactivate yourself"):
            services.deactivate_person(person=administrator, by=administrator)

    def test_open_load_counts_open_and_unverified_in_one_query(self, incident, owner, django_assert_num_queries):
        other = make_person("Dana Levi")
        items = [make_action(incident, owner) for _ in range(3)]
        services.set_status(action=items[0], by=owner, status="done", revision=1)
        services.set_status(action=items[1], by=owner, status="dropped", note="No", revision=1)
        with django_assert_num_queries(1):
            assert selectors.open_load([owner, other]) == {owner.pk: 2, other.pk: 0}


def test_due_default_by_severity():
    days = {"sev1": 7, "sev2": 14, "sev3": 30, "sev4": 60}
    assert {s: (services.due_default(s, TODAY) - TODAY).days for s in days} == days


def test_list_is_one_query(incident, owner, django_assert_num_queries):
    cause = review.add_factor(incident=incident, by=owner, kind="trigger", layer="retrieval", text="Encoder moved")
    for day in (9, 3, 5):
        make_action(incident, owner, cuts_factor=cause, due_on=TODAY + timedelta(days=day))
    with django_assert_num_queries(1):
        items = list(selectors.actions_for(incident))
        assert [(item.number, str(item.owner), item.owner.team, str(item.cuts_factor)) for item in items] == [
            (number, "Priya Nair", None, "Encoder moved") for number in (2, 3, 1)
        ]
