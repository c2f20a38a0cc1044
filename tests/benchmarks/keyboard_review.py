"""From attribution to a passable gate by keyboard alone: how many keystrokes, steps and minutes?

    python -m tests.benchmarks.keyboard_review [--incident INC-2026-0003] [--port 8731]

Loads the five example incidents with their attribution run and nothing decided, and walks each with Chromium
through the pages as somebody who knows its story: no mouse, no address typed, every word typed letter by letter. The
walk ends when the gate misses nothing. The time of a person: three keystrokes a second, 1.35 s of thought before each
page or form (Card, Moran and Newell 1980, the operator M), and the time that the pages took. One person facilitates
and leads every layer, so that nobody has to change seats.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
PERSON, PASS_PHRASE = "helen@example.org", "keyboard alone, please"
KEY_SECONDS, THOUGHT_SECONDS = 1 / 3, 1.35
PREPARE = """
import os, shutil, tempfile
from pathlib import Path
from django.contrib.auth import get_user_model
from postmortem.incidents.models import Incident
from postmortem.pipeline.examples import load_story
for story in sorted(Path("fixtures").glob("*/incident.json")):
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / story.parent.name
        shutil.copytree(story.parent, copy, ignore=shutil.ignore_patterns("review.json"))
        load_story(copy, pass_phrase=os.environ["PASS_PHRASE"])
helen = get_user_model().objects.get(email="helen@example.org")
for incident in Incident.objects.all():
    incident.participants.filter(role__in=["layer_lead", "facilitator"]).update(person=helen)
