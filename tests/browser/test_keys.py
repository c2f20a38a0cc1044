"""The review by single keys: the next step, a factor, a draft of the reason; and none of it once switched off."""

import pytest
from playwright.sync_api import expect

from postmortem.review.services import adopt_proposed_evidence
from tests.browser.test_graph import incident, sign_in  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_single_keys_lead_through_the_review(page, live_server, incident):  # noqa: F811
    helen = incident.created_by
    incident.participants.create(person=helen, role="facilitator")
    adopt_proposed_evidence(incident=incident, by=helen, layer="retrieval")
    sign_in(page, live_server, helen)
    root = f"{live_server.url}/incidents/{incident.number}"
    page.goto(f"{root}/review/")
    page.keyboard.press("m")
    page.wait_for_url(f"{root}/edit/#field-summary")
    page.goto(f"{root}/review/")
    # The form of the first factor is open already: the key goes into it and does not fold it.
    page.keyboard.press("n")
    expect(page.locator("#factor_text")).to_be_focused()
    page.keyboard.type("Encoder moved")
    page.locator("#factor_layer").select_option("retrieval")
    page.locator("#factor_text").press("Control+Enter")
    expect(page.locator("#factors")).to_contain_text("Encoder moved")
    page.goto(f"{root}/review/retrieval/")
    page.keyboard.press("a")
    reason = page.get_by_label("Reason", exact=True)
    expect(reason).to_be_focused()
    expect(reason).to_have_value("retrieval: exposed traces do worse.")
    expect(page.locator("input[name=value][value=in]")).to_be_checked()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Retrieval: a cause lies here")
    page.goto(f"{live_server.url}/account/")
    page.get_by_role("button", name="Switch them off").click()
    page.goto(f"{root}/review/")
    page.keyboard.press("m")
    page.keyboard.press("n")
    expect(page.locator("#factor_text")).not_to_be_focused()
    assert page.url == f"{root}/review/"
