"""Verification that the workbench checks itself, items that look alike, many items at once, files, team merges."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role, Team
from postmortem.accounts.services import merge_teams
from postmortem.actions import following, many
from postmortem.actions.models import ActionItem
from postmortem.actions.similarity import ALIKE, likeness
from postmortem.actions.verification import Plan, checked_plan, judge
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import EditConflict, UserError
from postmortem.review.factors import add_factor, connect
from tests.actions.builders import TODAY, make_action
from tests.api.client import Api
from tests.builders import make_incident, make_person, make_team, make_trace

NOON = parse_moment("2026-03-09T12:00:00Z")
PLAN = Plan("latency", "at_most", 2.0, 7)
LATER = "2200-01-31"


def series(mean: float, days: float, count: int = 60):
    return [(NOON + timedelta(days=days * at / (count - 1)), mean + 0.01 * (at % 2)) for at in range(count)]


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        (series(1.0, 7), "met"),
        (series(3.0, 7), "not_met"),
        (series(3.0, 2), "not_met"),
        (series(1.0, 2), "unsure"),
        (series(1.0, 7, count=10), "unsure"),
        ([(NOON + timedelta(hours=3 * at), float(at % 5)) for at in range(57)], "unsure"),
        ([(NOON - timedelta(days=1), 1.0)] * 30, "no_data"),
        ([], "no_data"),
    ],
)
def test_a_plan_is_judged_on_the_window_after_the_incident(values, outcome):
    found = judge(PLAN, values, NOON)
    assert found.outcome == outcome and found.sentence.endswith((".", "first."))


def test_rates_use_the_interval_of_rates_and_the_newest_window_counts():
    old_and_new = [(NOON + timedelta(hours=4 * at), 0.0 if at < 42 else 1.0) for at in range(126)]
    found = judge(Plan("grounded", "at_least", 0.9, 7), old_and_new, NOON)
    assert found.outcome == "met" and found.high == pytest.approx(1.0) and found.low < 1.0


@pytest.mark.parametrize(
    ("signal", "comparison", "threshold", "days"),
    [("", "at_least", 1.0, 7), ("x", "near", 1.0, 7), ("x", "at_least", None, 7), ("x", "at_least", 1.0, 0),
     ("x", "at_least", float("nan"), 7), ("x", "at_least", 1.0, 91)],
)  # fmt: skip
def test_a_plan_without_one_of_its_parts_is_refused(signal, comparison, threshold, days):
    with pytest.raises(UserError):
        checked_plan(signal, comparison, threshold, days)


def test_titles_that_promise_the_same_look_alike():
    assert likeness("Pin the encoder to the index", "Pin encoders to their index") >= ALIKE
    assert likeness("Pin the encoder to the index", "Page on grounded rate") < ALIKE
    assert likeness("", "x") == 0.0


@pytest.fixture
def helen(db):
    return make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org")


@pytest.fixture
def incident(helen):
    return make_incident(by=helen, mitigated_at=NOON)


def test_check_now_judges_fresh_traces_and_keeps_the_result(client, incident, helen):
    item = make_action(incident, helen)
    with pytest.raises(UserError, match="no signal"):
        following.check_action(action=item, by=helen)
    following.plan_verification(action=item, by=helen, plan=PLAN)
    assert following.check_action(action=item, by=helen).outcome == "no_data"
    for count, (at, value) in enumerate(series(1.0, 7)):
        make_trace(incident, f"t-{count}", timestamp=at, latency_seconds=value)
    client.force_login(helen)
    client.post(reverse("action-check", args=[incident.number, item.number]))
    check = item.checks.first()
    assert (check.outcome, check.count, check.checked_by) == ("met", 60, helen)
    page = client.get(reverse("actions", args=[incident.number])).content.decode()
    assert "Check now" in page and "latency was 1.005" in page
    out = StringIO()
    call_command("check_actions", incident.number, stdout=out)
    assert f"{incident.number} A-1 met:" in out.getvalue()
    assert AuditEntry.objects.filter(action="action.check").count() == 3
    api = Api(helen, incident.number)
    assert api.post("./actions/1/checks/")["outcome"] == "met"
    assert api.get("./actions/1/checks/")["count"] == 4
    viewer = make_person("Vic", Role.VIEWER)
    with pytest.raises(PermissionDenied):
        following.check_action(action=item, by=viewer)


def test_the_form_writes_the_verification_from_its_parts(client, incident, helen):
    client.force_login(helen)
    new = reverse("action-new", args=[incident.number])
    form = {"title": "Page on latency", "layer": "infrastructure", "kind": "detect", "owner": helen.pk, "due_on": LATER}
    refused = client.post(new, form)
    assert refused.status_code == 400 and "how everybody will see" in refused.content.decode()
    plan = {"signal": "latency", "comparison": "at_most", "threshold": "2", "days": "7"}
    assert client.post(new, form | plan).status_code == 302
    item = ActionItem.objects.get()
    assert item.verification == "latency at most 2 for 7 days" and item.plan.days == 7
    assert client.post(new, form | plan | {"days": "0"}).status_code == 400
    changed = form | {"verification": "By eye", "revision": item.revision}
    client.post(reverse("action-edit", args=[incident.number, 1]), changed)
    assert not ActionItem.objects.filter(plan__isnull=False).exists()


def test_an_item_starts_from_a_factor_a_connection_a_facet_or_a_verdict(client, incident, helen):
    factor = add_factor(incident=incident, by=helen, kind="detection_gap", layer="model", text="Nobody was paged")
    edge = connect(cause=factor, effect=incident.factors.get(kind="impact"), by=helen)
    lead = make_person("Jun Sato")
    incident.participants.create(person=lead, role="layer_lead", layer="model")
    client.force_login(helen)

    def start(**asked):
        return client.get(reverse("action-new", args=[incident.number]), asked).context["form"].initial

    assert (start(cuts=factor.pk)["kind"], start(cuts=factor.pk)["owner"]) == ("detect", lead.pk)
    assert "Nobody was paged" in start(edge=edge.pk)["title"] and start(edge=edge.pk)["cuts_factor"] == factor.pk
    facet = start(facet="encoder", layer="model")
    assert (facet["title"], facet["kind"]) == ("Log the facet encoder on every trace", "instrument")
    assert start(verdict="model")["kind"] == "instrument" and start(cuts="x", edge="9").keys() == {"due_on"}


def test_open_items_of_other_incidents_that_look_alike_are_pointed_out(
    client, incident, helen, django_assert_num_queries
):
    other = make_incident("INC-2026-0002", by=helen)
    make_action(other, helen, title="Pin the encoder to the index")
    secret = make_incident("INC-2026-0003", by=make_person("Jun Sato"), visibility="participants")
    make_action(secret, secret.created_by, title="Pin the encoder to the index")
    with django_assert_num_queries(1):
        (found,) = following.alike_elsewhere(incident=incident, person=helen, title="Pin encoders to the index")
    assert found.item.incident == other
    client.force_login(helen)
    page = client.get(reverse("actions-alike", args=[incident.number]), {"title": "Pin the encoder to the index"})
    assert "INC-2026-0002, A-1" in page.content.decode()
    assert Api(helen, incident.number).get("./actions/alike/?title=Pin+encoders+to+index")["count"] == 1


def test_many_items_change_together_or_not_at_all(client, incident, helen):
    ana, gone = make_person("Ana Costa"), make_person("Gone", is_active=False)
    one, two = make_action(incident, helen), make_action(incident, helen, title="Another")
    seen = {one.number: one.revision, two.number: two.revision}
    assert len(many.change_many(incident=incident, by=helen, revisions=seen, owner=ana)) == 2
    with pytest.raises(EditConflict):
        many.change_many(incident=incident, by=helen, revisions={1: 2, 2: 1}, owner=helen)
    assert {item.owner for item in ActionItem.objects.all()} == {ana}
    now = {1: 2, 2: 2}
    for fields in ({"owner": None}, {"due_on": None}, {"owner": gone}, {"verification": ""}, {"status": "dropped"}, {}):
        with pytest.raises(UserError):
            many.change_many(incident=incident, by=helen, revisions=now, **fields)
    api = Api(helen, incident.number)
    items = [{"number": 1, "revision": 2}, {"number": 2, "revision": 2}]
    assert "owner" in api.post("./actions/many/", {"items": items, "owner": None}, expect=400)["detail"]
    api.post("./actions/many/", {"items": items, "owner": helen.pk}, expect=200)
    client.force_login(helen)
    client.post(reverse("actions-many", args=[incident.number]), {"chosen": ["1.3", "2.3"], "due_on": LATER})
    assert {item.due_on.isoformat() for item in ActionItem.objects.all()} == {LATER}


HEAD = "title,layer,kind,owner,due_on,verification\n"
GOOD = "Pin the encoder,retrieval,prevent,facilitator@example.org,2026-04-01,Recall over 0.9\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (GOOD.replace("facilitator@example.org", ""), "needs an owner"),
        (GOOD.replace("facilitator@example.org", "nobody@example.org"), "has no account"),
        (GOOD.replace("2026-04-01", ""), "needs a due date"),
        (GOOD.replace("2026-04-01", "soon"), "is not a date"),
        (GOOD.replace("Recall over 0.9", " "), "needs a verification"),
        (GOOD.replace("Pin the encoder", ""), "title"),
    ],
)
def test_a_file_with_an_item_that_lacks_something_is_refused_whole(incident, helen, line, sentence):
    with pytest.raises(UserError, match="Line 3:") as refused:
        many.import_actions(incident=incident, by=helen, data=(HEAD + GOOD + line).encode(), today=TODAY)
    assert sentence in str(refused.value) and not ActionItem.objects.exists()


def test_a_file_brings_its_items_in(client, incident, helen):
    assert len(many.import_actions(incident=incident, by=helen, data=(HEAD + GOOD).encode(), today=TODAY)) == 1
    for data in (b"", b"title\nx\n", b"\xff\xfe", HEAD.encode()):
        with pytest.raises(UserError):
            many.import_actions(incident=incident, by=helen, data=data)
    late = (HEAD + GOOD).replace("2026-04-01", LATER)
    assert len(Api(helen, incident.number).post("./actions/file/", {"csv": late})) == 1


def test_a_merge_of_teams_leaves_every_item_its_owner(helen, incident):
    search, find = make_team("Search"), make_team("Find")
    ana = make_person("Ana Costa", team=find)
    item = make_action(incident, helen, owner=ana)
    with pytest.raises(PermissionDenied):
        merge_teams(team=find, into=search, by=helen)
    boss = make_person("Boss", Role.ADMINISTRATOR)
    Api(boss).post(f"teams/{find.pk}/merge/", {"into": search.pk}, expect=204)
    item.refresh_from_db()
    assert item.owner.team == search and not Team.objects.filter(name="Find").exists()
    with pytest.raises(UserError):
        merge_teams(team=search, into=search, by=boss)


@pytest.mark.parametrize("fields", [{"owner": None}, {"due_on": None}, {"verification": None}, {"verification": ""}])
def test_the_database_refuses_the_doors_of_the_orm(helen, incident, fields):
    item = make_action(incident, helen)
    for name, value in fields.items():
        setattr(item, name, value)
    doors = [
        lambda: ActionItem.objects.filter(pk=item.pk).update(**fields),
        lambda: ActionItem.objects.bulk_update([item], list(fields)),
        item.save,
    ]
    for door in doors:
        with pytest.raises((IntegrityError, ValueError)), transaction.atomic():
            door()
    stored = ActionItem.objects.get(pk=item.pk)
    assert stored.owner_id and stored.due_on and stored.verification
