"""Changes in the browser: manifests from a file to the ledger, the ledger by keyboard, no breach of WCAG 2.2 AA."""

from datetime import date, timedelta

import pytest

from postmortem.accounts.models import Role
from postmortem.attribution.calendar.services import add_retirements
from postmortem.attribution.models import ModelRetirement
from postmortem.attribution.patterns.retirements import Retirement
from postmortem.changes.models import Change, Manifest
from postmortem.lib.clock import parse_moment
from tests.browser.test_graph import PASS_PHRASE, sign_in
from tests.browser.test_review_pages import walk
from tests.builders import make_change, make_incident, make_person, make_trace
from tests.changes.test_manifest_store import NEW, OLD
from tests.changes.test_manifests import TRAINING, jsonl

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def incident(transactional_db):
    helen = make_person("Helen Lindqvist", Role.ADMINISTRATOR, email="helen@example.org", password=PASS_PHRASE)
    return make_incident(by=helen)


def _choose(page, name, data):
    page.set_input_files("input[name=file]", {"name": name, "mimeType": "application/json", "buffer": data})
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_load_state()


def test_from_two_manifests_to_the_ledger_and_no_breach_on_the_way(page, live_server, incident):
    root = f"{live_server.url}/incidents/{incident.number}/"
    make_trace(incident, facets={"model": "gpt-x"})
    entry = Retirement("gpt-x", date(2099, 1, 31), "https://provider.example.org/deprecations", "gpt-y")
    add_retirements(by=incident.created_by, entries=[entry])
    sign_in(page, live_server, incident.created_by)
    page.goto(root + "manifests/")
    _choose(page, "kb.jsonl", OLD + b'\n{"id": "x"}')
    assert page.locator("#id_file_error").inner_text() == "kb.jsonl, line 5: the field “hash” is missing."
    for name, data in (
        ("kb-1.jsonl", OLD),
        ("kb-2.jsonl", NEW),
        ("t.jsonl", jsonl(TRAINING, {"id": "1"}, {"id": "2"})),
    ):
        page.goto(root + "manifests/")
        _choose(page, name, data)
    assert page.locator("h1").inner_text() == "tickets 8"
    page.get_by_role("button", name="Write it to the ledger").click()
    assert page.get_by_text("In the ledger: Trained on tickets 8: 2 rows added").is_visible()
    first, second = Change.objects.order_by("pk")
    kept = Manifest.objects.get(version="2")
    own = f"/incidents/{incident.number}/"
    addresses = (
        "changes/", f"changes/{first.pk}/", f"changes/{second.pk}/", f"changes/{first.pk}/correct/", "manifests/",
        f"manifests/{kept.pk}/", f"manifests/{second.manifests.get().pk}/", "retirements/",
    )  # fmt: skip
    elsewhere = ["/retirements/", f"/retirements/{ModelRetirement.objects.get().pk}/"]
    assert "\n".join(walk(page, live_server.url, [*(own + one for one in addresses), *elsewhere])) == ""


def test_the_ledger_by_keyboard_alone(page, live_server, incident):
    for number in range(120):
        at = parse_moment("2026-03-01T00:00:00Z") + timedelta(hours=number)
        make_change(f"p-{number}", summary=f"Step {number}", at=at, until=at, source=Change.Source.FILE)
    sign_in(page, live_server, incident.created_by)
    page.goto(f"{live_server.url}/incidents/{incident.number}/changes/")
    page.keyboard.press("/")
    page.keyboard.type("step 11")
    page.get_by_text("11 of 120 changes").wait_for()  # 11 and 110 to 119
    page.locator("body").evaluate("() => document.activeElement.blur()")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("() => document.activeElement.id") == f"change-{Change.objects.get(external_id='p-110').pk}"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/changes/*/")
    assert page.locator("h1").inner_text() == "Step 110"
    page.get_by_role("link", name="Correct or merge it").press("Enter")
    page.get_by_label("Why the log is wrong").fill("The clock was in local time.")
    page.get_by_label("Began (UTC)").fill("2026-03-05T10:00:00")
    page.keyboard.press("Control+Enter")
    page.get_by_text("is corrected; the log's own words are kept").wait_for()
    page.get_by_role("button", name="Take this correction back").press("Enter")
    page.get_by_text("The correction is taken back.").wait_for()
    assert Change.objects.get(external_id="p-110").at == parse_moment("2026-03-05T14:00:00Z")
