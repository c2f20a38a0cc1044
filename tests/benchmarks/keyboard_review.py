"""From attribution to a passable gate by keyboard alone: how many keystrokes, steps and seconds?

    python -m tests.benchmarks.keyboard_review

Loads the example incidents, takes INC-2026-0005 (its attribution is run, nothing is decided) and walks it with
Chromium through the pages: no mouse, no address typed. Prints what was pressed. The time of a person is estimated by
the keystroke-level model of Card, Moran and Newell (1980): 0.28 s a key, 1.35 s of thought before each step, and the
time that the pages took. One person facilitates and leads every layer, so that nobody has to change seats.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
NUMBER, PERSON, PASS_PHRASE, PORT = "INC-2026-0005", "helen@example.org", "keyboard alone, please", 8731
KEY_SECONDS, THOUGHT_SECONDS = 0.28, 1.35
REASON = "Exposed and unexposed traces of the same hours do not differ."
PREPARE = f"""
from pathlib import Path
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.pipeline.examples import load_story
load_story(Path("fixtures/traffic-mix"), pass_phrase="{PASS_PHRASE}")
incident, helen = Incident.objects.get(number="{NUMBER}"), Person.objects.get(email="{PERSON}")
incident.participants.filter(role="layer_lead").update(person=helen)
"""


class Keyboard:
    """Presses keys and counts them; a step is a page that came or a form that went."""

    def __init__(self, page: Page) -> None:
        self.page, self.keys, self.typed, self.steps = page, 0, 0, 0
        self.began = time.monotonic()

    def press(self, *keys: str, step: bool = False) -> None:
        """Keys one after another; `step` waits for the page that the last one brings."""
        for key in keys[:-1]:
            self.page.keyboard.press(key)
        if step:
            with self.page.expect_navigation():
                self.page.keyboard.press(keys[-1])
            self.steps += 1
        else:
            self.page.keyboard.press(keys[-1])
        self.keys += sum(len(key.split("+")) for key in keys)

    def type(self, text: str) -> None:
        """Words, a key a letter."""
        self.page.keyboard.type(text)
        self.typed += len(text)

    def tab_to(self, selector: str, most: int = 60) -> None:
        """Tab until the element has the cursor, counting every Tab. Raises SystemExit when it is not reached."""
        for _ in range(most):
            if self.page.locator(selector).first.evaluate("(one) => one === document.activeElement"):
                return
            self.press("Tab")
        raise SystemExit(f"{selector} is not reached by {most} tabs.")


def walk(keys: Keyboard) -> None:
    """Record, four layers, a factor, its actions, the signatures."""
    page = keys.page
    keys.press("g", "o", step=True)
    # The texts and times that the gate asks for: its first missing rule leads to the form.
    keys.press("m", step=True)
    for name, text in (("impact", "Trial users got less help."),):
        keys.tab_to(f"#id_{name}")
        keys.press("Control+End")
        keys.type(text)
    keys.tab_to("#id_mitigated_at")
    keys.type("10162026" + "\t" + "090000AM")
    keys.press("Control+Enter", step=True)
    keys.press("g", "r", step=True)
    for _ in range(4):
        keys.press("]", step=True)
        for shortcut in ("y", "p"):
            if page.locator(f'[data-hotkey="{shortcut}"]').count():
                keys.press(shortcut, step=True)
        keys.press("o")
        keys.type(REASON)
        keys.press("Control+Enter", step=True)
    keys.press("g", "r", step=True)
    if page.locator("details#new-factor:not([open])").count():
        keys.press("n")
    keys.tab_to("#id_text")
    keys.type("The campaign brought requests that the prompt was never tried on")
    keys.tab_to("#id_layer")
    keys.type("p")
    keys.press("Control+Enter", step=True)
    keys.press("g", "a", step=True)
    while page.locator('[data-hotkey="c"]').count():
        keys.press("c", step=True)
        keys.type("Try every new kind of request before a campaign")
        keys.press("Control+Enter", step=True)
    keys.press("g", "r", step=True)
    keys.press("s", step=True)


def main() -> None:
    """Prepare, serve, walk, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "POSTMORTEM_DATA_DIR": folder}
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
        subprocess.run([*manage, "collectstatic", "--noinput", "-v0"], cwd=ROOT, env=environment, check=True)
        subprocess.run([*manage, "shell", "-v0", "-c", PREPARE], cwd=ROOT, env=environment, check=True)
        sys.path.insert(0, str(ROOT / "tools"))
        from serve import web_command

        server = subprocess.Popen(web_command("127.0.0.1", PORT), cwd=ROOT, env=environment)
        try:
            _run()
        finally:
            server.terminate()
            server.wait(10)


def _run() -> None:
    base = f"http://127.0.0.1:{PORT}"
    for _ in range(100):
        try:
            httpx.get(f"{base}/sign-in/")
            break
        except httpx.TransportError:
            time.sleep(0.3)
    with sync_playwright() as playwright:
        path = os.environ.get("POSTMORTEM_TEST_BROWSER") or shutil.which("chromium")
        page = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]).new_page()
        page.set_default_timeout(30_000)
        page.goto(f"{base}/sign-in/")
        page.get_by_label("E-mail").fill(PERSON)
        page.get_by_label("Pass phrase").fill(PASS_PHRASE)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{base}/")
        page.goto(f"{base}/incidents/{NUMBER}/attribution/")
        keys = Keyboard(page)
        try:
            walk(keys)
        finally:
            page.screenshot(path=str(Path(tempfile.gettempdir()) / "keyboard_review.png"), full_page=True)
        waited = time.monotonic() - keys.began
        page.goto(f"{base}/incidents/{NUMBER}/")
        missing = page.locator("#missing ul li p.strong").all_inner_texts()
        person = (keys.keys + keys.typed) * KEY_SECONDS + keys.steps * THOUGHT_SECONDS + waited
        print(f"{keys.keys} keys and {keys.typed} letters in {keys.steps} steps; pages took {waited:.0f} s")
        print(f"A person needs about {person / 60:.1f} min; missing at the end: {missing or 'nothing'}")


if __name__ == "__main__":
    main()
