"""No page of the review breaks WCAG 2.2 AA in any state that it has, light or dark, wide or narrow."""

import pytest

from postmortem.accounts.models import Role
from postmortem.actions.following import check_action, plan_verification
from postmortem.actions.verification import Plan
from postmortem.incidents.services import add_timeline_entry, mark_timeline_item
from postmortem.lib.clock import parse_moment
from postmortem.review.dissent import record_dissent
from postmortem.review.factors import accept_risk, add_factor
from postmortem.review.services import add_evidence, answer_question, decide_verdict, sign_off
from tests.browser.looking import LOOKS, WIDE, broken, moving, overflowing, unfold, unseen_focus
from tests.browser.test_graph import PASS_PHRASE, sign_in
from tests.builders import make_action, make_change, make_incident, make_person, make_trace
from tests.review.builders import make_finding
from tests.test_routes import routes

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAGES = (
    "", "edit/", "people/", "timeline/", "history/", "review/", "review/model/", "review/prompt/", "review/detection/",
    "graph/", "meeting/", "actions/", "actions/new/", "attribution/", "report/",
)  # fmt: skip
ELSEWHERE = ("/checklists/", "/checklists/2026-2/", "/checklists/new/", "/account/", "/actions/mine/")


def walk(page, base: str, addresses: list[str]) -> list[str]:
    """Each address once, in turns of light and dark, wide and narrow (all four: tests/benchmarks/access_walk.py)."""
    complaints = []
    for turn, (scheme, width) in enumerate(LOOKS):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 900})
        for address in addresses[turn :: len(LOOKS)]:
            page.goto(base + address)
            unfold(page)
            found = [*broken(page), *overflowing(page), *moving(page), *(unseen_focus(page) if width == WIDE else [])]
            complaints += [f"{scheme} {width} {address} {text}" for text in found]
    return complaints


def addresses_of(client, incident, rows: dict[str, int]) -> list[str]:
    """Every address of the URL conf that answers with a page."""
    found = []
    client.raise_request_exception = (
        False  # the finding here is a thin one; whole ones: tests/benchmarks/access_walk.py
    )
    for route in routes():
        if route.is_api or route.template.startswith(("admin", "sign-out")):
            continue
        answer = client.get(route.address(incident.number, rows))
        page = answer.status_code == 200 and answer.get("Content-Type", "").startswith("text/html")
        if page and not answer.streaming and b"<main" in answer.content:
            found.append(route.address(incident.number, rows))
    return found


@pytest.fixture
def incident(transactional_db):
    helen = make_person("Helen Lindqvist", Role.ADMINISTRATOR, email="helen@example.org", password=PASS_PHRASE)
    return make_incident(by=helen)


def test_an_incident_that_was_just_opened(page, live_server, incident):
    sign_in(page, live_server, incident.created_by)
    root = f"/incidents/{incident.number}/"
    assert "\n".join(walk(page, live_server.url, [*(root + one for one in PAGES), *ELSEWHERE])) == ""


def test_every_page_and_an_incident_in_the_middle_of_its_review(page, live_server, incident, client):
    helen, ana = incident.created_by, make_person("Ana Costa", time_zone="Asia/Tokyo")
    incident.onset_at = incident.mitigated_at = parse_moment("2026-03-09T09:20:00Z")
    incident.save()
    change = make_change("retrieval-1", layer="retrieval", summary="Encoder upgraded")
    make_trace(incident, latency_seconds=1.0)
    make_finding(incident)
    add_evidence(incident=incident, by=helen, layer="prompt", direction="for", text="Canary fell")
    decide_verdict(incident=incident, by=helen, layer="prompt", value="out", reason="No difference")
    record_dissent(incident=incident, by=ana, layer="prompt", value="in", reason="Too few traces")
    answer_question(incident=incident, by=helen, question_id="detection-alert-fired", value="no", note="None defined")
    factor = add_factor(incident=incident, by=helen, kind="trigger", layer="retrieval", text="Encoder moved")
    add_factor(incident=incident, by=helen, kind="amplifier", layer="model", text="No fallback", leads_to=factor)
    accept_risk(factor=factor, by=helen, reason="Rare")
    incident.participants.create(person=helen, role="layer_lead", layer="prompt")
    sign_off(incident=incident, by=helen, layer="prompt")
    add_evidence(incident=incident, by=helen, layer="prompt", direction="against", text="Found after the signature")
    item = make_action(incident, helen, cuts_factor=factor)
    make_action(incident, ana, number=2)
    plan_verification(action=item, by=helen, plan=Plan("latency", "at_most", 2.0, 7))
    check_action(action=item, by=helen)
    note = add_timeline_entry(incident=incident, by=ana, at=incident.onset_at, text="Paged", kind="alert")
    key = f"change.{change.pk}"
    mark_timeline_item(incident=incident, by=ana, key=key, subject="x", pinned=True, text="Encoder moved everywhere")
    sign_in(page, live_server, helen)
    root = f"/incidents/{incident.number}/"
    states = (
        "review/", f"review/?factor={factor.pk}", "review/prompt/", "review/detection/", "graph/", "actions/",
        "actions/1/", f"actions/new/?cuts={factor.pk}", "history/?kind=graph", f"timeline/?correct={key}",
        f"timeline/?correct=note.{note.pk}",
    )  # fmt: skip
    assert "\n".join(walk(page, live_server.url, [root + one for one in states])) == ""
    client.force_login(helen)
    rows = {
        "traces": incident.traces.get().pk, "changes": change.pk, "factors": factor.pk, "people": ana.pk,
        "participants": incident.participants.get().pk, "timeline": note.pk, "evidence": incident.evidence.first().pk,
        "edges": incident.causal_edges.first().pk,
    }  # fmt: skip
    known = {root + one for one in states}
    everywhere = [one for one in addresses_of(client, incident, rows) if one not in known]
    assert len(everywhere) >= 38
    assert "\n".join(walk(page, live_server.url, everywhere)) == ""
    for chosen in (f"#node-{factor.pk}", "g.edge >> nth=0"):
        page.goto(f"{live_server.url}{root}graph/")
        page.locator(chosen).focus()
        page.keyboard.press("Enter")
        assert broken(page) == []
