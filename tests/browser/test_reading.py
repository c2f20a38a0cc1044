"""Reading traces in a browser: by keyboard, on demand, and for everybody."""

import pytest
from playwright.sync_api import expect

from postmortem.accounts.models import AuditEntry, Role
from postmortem.lib.clock import parse_moment
from postmortem.traces import services as traces
from postmortem.traces.models import Trace, TraceLabel
from tests.browser.test_story import sign_in, violations
from tests.builders import make_incident, make_person
from tests.web.builders import deep_trace, import_traces

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WINDOWS = {
    "baseline_start": "2026-03-02T00:00:00Z", "baseline_end": "2026-03-04T00:00:00Z",
    "incident_start": "2026-03-04T00:00:00Z", "incident_end": "2026-03-06T00:00:00Z",
}  # fmt: skip


def test_traces_are_read_labelled_and_picked_by_keyboard(page, live_server):
    person = make_person("Helen Lindqvist", Role.ADMINISTRATOR, email="helen@example.org")
    incident = make_incident(by=person, **{name: parse_moment(text) for name, text in WINDOWS.items()})
    import_traces(incident, person, count=96)
    data = deep_trace(2000, text="Write to jane@example.org")
    traces.import_file(incident=incident, by=person, filename="trace-deep.json", data=data)
    base = f"{live_server.url}/incidents/{incident.number}/"
    sign_in(page, live_server.url, person.email)

    # One after another: failing, fine, skip, take back.
    page.goto(base + "label/")
    expect(page.locator("#label-trace")).to_be_visible()
    for key, count in (("1", 1), ("2", 2)):
        page.keyboard.press(key)
        expect(page.locator("#label-card .rows li")).to_have_count(count)
    page.keyboard.press("3")
    page.wait_for_url("**/label/?place=3")
    page.keyboard.press("u")
    expect(page.locator("#label-card .rows li").first).to_contain_text("taken back")
    assert TraceLabel.objects.filter(withdrawn_at=None).count() == 1
    assert violations(page) == []

    # A trace of 2,000 steps: little at first, the rest on demand, masked until somebody looks.
    deep = Trace.objects.get(external_id="deep")
    page.goto(base + f"traces/{deep.pk}/")
    expect(page.locator("li[id^=observation-]")).to_have_count(200)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#io-0 pre").first).to_contain_text("e-mail address")
    expect(page.locator("#io-0")).not_to_contain_text("jane@example.org")
    assert violations(page) == []
    page.click("text=Show the next 200")
    expect(page.locator("li[id^=observation-]")).to_have_count(400)
    page.click("button:has-text('See in clear')")
    page.locator("#observation-0 summary").click()
    expect(page.locator("#io-0 pre").first).to_contain_text("jane@example.org")
    assert AuditEntry.objects.filter(action="see in clear").count() == 2

    # From the picture to the signal.
    page.goto(base + "symptoms/")
    assert violations(page) == []
    page.click("button[aria-label='Attribute grounded']")
    page.wait_for_url("**/attribution/")
    incident.refresh_from_db()
    assert (incident.signal, incident.worse) == ("grounded", "lower")

    bad = Trace.objects.get(external_id="trace-0070")
    for address in ("traces/", "facets/", f"traces/{bad.pk}/compare/"):
        page.goto(base + address)
        assert violations(page) == [], address
    page.goto(f"{live_server.url}/masking/")
    assert violations(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    for address in ("label/", "symptoms/", "facets/", "traces/", f"traces/{bad.pk}/compare/", f"traces/{deep.pk}/"):
        page.goto(base + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
