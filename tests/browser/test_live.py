"""Two people on one page: each sees the other within a second, and a lost connection loses nothing."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.review.services import add_evidence
from postmortem.review.shared_text import read_text, save_text
from tests.builders import make_incident, make_person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASS = "a long pass phrase"


def _open(browser: Browser, base: str, person: Person, path: str) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto(f"{base}{path}")
    _sign_in(page, person)
    page.wait_for_url(f"**{path}")
    return page


def _sign_in(page: Page, person: Person) -> None:
    page.get_by_label("E-mail").fill(person.email)
    page.get_by_label("Pass phrase").fill(PASS)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture
def incident() -> Incident:
    return make_incident()


def test_two_people_write_one_text_and_see_each_other(browser: Browser, live_server, incident: Incident):
    helen, ana = incident.created_by, make_person("Ana Ruiz")
    path = f"/incidents/{incident.number}/meeting/"
    first = _open(browser, live_server.url, helen, path)
    first.get_by_role("button", name="Start the meeting").click()
    second = _open(browser, live_server.url, ana, path)
    notes, theirs = first.get_by_label("Notes of the meeting"), second.get_by_label("Notes of the meeting")
    expect(first.locator("#present li")).to_have_count(2)
    notes.press_sequentially("The index was built twice.")
    expect(theirs).to_have_value("The index was built twice.", timeout=4_000)
    expect(second.get_by_text("Helen Lindqvist is writing here")).to_be_visible()
    theirs.focus()
    theirs.press("End")
    theirs.press_sequentially(" Ana: why?")
    expect(notes).to_have_value("The index was built twice. Ana: why?", timeout=4_000)
    # A decision of one appears on the other's screen, and typing there is left alone.
    second.get_by_label("A decision as it falls").fill("half a sentence")
    first.get_by_label("A decision as it falls").fill("Roll back in the EU")
    first.get_by_role("button", name="Note it").click()
    expect(second.locator("#others")).to_contain_text("noted the decision: Roll back in the EU")
    expect(second.get_by_label("A decision as it falls")).to_have_value("half a sentence")
    first.context.close()
    second.context.close()


def test_what_is_typed_without_a_connection_is_saved_when_it_is_back(browser: Browser, live_server, incident: Incident):
    path = f"/incidents/{incident.number}/meeting/"
    page = _open(browser, live_server.url, incident.created_by, path)
    page.get_by_role("button", name="Start the meeting").click()
    notes = page.get_by_label("Notes of the meeting")
    expect(page.locator("#present li")).to_have_count(1)
    page.context.set_offline(True)
    notes.press_sequentially("Typed in a tunnel.")
    expect(page.get_by_text("No connection. Your text is kept")).to_be_visible()
    assert read_text(incident, "meeting").text == ""
    page.context.set_offline(False)
    expect(page.locator("#notes-text-state")).to_have_text(re.compile("^Saved"), timeout=20_000)
    assert read_text(incident, "meeting").text == "Typed in a tunnel."
    page.context.close()


def test_a_session_that_ended_loses_no_text_and_a_new_one_saves_it(browser: Browser, live_server, incident: Incident):
    path = f"/incidents/{incident.number}/meeting/"
    page = _open(browser, live_server.url, incident.created_by, path)
    page.get_by_role("button", name="Start the meeting").click()
    notes = page.get_by_label("Notes of the meeting")
    expect(page.locator("#present li")).to_have_count(1)
    page.context.clear_cookies()
    notes.press_sequentially("Written while signed out.")
    expect(page.get_by_text("you are signed out", exact=False)).to_be_visible()
    expect(notes).to_have_value("Written while signed out.")
    other = page.context.new_page()
    other.goto(f"{live_server.url}/")
    _sign_in(other, incident.created_by)
    expect(other.get_by_role("heading", name="Incidents")).to_be_visible()
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.locator("#notes-text-state")).to_have_text(re.compile("^Saved"), timeout=20_000)
    assert read_text(incident, "meeting").text == "Written while signed out."
    # What is saved is no draft any more: the page opens with the stored text and leaves it alone.
    save_text(
        incident=incident, by=incident.created_by, key="meeting", base="Written while signed out.", text="Changed."
    )
    page.reload()
    expect(page.get_by_label("Notes of the meeting")).to_have_value("Changed.")
    assert read_text(incident, "meeting").text == "Changed."
    page.context.close()


def test_only_sections_that_changed_are_drawn_again(browser: Browser, live_server, incident: Incident):
    path = f"/incidents/{incident.number}/review/prompt/"
    page = _open(browser, live_server.url, incident.created_by, path)
    expect(page.locator("#present li")).to_have_count(1)
    add_evidence(
        incident=incident, by=make_person("Ana Ruiz"), layer="prompt", direction="for", text="Version 7 was served"
    )
    expect(page.locator("#evidence")).to_contain_text("Version 7 was served")
    expect(page.locator("#others")).to_contain_text("Ana Ruiz added evidence")
    question = page.locator("li.question").first
    question.evaluate("part => { part.remembered = true; }")
    add_evidence(
        incident=incident, by=incident.created_by, layer="prompt", direction="against", text="So was version 6"
    )
    expect(page.locator("#evidence")).to_contain_text("So was version 6")
    assert question.evaluate("part => part.remembered === true")
    page.context.close()
