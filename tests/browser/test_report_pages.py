"""The report's pages in a browser: a Markdown preview by keyboard, a long document from progress to download."""

import pytest

from postmortem.accounts.models import Role
from postmortem.pipeline import background
from postmortem.pipeline.models import Run
from postmortem.report import documents
from postmortem.report.draft_settings import save_drafting_settings
from postmortem.report.models import MachineDraft
from tests.browser.test_graph import PASS_PHRASE, sign_in
from tests.browser.test_review_pages import walk
from tests.builders import make_incident, make_person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def incident(transactional_db):
    helen = make_person("Helen Lindqvist", Role.ADMINISTRATOR, email="helen@example.org", password=PASS_PHRASE)
    return make_incident(by=helen)


def test_markdown_is_previewed_by_keyboard(page, live_server, incident):
    sign_in(page, live_server, incident.created_by)
    page.goto(f"{live_server.url}/incidents/{incident.number}/edit/")
    page.locator("#id_impact").fill("**1,120 answers**\n\n- one\n\n<script>alert(1)</script>")
    page.locator("#id_impact").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    shown = page.locator("#preview-id_impact")
    shown.locator("strong").wait_for()
    assert shown.locator("li").inner_text() == "one" and "<script" not in shown.inner_html()


def test_a_long_document_goes_from_progress_to_its_download(page, live_server, incident, monkeypatch):
    monkeypatch.setattr(documents, "_LONG_ROWS", -1)
    sign_in(page, live_server, incident.created_by)
    page.goto(f"{live_server.url}/incidents/{incident.number}/report/draft/full.pdf")
    assert "is being made" in page.locator("h1").inner_text()
    background.work(once=True)
    page.get_by_role("link", name="Open INC-").wait_for(timeout=15_000)
    assert Run.objects.get().state == Run.State.DONE
    with page.expect_response("**/document") as answer:
        page.evaluate("address => fetch(address)", page.get_by_role("link", name="Open INC-").get_attribute("href"))
    assert answer.value.status == 200 and answer.value.headers["content-type"] == "application/pdf"


def test_pages_of_drafts_are_accessible(page, live_server, incident):
    admin = incident.created_by
    save_drafting_settings(by=admin, revision=0, enabled=True, base_url="https://llm.example.org/v1", model="writer-1")
    MachineDraft.objects.create(
        incident=incident, field="summary", model="writer-1", asked_by=admin,
        sent=[{"id": "F1", "text": "To detect: 2 d 5 h", "place": "clocks.detect"}],
        sentences=[{"text": "It took 2 d 5 h.", "places": ["clocks.detect"], "doubt": ""},
                   {"text": "A meteor hit.", "places": [], "doubt": "It names no fact of the record."}],
    )  # fmt: skip
    sign_in(page, live_server, admin)
    addresses = [f"/incidents/{incident.number}/report/proposals/", "/drafting/", f"/incidents/{incident.number}/edit/"]
    assert walk(page, live_server.url, addresses) == []
