"""Every door at which an action item could lose its owner, its date or its verification, tried one by one.

Each door is told to do the harm; whatever it answers, afterwards every open item still has an active owner, a due date
and a verification. Runs on SQLite and on PostgreSQL.
"""

from dataclasses import dataclass
from typing import Any

import pytest
from django.db import Error, connection, transaction
from django.test import Client
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Person, Role
from postmortem.accounts.services import merge_teams
from postmortem.actions import many, services
from postmortem.actions.models import ActionItem
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.report.undo import undo
from tests.actions.builders import make_action
from tests.api.client import Api
from tests.builders import make_incident, make_person, make_team

pytestmark = pytest.mark.django_db
EMPTY = {"owner": None, "due_on": None, "verification": ""}


@dataclass
class House:
    """One incident with one open item of Priya's, and an administrator who opens every door."""

    incident: Incident
    item: ActionItem
    owner: Person
    boss: Person
    client: Client
    api: Api


@pytest.fixture
def house(client):
    boss = make_person("Ada Admin", Role.ADMINISTRATOR, is_staff=True, is_superuser=True)
    incident = make_incident(by=boss)
    owner = make_person("Priya Nair", team=make_team("Find"))
    client.force_login(boss)
    return House(incident, make_action(incident, owner), owner, boss, client, Api(boss, incident.number))


def typed(house: House, field: str) -> dict[str, Any]:
    fields = {
        "title": "T", "layer": "retrieval", "kind": "prevent", "owner": house.owner.pk, "due_on": "2030-01-01",
        "verification": "Recall over 0.9", "revision": 1, "incident": house.incident.pk,
    }  # fmt: skip
    return fields | {field: ""}


