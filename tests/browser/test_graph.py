"""The graph editor in a browser: by keyboard alone, by mouse, and with somebody else at the same graph."""

import re

import pytest
from playwright.sync_api import expect

from postmortem.accounts.models import Role
from postmortem.review.factors import add_factor, connect
from tests.builders import make_change, make_incident, make_person
from tests.review.builders import make_finding

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASS_PHRASE = "a long pass phrase"


def sign_in(page, live_server, person):
    page.goto(f"{live_server.url}/sign-in/")
    page.get_by_label("E-mail").fill(person.email)
    page.get_by_label("Pass phrase").fill(PASS_PHRASE)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{live_server.url}/")


@pytest.fixture
def incident(transactional_db):
    helen = make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org", password=PASS_PHRASE)
    incident = make_incident(by=helen)
    make_change("retrieval-1", layer="retrieval", summary="Encoder upgraded")
    make_finding(incident)
    return incident


def test_a_graph_is_made_by_keyboard_alone_and_undone(page, live_server, incident):
    sign_in(page, live_server, incident.created_by)
    page.goto(f"{live_server.url}/incidents/{incident.number}/graph/")
    page.locator("#graph-tool-add").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("Encoder moved")
    page.keyboard.press("Enter")
    page.wait_for_selector("g.node:focus")
    page.keyboard.press("n")
    page.keyboard.type("No test of recall")
    page.keyboard.press("Enter")
    expect(page.locator("g.node")).to_have_count(3)
    page.keyboard.press("c")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("g.edge")).to_have_count(3)
    assert incident.causal_edges.count() == 3
    assert "not cut" in page.locator("#graph-check").inner_text()
    page.keyboard.press("Control+z")
    expect(page.locator("g.edge")).to_have_count(2)
    page.keyboard.press("Control+Shift+z")
    expect(page.locator("g.edge")).to_have_count(3)
    page.keyboard.press("Delete")
    expect(page.locator("g.node")).to_have_count(2)
    assert incident.factors.count() == 2


def test_the_mouse_connects_and_others_edits_arrive(page, live_server, incident):
    one = add_factor(incident=incident, by=incident.created_by, kind="trigger", layer="retrieval", text="Encoder moved")
    impact = incident.factors.get(kind="impact")
    sign_in(page, live_server, incident.created_by)
    page.goto(f"{live_server.url}/incidents/{incident.number}/graph/")
    page.locator(f"#node-{one.pk}").drag_to(page.locator(f"#node-{impact.pk}"))
    page.wait_for_selector("g.edge")
    assert incident.causal_edges.get().effect == impact
    ana = make_person("Ana Costa")
    add_factor(
        incident=incident, by=ana, kind="latent_condition", layer="model", text="Nobody owns the alias", leads_to=one
    )
    expect(page.locator("g.node")).to_have_count(3)
    page.locator(".graph-canvas").click(position={"x": 4, "y": 4})
    page.get_by_role("button", name="Add it").first.click()
    expect(page.locator("g.node")).to_have_count(4)
    assert incident.factors.filter(change__external_id="retrieval-1").exists()


def test_a_large_graph_is_searched_folded_and_fills_the_window(page, live_server, incident):
    by = incident.created_by
    last = add_factor(incident=incident, by=by, kind="trigger", layer="model", text="Condition 0")
    impact = incident.factors.get(kind="impact")
    connect(cause=last, effect=impact, by=by)
    for count in range(1, 30):
        layer = ("model", "prompt", "retrieval")[count % 3]
        last = add_factor(
            incident=incident, by=by, kind="trigger", layer=layer, text=f"Condition {count}",
            leads_to=impact if count % 10 == 0 else last,
        )  # fmt: skip
    sign_in(page, live_server, by)
    page.goto(f"{live_server.url}/incidents/{incident.number}/graph/")
    expect(page.locator("g.node")).to_have_count(31)
    page.locator("g.node.impact").focus()
    page.keyboard.press("/")
    page.keyboard.type("condition 27")
    expect(page.locator("#graph-found")).to_have_text("1 of 31")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    expect(page.locator("g.node.chosen:focus")).to_have_attribute("aria-label", re.compile("Condition 27"))
    expect(page.locator("g.node.dim").first).to_be_attached()
    page.keyboard.press("f")
    expect(page.locator("g.node")).to_have_count(11)
    page.keyboard.press("f")
    expect(page.locator("g.node")).to_have_count(31)
    page.get_by_role("button", name="Prompt", exact=False).first.click()
    expect(page.locator("g.node")).to_have_count(21)
    assert page.locator("g.edge.bridge").count() == 9
    page.get_by_role("button", name="Whole window").click()
    box = page.locator("#graph-editor").bounding_box()
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 1280, 900)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#graph-editor') !== null")
    page.locator("g.node.impact").focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Whole window")).to_be_focused()
    # Another person's factor arrives into the folded view, too.
    add_factor(incident=incident, by=make_person("Ana Costa"), kind="trigger", layer="model", text="New", leads_to=last)
    expect(page.locator("g.node")).to_have_count(22)
