"""Every page of the product in every look: is there a WCAG 2.2 AA violation that axe finds?

    python -m tests.benchmarks.access_walk [--port 8741] [--prepared FOLDER] [--only PART]

Loads the five example incidents (published, in review, just begun), signs in once and opens every address of the URL
conf that answers with a page, for each of them, then the states of `access_states` that no address leads to: light and
dark, 1440 and 390 pixels wide, everything unfolded. Looks besides for focus that is not seen, pages that scroll
sideways, and motion where less was asked for.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, sync_playwright

from tests.benchmarks.access_states import STATES, Looker, two_people
from tests.browser.looking import NARROW, WIDE, broken, moving, overflowing, unfold, unseen_focus

ROOT = Path(__file__).resolve().parent.parent.parent
PERSON, PASS_PHRASE = "helen@example.org", "keyboard alone, please"
ADDRESSES = """
import json
from django.test import Client
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from tests.test_routes import routes
client = Client(HTTP_HOST="127.0.0.1")
client.force_login(Person.objects.get(email="helen@example.org"))
found = {}
for incident in Incident.objects.order_by("number"):
    first = lambda rows: getattr(rows.order_by("pk").first(), "pk", 1)
    trace = incident.traces.order_by("pk").first()
    rows = {
        "participants": first(incident.participants), "timeline": first(incident.timeline_entries),
        "traces": trace.pk if trace else 1, "changes": first(incident.feature.changes),
        "factors": first(incident.factors), "edges": first(incident.causal_edges), "evidence": first(incident.evidence),
        "people": Person.objects.order_by("pk").first().pk,
    }
    for route in routes():
        if route.is_api or route.template.startswith("admin"):
            continue
        address = route.address(incident.number, rows)
        try:
            answer = client.get(address)
        except Exception as error:
            print("BROKEN", address, error)
            continue
        if answer.status_code == 200 and answer.get("Content-Type", "").startswith("text/html"):
            if b"data-live-root" in (body := b"" if answer.streaming else answer.content) or b"<main" in body:
                found.setdefault(address, None)
print("ADDRESSES " + json.dumps(list(found)))
"""


def addresses(environment: dict[str, str]) -> list[str]:
    """Every address that answers with a page, asked of the product itself."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", ADDRESSES], cwd=ROOT, env=environment, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        if line.startswith("BROKEN"):
            print(line)
    return list(json.loads(done.stdout.rsplit("ADDRESSES ", 1)[1]))


def look(page: Page, address: str) -> Iterator[str]:
    """All complaints about one page, from one load of it."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.set_viewport_size({"width": WIDE, "height": 900})
    page.goto(address)
    yield from look_here(page)


def look_here(page: Page) -> Iterator[str]:
    """All complaints about a page as it stands: opened wide, light and with less motion asked for."""
    if not page.locator("dialog[open]").count():
        unfold(page)
    yield from (f"light {WIDE}: {one}" for one in [*broken(page), *overflowing(page), *moving(page)])
    yield from (f"light {WIDE}: {one}" for one in unseen_focus(page))
    page.emulate_media(color_scheme="dark")
    yield from (f"dark {WIDE}: {one}" for one in broken(page, ["color-contrast", "link-in-text-block"]))
    page.set_viewport_size({"width": NARROW, "height": 844})
    yield from (f"dark {NARROW}: {one}" for one in [*broken(page), *overflowing(page)])
    page.emulate_media(color_scheme="light")
    yield from (f"light {NARROW}: {one}" for one in broken(page, ["color-contrast", "link-in-text-block"]))


def main() -> None:
    """Prepare, serve, walk, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8741)
    parser.add_argument("--prepared", type=Path, help="a data folder with the examples, made if it is not there")
    parser.add_argument("--only", default="", help="addresses and states that hold this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "POSTMORTEM_DATA_DIR": folder}
        environment.pop("DATABASE_URL", None)
        sys.path.insert(0, str(ROOT / "tools"))
        from serve import prepare, web_command

        if options.prepared and options.prepared.exists():
            shutil.copytree(options.prepared, folder, dirs_exist_ok=True)
        prepare(environment)
        if not (options.prepared and options.prepared.exists()):
            load = [sys.executable, "manage.py", "load_examples", "-v0", "--pass-phrase", PASS_PHRASE]
            subprocess.run(load, cwd=ROOT, env=environment, check=True)
            if options.prepared:
                shutil.copytree(folder, options.prepared)
        wanted = [one for one in addresses(environment) if options.only in one]
        server = subprocess.Popen(web_command("127.0.0.1", options.port), cwd=ROOT, env=environment)
        try:
            states = {name: state for name, state in STATES.items() if options.only in name}
            sys.exit(_walk(f"http://127.0.0.1:{options.port}", wanted, states))
        finally:
            server.terminate()
            server.wait(10)


def _walk(base: str, wanted: list[str], states: dict[str, Callable[[Looker], None]]) -> int:
    for _ in range(100):
        try:
            httpx.get(f"{base}/sign-in/")
            break
        except httpx.TransportError:
            time.sleep(0.3)
    began, complaints = time.monotonic(), 0
    with sync_playwright() as playwright:
        path = os.environ.get("POSTMORTEM_TEST_BROWSER") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = browser.new_context()
        context.set_default_timeout(30_000)
        page = context.new_page()
        for one in look(page, f"{base}/sign-in/"):
            complaints += 1
            print(f"/sign-in/ {one}", flush=True)
        page.get_by_label("E-mail").fill(PERSON)
        page.get_by_label("Pass phrase").fill(PASS_PHRASE)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{base}/")
        for address in wanted:
            for one in look(page, base + address):
                complaints += 1
                print(f"{re.sub('INC-2026-000', '', address)} {one}", flush=True)
        looker = two_people(context, browser.new_context(), base, PASS_PHRASE) if states else None
        for name, state in states.items():
            for one in _reached(looker, name, state):
                complaints += 1
                print(f"{name}: {one}", flush=True)
    took = time.monotonic() - began
    print(f"{len(wanted) + 1} pages and {len(states)} states in four looks, {complaints} complaints, {took:.0f} s")
    return 1 if complaints else 0


def _reached(looker: Looker, name: str, state: Callable[[Looker], None]) -> Iterator[str]:
    looker.page.emulate_media(color_scheme="light", reduced_motion="reduce")
    looker.page.set_viewport_size({"width": WIDE, "height": 900})
    try:
        state(looker)
    except PlaywrightError as error:
        yield f"not reached: {str(error).splitlines()[0]}"
        return
    yield from look_here(looker.page)


if __name__ == "__main__":
    main()