"""


@dataclass(frozen=True)
class Told:
    """What somebody who knows the story decides: verdicts with reasons, factors, what will be done."""

    verdicts: dict[str, tuple[str, str]]
    factors: list[tuple[str, str, str]]  # layer, its first letters in the list of kinds, words
    actions: list[str]  # titles, in the order in which the page asks for them
    texts: dict[str, str] = field(default_factory=dict)
    mitigated: str = ""


STORIES = {
    "INC-2026-0001": Told(
        {
            "retrieval": ("out", "The articles on warranty reach a tenth of the traces, and those fell no more."),
            "infrastructure": ("in", "The cache served wrong answers after the rollback; the alert averages a day."),
            "prompt": ("in", "Exposed users of the canary fell in the hour that they got prompt 7; others did not."),
            "model": ("out", "On the old and the new snapshot answers of the same hours fall alike."),
        },
        [
            ("prompt", "t", "Answer prompt 7 lost “Answer only from the articles”"),
            ("infrastructure", "d", "The alert averages all prompts over 24 h"),
        ],
        ["Refuse promotion while exposed users score worse", "Alert on grounded answers per prompt, 2 h mean"],
    ),
    "INC-2026-0002": Told(
        {
            "prompt": ("insufficient", "Nothing on the traces says which examples a request was given."),
            "infrastructure": ("in", "The cache kept stale answers for 48 h."),
            "retrieval": ("in", "Queries used helix-3 and the index helix-2 in every region that fell."),
            "model": ("out", "On both snapshots, questions of the same hours and region do alike."),
        },
        [
            ("retrieval", "t", "Queries used helix-3, the index helix-2"),
            ("infrastructure", "a", "The answer cache kept stale answers for 48 h"),
        ],
        ["Refuse to start when the encoders differ", "Empty the cache when the encoder changes"],
    ),
    "INC-2026-0003": Told(
        {
            "retrieval": ("out", "No retrieval runs in this application."),
            "infrastructure": ("out", "The release reached every model; only orion-large fell."),
            "prompt": ("out", "Both prompt versions fell alike on orion-large."),
            "model": ("in", "The served snapshot moved under the same name in the hour of the onset."),
        },
        [("model", "t", "The provider served another snapshot under the same name")],
        ["Record the served model id and alert when it moves"],
    ),
    "INC-2026-0004": Told(
        {
            "prompt": ("out", "Prompt tokens of our own requests did not change."),
            "retrieval": ("out", "Retrieval took as long as before."),
            "infrastructure": ("in", "Free and team customers in eu-west share a queue with very long prompts."),
            "model": ("out", "The decode rate did not change."),
        },
        [("infrastructure", "t", "A product with very long prompts was put into the same queue")],
        ["Give every product a queue of its own"],
    ),
    "INC-2026-0005": Told(
        {
            "prompt": ("out", "Segments on the canary and off it rate as they did."),
            "retrieval": ("out", "The video index reached no trace."),
            "infrastructure": ("out", "The release reached all segments; none of them fell."),
            "model": ("out", "Temperature 0.4 and 0.2 are rated alike within each segment."),
        },
        [("prompt", "l", "The prompt was never tried on students before the campaign")],
        ["Try every new kind of request before a campaign"],
        {"impact": "Students got answers that help them less."},
        "2026-10-16T09:00",
    ),
}  # fmt: skip


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

    def there(self, selector: str) -> bool:
        """Whether the page shows it."""
        return self.page.locator(selector).count() > 0

    def tab_to(self, selector: str, most: int = 90) -> None:
        """Tab until the element has the cursor, counting every Tab. Raises SystemExit when it is not reached."""
        for _ in range(most):
            if self.page.locator(selector).first.evaluate("(one) => one === document.activeElement"):
                return
            self.press("Tab")
        raise SystemExit(f"{selector} is not reached by {most} tabs.")

    def choose(self, selector: str, value: str, letter: str) -> None:
        """Go to a list and press the first letter of an option until it is the one; nothing if it is already."""
        box = self.page.locator(selector).first
        if box.input_value() == value:
            return
        self.tab_to(selector)
        for _ in range(4):
            if box.input_value() == value:
                return
            self.press(letter)
        raise SystemExit(f"{selector} offers no {value}.")


def missing(page: Page) -> list[str]:
    """Titles of what the gate misses, from the overview."""
    return page.locator("#missing ul > li > div > p.strong").all_inner_texts()


KINDS = {"t": "trigger", "d": "detection_gap", "a": "amplifier", "l": "latent_condition"}
MOST_STEPS = 60


def walk(keys: Keyboard, told: Told) -> None:
    """Mend what is missing, one thing after the other, until the rail offers to publish."""
    factors, titles = list(told.factors), iter(told.actions)
    for _ in range(MOST_STEPS):
        href = keys.page.locator('[data-hotkey="m"]').get_attribute("href") or ""
        if href.endswith("/report/"):
            return
        keys.press("m", step=True)
        path, _, anchor = href.partition("#")
        place = path.rstrip("/").rsplit("/", 1)[-1]
        if place == "edit":
            fill_record(keys, told)
        elif anchor in ("verdict", "evidence"):
            for shortcut in ("y", "p"):
                if keys.there(f'[data-hotkey="{shortcut}"]'):
                    keys.press(shortcut, step=True)
            decide(keys, *told.verdicts[place])
        elif anchor in ("factors", "graph"):
            wanted = next((one for one in factors if one[0] == place), factors[0])
            factors.remove(wanted)
            add_factor(keys, *wanted)
        elif place == "actions":
            keys.press("c", step=True)
            if not keys.page.locator("#id_title").input_value():
                keys.type(next(titles))
            finish_action(keys)
        elif anchor == "sign-off":
            keys.press("s", step=True)
        else:
            raise SystemExit(f"Nobody told how {href} is mended.")
    raise SystemExit("The gate is not passable after so many steps.")


def fill_record(keys: Keyboard, told: Told) -> None:
    """Texts and times that the record lacks."""
    for name, text in told.texts.items():
        keys.tab_to(f"#id_{name}")
        keys.type(text)
    if told.mitigated:
        keys.tab_to("#id_mitigated_at")
        date, clock = told.mitigated.split("T")
        year, month, day = date.split("-")
        keys.type(f"{month}{day}{year}{clock.replace(':', '')}00AM")
    keys.press("Control+Enter", step=True)


def add_factor(keys: Keyboard, layer: str, kind: str, words: str) -> None:
    """What contributed, in a person's words."""
    keys.press("n")
    keys.type(words)
    keys.choose("#factor_kind", KINDS[kind], kind)
    keys.choose("#factor_layer", layer, layer[0])
    keys.press("Control+Enter", step=True)