def sql(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


COLUMN = {"owner": "owner_id", "due_on": "due_on", "verification": "verification"}
CSV = {"owner": ",,2030-01-01,Recall", "due_on": ",{mail},,Recall", "verification": ",{mail},2030-01-01,"}
LOSING = {
    "form, new": lambda h, f: h.client.post(reverse("action-new", args=[h.incident.number]), typed(h, f)),
    "form, change": lambda h, f: h.client.post(reverse("action-edit", args=[h.incident.number, 1]), typed(h, f)),
    "REST, new": lambda h, f: h.api.post("./actions/", typed(h, f) | {f: EMPTY[f]}, expect=400),
    "REST, change": lambda h, f: h.api.patch("./actions/1/", {"revision": 1, f: EMPTY[f]}, expect=400),
    "administration, new": lambda h, f: h.client.post("/admin/actions/actionitem/add/", typed(h, f)),
    "administration, change": lambda h, f: h.client.post(
        f"/admin/actions/actionitem/{h.item.pk}/change/", typed(h, f)
    ),
    "service": lambda h, f: services.update_action(action=h.item, by=h.boss, revision=1, **{f: EMPTY[f]}),
    "file": lambda h, f: many.import_actions(
        incident=h.incident, by=h.boss,
        data=f"title,layer,kind,owner,due_on,verification\nT,prompt,prevent{CSV[f].format(mail=h.owner.email)}\n".encode(),
    ),
    "many at once": lambda h, f: many.change_many(
        incident=h.incident, by=h.boss, revisions={1: 1}, **{f: EMPTY[f]}
    ),
    "many at once, page": lambda h, f: h.client.post(
        reverse("actions-many", args=[h.incident.number]), {"chosen": ["1.1"], f: ""}
    ),
    "many at once, REST": lambda h, f: h.api.post(
        "./actions/many/", {"items": [{"number": 1, "revision": 1}], f: EMPTY[f]}, expect=400
    ),
    "ORM, update": lambda h, f: ActionItem.objects.update(**{f: EMPTY[f]}),
    "ORM, bulk_create": lambda h, f: ActionItem.objects.bulk_create(
        [ActionItem(**{
            "incident": h.incident, "number": 9, "title": "T", "layer": "prompt", "kind": "prevent", "owner": h.owner,
            "due_on": "2030-01-01", "verification": "V", "created_by": h.boss, f: EMPTY[f],
        })]
    ),
    "raw SQL, update": lambda h, f: sql(f"UPDATE actions_actionitem SET {COLUMN[f]} = %s", EMPTY[f]),
    "raw SQL, null": lambda h, f: sql(f"UPDATE actions_actionitem SET {COLUMN[f]} = NULL"),
}  # fmt: skip

LEAVING = {
    "page, switched off": lambda h: h.client.post(reverse("person-deactivate", args=[h.owner.pk])),
    "service, switched off": lambda h: services.deactivate_person(person=h.owner, by=h.boss),
    "administration, switched off": lambda h: h.client.post(
        f"/admin/accounts/person/{h.owner.pk}/change/",
        {"email": h.owner.email, "name": h.owner.name, "team": "", "role": "reviewer", "time_zone": "UTC"},
    ),
    "administration, deleted": lambda h: h.client.post(
        f"/admin/accounts/person/{h.owner.pk}/delete/", {"post": "yes"}
    ),
    "administration, chosen and deleted": lambda h: h.client.post(
        "/admin/accounts/person/",
        {"action": "delete_selected", "_selected_action": [h.owner.pk], "post": "yes"},
    ),
    "ORM, switched off": lambda h: Person.objects.filter(pk=h.owner.pk).update(is_active=False),
    "ORM, deleted": lambda h: h.owner.delete(),
    "ORM, item given to one who left": lambda h: ActionItem.objects.update(
        owner=make_person("Gone", is_active=False)
    ),
    "raw SQL, switched off": lambda h: sql(
        "UPDATE accounts_person SET is_active = %s WHERE id = %s", False, h.owner.pk
    ),
    "raw SQL, deleted": lambda h: sql("DELETE FROM accounts_person WHERE id = %s", h.owner.pk),
    "team merged": lambda h: merge_teams(team=h.owner.team, into=make_team("Search"), by=h.boss),
    "team merged in the administration": lambda h: h.client.post(
        "/admin/accounts/team/",
        {"action": "merge", "_selected_action": [make_team("Search").pk, h.owner.team_id]},
    ),
    "team deleted in the administration": lambda h: h.client.post(
        f"/admin/accounts/team/{h.owner.team_id}/delete/", {"post": "yes"}
    ),
}  # fmt: skip


def knock(door: Any) -> None:
    """Open the door in a transaction of its own; a refusal is what is hoped for."""
    try:
        with transaction.atomic():
            answer = door()
        # A door that is not there was not tried.
        assert getattr(answer, "status_code", 200) in (200, 302, 400, 409)
    except (UserError, Error, ValueError):
        pass


def nothing_is_orphaned(house: House) -> None:
    stored = ActionItem.objects.select_related("owner").get()
    assert stored.pk == house.item.pk and stored.status == "open"
    assert stored.owner == house.owner and stored.owner.is_active
    assert stored.due_on == house.item.due_on and stored.verification == house.item.verification


@pytest.mark.parametrize("field", list(EMPTY))
@pytest.mark.parametrize("door", list(LOSING))
def test_no_door_takes_an_items_owner_date_or_verification(house, door, field):
    knock(lambda: LOSING[door](house, field))
    nothing_is_orphaned(house)


@pytest.mark.parametrize("door", list(LEAVING))
def test_no_door_leaves_an_open_item_with_somebody_who_left(house, door):
    knock(lambda: LEAVING[door](house))
    nothing_is_orphaned(house)


def test_undo_gives_no_item_back_to_somebody_who_left(house):
    ana = make_person("Ana Costa")
    services.hand_over(from_person=house.owner, to_person=ana, by=house.boss)
    services.deactivate_person(person=house.owner, by=house.boss)
    entry = AuditEntry.objects.get(action="action.hand_over")
    with pytest.raises(UserError):
        undo(entry=entry, incident=house.incident, by=house.boss)
    assert ActionItem.objects.get().owner == ana
