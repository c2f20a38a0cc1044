"""The whole story as a person walks it, and every page's accessibility."""

import io
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from fixtures.standin.server import StandIn
from postmortem.accounts.models import Role
from postmortem.incidents.models import Incident
from postmortem.incidents.services import set_participant
from postmortem.lib.layers import LAYERS
from postmortem.traces.services import create_connection
from tests.builders import make_person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

STORY = Path(__file__).resolve().parents[2] / "fixtures" / "prompt-canary"
PASS_PHRASE = "a long pass phrase"
WINDOWS = {
    "baseline_start": "2026-03-02T00:00:00",
    "baseline_end": "2026-03-09T00:00:00",
    "incident_start": "2026-03-09T09:20:00",
    "incident_end": "2026-03-12T18:40:00",
}


@pytest.fixture
def stand_in():
    with StandIn(mode="v4", stories=[STORY]) as running:
        yield running


@pytest.fixture
def administrator():
    return make_person("Helen Lindqvist", Role.ADMINISTRATOR, email="helen@example.org")


def sign_in(page: Page, address: str, email: str) -> None:
    page.goto(address + "/sign-in/")
    page.fill("#id_username", email)
    page.fill("#id_password", PASS_PHRASE)
    page.click("button:has-text('Sign in')")
    expect(page.locator("h1")).to_have_text("Incidents")


def violations(page: Page) -> list[str]:
    """WCAG 2.2 A and AA, as axe finds them."""
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = Axe().run(page, options={"runOnly": rules}).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in found]


