"""What the database itself refuses, whatever door is used. These run on SQLite and on PostgreSQL."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.actions.models import ActionItem
from postmortem.actions.services import explain
from postmortem.actions.triggers import HAS_OPEN_ITEMS, OWNER_INACTIVE, TRIGGERS, drop_triggers, install_triggers
from postmortem.incidents.models import Incident
from tests.actions.builders import TODAY, make_action
from tests.actions.races import race, shared_by_threads  # noqa: F401
from tests.builders import make_incident, make_person

COLUMNS = (
    "incident_id", "number", "title", "layer", "kind", "owner_id", "due_on", "verification", "status", "status_note",
    "tracker_link", "created_by_id", "created_at", "revision",
)  # fmt: skip


def insert(**replaced):
    """One raw INSERT, past models, services and forms."""
    person = Person.objects.order_by("pk").first()
    incident = Incident.objects.first() or make_incident(by=person)
    values = {
        "incident_id": incident.pk, "number": 1, "title": "Check ids", "layer": "retrieval", "kind": "prevent",
        "owner_id": person.pk, "due_on": TODAY, "verification": "Recall over 0.9", "status": "open", "status_note": "",
        "tracker_link": "", "created_by_id": person.pk, "created_at": timezone.now(), "revision": 1,
    } | replaced  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO actions_actionitem ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})",
            [values[name] for name in COLUMNS],
        )


@pytest.mark.django_db
class TestNotNull:
    def test_a_whole_row_goes_in(self):
        make_person()
        insert()
        assert ActionItem.objects.get().owner.name == "Priya Nair"

    @pytest.mark.parametrize(
        ("column", "sentence"),
        [("owner_id", "needs an owner"), ("due_on", "needs a due date"), ("verification", "needs a verification")],
    )
    def test_null_is_refused_and_explained(self, column, sentence):
        make_person()
        with pytest.raises(IntegrityError) as caught:
            insert(**{column: None})
        assert sentence in explain(caught.value) and not ActionItem.objects.exists()

    @pytest.mark.parametrize("words", ["", "  ", " \t\r\n "])
    @pytest.mark.parametrize("column", ["title", "verification"])
    def test_empty_words_are_refused(self, column, words):
        make_person()
        with pytest.raises(IntegrityError):
            insert(**{column: words})

    @pytest.mark.parametrize("column", ["owner_id", "due_on", "verification"])
    def test_null_by_update_is_refused(self, column):
        make_person()
        insert()
        with pytest.raises(IntegrityError), transaction.atomic():
            ActionItem.objects.update(**{column: None})


@pytest.mark.django_db
class TestOwnersStayActive:
    def test_triggers_are_in_place(self):
        """A migration that rebuilds a table on SQLite drops its triggers; this tells."""
        query = {
            "sqlite": "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'",
            "postgresql": "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal",
        }[connection.vendor]
        with connection.cursor() as cursor:
            cursor.execute(query)
            there = dict(cursor.fetchall())
        assert TRIGGERS.items() <= there.items()

    @pytest.mark.parametrize("status", ["open", "done"])
    def test_owner_of_open_items_cannot_be_deactivated_nor_deleted(self, status):
        owner = make_person()
        insert(status=status)
        for edit in (
            lambda: Person.objects.filter(pk=owner.pk).update(is_active=False),
            lambda: Person.objects.filter(pk=owner.pk)._raw_delete("default"),
        ):
            with pytest.raises(IntegrityError, match=HAS_OPEN_ITEMS), transaction.atomic():
                edit()
        assert Person.objects.get(pk=owner.pk).is_active

    @pytest.mark.parametrize("status", ["verified", "dropped"])
    def test_closed_items_let_their_owner_go(self, status):
        owner = make_person()
        insert(status=status)
        Person.objects.filter(pk=owner.pk).update(is_active=False)
        ActionItem.objects.update(status_note="Seen again")  # a closed item keeps its former owner
        with pytest.raises(IntegrityError, match=OWNER_INACTIVE), transaction.atomic():
            ActionItem.objects.update(status="open")

    def test_other_edits_of_the_person_go_through(self):
        owner = make_person()
        insert()
        Person.objects.filter(pk=owner.pk).update(name="Priya N.", is_active=True)
        assert Person.objects.get(pk=owner.pk).name == "Priya N."

    def test_inactive_owner_is_refused_on_insert_and_update(self):
        make_person()
        gone = make_person("Jun Sato", is_active=False)
        with pytest.raises(IntegrityError, match=OWNER_INACTIVE) as caught:
            insert(owner_id=gone.pk)
        assert explain(caught.value).startswith(OWNER_INACTIVE)
        with pytest.raises(IntegrityError, match=OWNER_INACTIVE):
            insert(owner_id=gone.pk, status="verified")
        insert()
        with pytest.raises(IntegrityError, match=OWNER_INACTIVE), transaction.atomic():
            ActionItem.objects.update(owner=gone)

    def test_bulk_doors_are_closed_too(self):
        owner = make_person()
        gone = make_person("Jun Sato", is_active=False)
        item = make_action(make_incident(by=owner), owner)
        copy = ActionItem(**{f.attname: getattr(item, f.attname) for f in item._meta.fields if f.name != "id"})
        copy.number, copy.owner = 2, gone
        with pytest.raises(IntegrityError), transaction.atomic():
            ActionItem.objects.bulk_create([copy])
        item.owner = gone
        with pytest.raises(IntegrityError), transaction.atomic():
            ActionItem.objects.bulk_update([item], ["owner"])


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    def test_triggers_can_be_taken_down_and_put_up_again(self):
        make_person()
        insert()
        with connection.schema_editor() as editor:
            drop_triggers(None, editor)
        Person.objects.filter(email="priya.nair@example.org").update(is_active=False)
        Person.objects.filter(email="priya.nair@example.org").update(is_active=True)
        with connection.schema_editor() as editor:
            install_triggers(None, editor)
        with pytest.raises(IntegrityError, match=HAS_OPEN_ITEMS):
            Person.objects.filter(email="priya.nair@example.org").update(is_active=False)

    @pytest.mark.usefixtures("shared_by_threads")
    def test_a_new_item_and_the_owners_leaving_cannot_both_win(self):
        facilitator = make_person("Helen Lindqvist", "facilitator", email="facilitator@example.org")
        for round_ in range(8):
            owner = make_person(f"Owner {round_}")
            incident = make_incident(f"INC-2026-1{round_:03}", by=facilitator)
            outcomes = race(
                lambda owner=owner, incident=incident: make_action(incident, owner, by=facilitator),
                lambda owner=owner: Person.objects.filter(pk=owner.pk).update(is_active=False),
            )
            owner.refresh_from_db()
            assert owner.is_active or not owner.action_items.exists(), outcomes
            assert outcomes.count("refused") == 1, outcomes

    @pytest.mark.usefixtures("shared_by_threads")
    def test_numbers_stay_unique_when_two_people_add(self):
        owner = make_person()
        incident = make_incident(by=owner)
        assert race(*[lambda: make_action(incident, owner)] * 6) == ["done"] * 6
        assert sorted(incident.action_items.values_list("number", flat=True)) == [1, 2, 3, 4, 5, 6]