def decide(keys: Keyboard, value: str, reason: str) -> None:
    """A verdict and why: what the attribution says where it says the same, else a person's own words."""
    offer = keys.page.locator('[data-hotkey="a"]')
    if offer.count() and offer.get_attribute("data-draft-value") == value:
        keys.press("a")
        keys.press("Control+Enter", step=True)
        return
    keys.press({"in": "i", "out": "o", "insufficient": "u"}[value])
    keys.type(reason)
    keys.press("Control+Enter", step=True)


def finish_action(keys: Keyboard) -> None:
    """Send the form; what it lacks is chosen first."""
    if not keys.page.evaluate("document.activeElement.form"):
        keys.tab_to("#id_title")
    if keys.page.locator("#id_owner").input_value() == "":
        keys.tab_to("#id_owner")
        keys.type("Hel")
    if (
        keys.page.locator("#id_threshold").input_value() == ""
        and keys.page.locator("#id_verification").input_value() == ""
    ):
        keys.tab_to("#id_verification")
        keys.type("Seen on the dashboard for 7 days")
    keys.press("Control+Enter", step=True)


def main() -> None:
    """Prepare, serve, walk each, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incident", choices=sorted(STORIES), action="append")
    parser.add_argument("--port", type=int, default=8731)
    parser.add_argument("--prepared", type=Path, help="keep the loaded examples in this folder for the next time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "POSTMORTEM_DATA_DIR": folder, "PASS_PHRASE": PASS_PHRASE}
        environment.pop("DATABASE_URL", None)
        manage = [sys.executable, "manage.py"]
        if options.prepared and options.prepared.exists():
            shutil.copytree(options.prepared, folder, dirs_exist_ok=True)
        sys.path.insert(0, str(ROOT / "tools"))
        from serve import prepare, web_command

        prepare(environment)
        if not (options.prepared and options.prepared.exists()):
            subprocess.run([*manage, "shell", "-v0", "-c", PREPARE], cwd=ROOT, env=environment, check=True)
            if options.prepared:
                shutil.copytree(folder, options.prepared)
        server = subprocess.Popen(web_command("127.0.0.1", options.port), cwd=ROOT, env=environment)
        try:
            _run(f"http://127.0.0.1:{options.port}", options.incident or sorted(STORIES))
        finally:
            server.terminate()
            server.wait(10)


def _run(base: str, numbers: list[str]) -> None:
    for _ in range(100):
        try:
            httpx.get(f"{base}/sign-in/")
            break
        except httpx.TransportError:
            time.sleep(0.3)
    with sync_playwright() as playwright:
        path = os.environ.get("POSTMORTEM_TEST_BROWSER") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for number in numbers:
            _walk_one(browser, base, number)
        browser.close()


def _walk_one(browser: Browser, base: str, number: str) -> None:
    page = browser.new_page()
    page.set_default_timeout(15_000)
    page.goto(f"{base}/sign-in/")
    page.get_by_label("E-mail").fill(PERSON)
    page.get_by_label("Pass phrase").fill(PASS_PHRASE)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{base}/")
    page.goto(f"{base}/incidents/{number}/attribution/")
    keys = Keyboard(page)
    try:
        walk(keys, STORIES[number])
    finally:
        page.screenshot(path=str(Path(tempfile.gettempdir()) / f"keyboard-{number}.png"), full_page=True)
    waited = time.monotonic() - keys.began
    page.goto(f"{base}/incidents/{number}/")
    person = (keys.keys + keys.typed) * KEY_SECONDS + keys.steps * THOUGHT_SECONDS + waited
    print(
        f"{number}: {keys.keys} keys and {keys.typed} letters in {keys.steps} steps, pages took {waited:.0f} s: "
        f"{person / 60:.1f} min for a person; missing at the end: {missing(page) or 'nothing'}",
        flush=True,
    )
    page.close()


if __name__ == "__main__":
    main()