def test_the_whole_story(page, live_server, worker, stand_in, administrator):
    create_connection(
        by=administrator,
        name="Stand-in",
        base_url=stand_in.base_url,
        public_key=stand_in.public_key,
        secret_key=stand_in.secret_key,
    )
    amara = make_person("Amara Obi", email="amara@example.org")
    sign_in(page, live_server.url, administrator.email)

    # Open the incident and paste a link: the trace comes first, then its window.
    page.click("text=New incident")
    page.fill("#id_title", "Refund answers went wrong after a canary")
    page.fill("#id_feature_name", "Help Centre Assistant")
    page.fill("#id_detected_at", "2026-03-12T14:05:00")
    page.click("text=Open the incident")
    incident = Incident.objects.get()
    base = f"{live_server.url}/incidents/{incident.number}/"
    page.fill("#id_link", stand_in.example_links()[0])
    page.click("button:has-text('Import')")
    expect(page.locator("#runs .badge").first).to_have_text("Done", timeout=120_000)
    page.reload()
    expect(page.locator("h1")).to_contain_text("are in evidence")

    # Choose the signal and the windows.
    page.select_option("#id_signal", "grounded")
    for name, value in WINDOWS.items():
        page.fill(f"#id_{name}", value)
    page.click("#signal button:has-text('Save')")
    incident.refresh_from_db()
    assert incident.signal == "grounded"

    # The window that was pulled around the link may be smaller than the story; the file brings all of it.
    page.goto(base + "evidence/")
    page.click("summary:has-text('Upload a file')")
    page.set_input_files("#id_file", STORY / "traces.jsonl.gz")
    page.click("#file button:has-text('Upload')")
    expect(page.locator("h1")).to_contain_text("5,2")

    # Change logs, twice: nothing doubles.
    for _ in range(2):
        page.goto(base + "changes/")
        page.set_input_files("input[type=file]", STORY / "changes.jsonl")
        page.click("button:has-text('Upload')")
    assert incident.feature.changes.count() == 15

    # Attribute.
    page.goto(base + "attribution/")
    page.click("button:has-text('Run attribution')")
    expect(page.locator("h1")).to_contain_text("Answer prompt 6 → 7", timeout=60_000)
    assert violations(page) == []

    # Try to publish: the gate names what is missing, each with a link.
    page.goto(base + "report/")
    expect(page.locator("h1")).to_contain_text("between this draft and publication")
    assert page.locator("button:has-text('Publish')").is_disabled()
    assert page.locator("#missing a:has-text('Mend')").count() > 5

    # The record's words and clocks.
    page.goto(base + "edit/")
    page.fill("#id_summary", "Prompt 7 lost the rule to answer only from the articles.")
    page.fill("#id_impact", "412 customers were told something wrong.")
    page.fill("#id_onset_at", "2026-03-09T09:20:00")
    page.fill("#id_mitigated_at", "2026-03-12T16:40:00")
    page.locator("button:has-text('Save')").first.click()
    expect(page.locator("h1")).to_have_text("Refund answers went wrong after a canary")

    # People: one lead for the layer that will be IN.
    set_participant(incident=incident, by=administrator, person=amara, role="layer_lead", layer="prompt")

    # Four layers: answer by keyboard, adopt what the attribution says, decide.
    for layer in LAYERS:
        page.goto(f"{base}review/{layer.value}/")
        question = page.locator("[data-item]").first
        question.focus()
        page.keyboard.press("1")
        expect(page.locator("[data-item]").first.locator("[aria-pressed=true]")).to_contain_text("Yes")
        adopt = page.locator("button:has-text('Adopt')")
        if not adopt.is_visible():
            page.locator("details:has(button:has-text('Adopt')) > summary").click()
        adopt.click()
        value = "in" if layer.value == "prompt" else "out"
        page.check(f"input[name=value][value={value}]", force=True)
        page.fill("textarea[name=reason]", f"{layer.label}: decided on the evidence shown.")
        page.click("button:has-text('Decide')")
        expect(page.locator("h1")).to_contain_text("a cause lies here" if value == "in" else "ruled out")
    assert violations(page) == []

    # One factor, and the action that cuts it. Without an owner it is refused with a sentence.
    page.goto(base + "review/")
    form = page.locator("form:has(button:has-text('Add the factor'))")
    if not form.is_visible():
        page.locator("details:has(button:has-text('Add the factor')) > summary").click()
    form.locator("[name=text]").fill("Answer prompt 7 lost “Answer only from the articles”")
    form.locator("[name=kind]").select_option("trigger")
    form.locator("[name=layer]").select_option("prompt")
    form.locator("button:has-text('Add the factor')").click()
    factor = incident.factors.exclude(kind="impact").get()
    page.goto(base + "actions/new/")
    page.fill("#id_title", "Keep the sentence in a shared block")
    page.select_option("#id_layer", "prompt")
    page.fill("#id_verification", "A prompt without the block fails to publish")
    page.select_option("#id_cuts_factor", str(factor.pk))
    page.fill("#id_due_on", "2030-01-15")
    page.click("button:has-text('Add the action')")
    expect(page.locator("#field-owner .errors")).to_have_text("Choose the one person who owns it.")
    assert incident.action_items.count() == 0
    page.select_option("#id_owner", str(amara.pk))
    page.click("button:has-text('Add the action')")
    expect(page.locator("body")).to_contain_text("Keep the sentence in a shared block")
    assert incident.action_items.get().owner == amara

    # Signatures: the lead's and the facilitator's.
    page.goto(base + "review/")
    page.click("button:has-text('Sign the review')")
    page.goto("about:blank")  # so that no open request of the page brings a cookie of its own
    page.context.clear_cookies()
    sign_in(page, live_server.url, amara.email)
    page.goto(base + "review/prompt/")
    page.click("button:has-text('Sign off as layer lead')")
    page.goto("about:blank")  # so that no open request of the page brings a cookie of its own
    page.context.clear_cookies()
    sign_in(page, live_server.url, administrator.email)

    # Publish, and read what leadership reads.
    page.goto(base + "report/")
    expect(page.locator("h1")).to_have_text("Ready to publish")
    page.check("input[name=confirmed]")
    page.click("button:has-text('Publish')")
    expect(page.locator("h1")).to_have_text("Published and frozen")
    assert violations(page) == []
    report = incident.reports.get()
    answer = page.request.get(f"{base}report/v1/brief.pdf")
    pdf = PdfReader(io.BytesIO(answer.body()))
    text = " ".join(one.extract_text() for one in pdf.pages)
    assert len(pdf.pages) == 2
    for expected in ("Refund answers went wrong", "Amara Obi", "Keep the sentence", incident.number, report.sha256[:8]):
        assert expected in text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_are_accessible_and_fit_a_phone(page, live_server, administrator, theme):
    incident = Incident.objects.create(
        number="INC-2026-0009", title="Answers went stale", created_by=administrator, feature=_feature()
    )
    sign_in(page, live_server.url, administrator.email)
    page.context.add_cookies([{"name": "theme", "value": theme, "url": live_server.url}])
    base = f"/incidents/{incident.number}/"
    addresses = ["/", "/incidents/new/", "/connections/", "/method/", "/account/", "/actions/mine/", base]
    addresses += ["/feeds/", "/feeds/new/pull_github/"]
    addresses += [base + part for part in ("edit/", "people/", "timeline/", "evidence/", "traces/", "changes/")]
    addresses += [base + part for part in ("attribution/", "review/", "review/model/", "actions/", "report/")]
    for address in addresses:
        page.set_viewport_size({"width": 1280, "height": 900})
        answer = page.goto(live_server.url + address)
        assert answer is not None and answer.ok, address
        assert violations(page) == [], address
        page.set_viewport_size({"width": 390, "height": 844})
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"{address} is {overflow} px wider than a phone"


def test_the_story_begins_without_any_script(browser, live_server, administrator):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, live_server.url, administrator.email)
    page.click("text=New incident")
    page.fill("#id_title", "Answers went stale")
    page.fill("#id_feature_name", "Help Centre Assistant")
    page.click("text=Open the incident")
    assert Incident.objects.get().title == "Answers went stale"
    expect(page.locator("h1")).to_contain_text("No evidence yet")
    context.close()


def _feature():
    from tests.builders import make_feature

    return make_feature()
