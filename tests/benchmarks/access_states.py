"""States of pages that no address leads to: refused forms, conflicts, empty pages, a meeting, dialogs, errors."""

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import BrowserContext, Page

OPEN, PUBLISHED, UNTOUCHED = "INC-2026-0002", "INC-2026-0001", "INC-2026-0005"


@dataclass(frozen=True)
class Looker:
    """Two people in two browsers: `page` is looked at, `other` does what somebody else does meanwhile."""

    page: Page
    other: Page
    base: str

    def go(self, path: str, *, page: Page | None = None) -> Page:
        """Open `path`."""
        page = page or self.page
        page.goto(self.base + path)
        return page


def _submit_empty(path: str, button: str) -> Callable[[Looker], None]:
    def state(look: Looker) -> None:
        page = look.go(path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.evaluate("document.querySelectorAll('form').forEach((one) => { one.noValidate = true; })")
        page.get_by_role("button", name=button, exact=True).last.click()
        page.wait_for_load_state()

    return state


def _goto(path: str) -> Callable[[Looker], None]:
    return lambda look: look.go(path) and None


def _keys(look: Looker) -> None:
    look.go(f"/incidents/{OPEN}/review/")
    look.page.locator("[data-opens=keys]").first.click()
    look.page.wait_for_selector("dialog[open]")


def _wrong_pass_phrase(look: Looker) -> None:
    cookies = look.page.context.cookies()
    look.page.context.clear_cookies()
    page = look.go("/sign-in/")
    page.get_by_label("E-mail").fill("nobody@example.org")
    page.get_by_label("Pass phrase").fill("wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=do not go together")
    look.page.context.add_cookies(cookies)


def _new_incident(look: Looker) -> None:
    if "/incidents/INC" in look.page.url and "Just opened" in look.page.content():
        return
    page = look.go("/incidents/new/")
    page.get_by_label("Title").fill("Just opened")
    page.locator("[name=feature_name], [name=feature]").first.fill("A feature of its own")
    page.locator("main form button.primary").click()
    page.wait_for_url("**/incidents/INC-*/**")


def _empty(part: str) -> Callable[[Looker], None]:
    def state(look: Looker) -> None:
        found = look.go("/").locator("a", has_text="Just opened")
        if not found.count():
            _new_incident(look)
            look.go("/")
        number = look.page.locator("a", has_text="Just opened").first.get_attribute("href").split("/")[2]
        look.go(f"/incidents/{number}/{part}")

    return state


def _meeting(look: Looker) -> None:
    look.go(f"/incidents/{OPEN}/meeting/", page=look.other)
    start = look.other.get_by_role("button", name="Start the meeting")
    if start.count():
        start.click()
        look.other.wait_for_load_state()
        look.other.fill("#decision-text", "Roll back in the EU first")
        look.other.get_by_role("button", name="Note it").click()
        look.other.locator("summary", has_text="Tell only").click()
        look.other.fill("#concern-text", "We have not asked the provider")
        look.other.get_by_role("button", name="Tell the facilitator").click()
        look.other.wait_for_load_state()
    look.other.focus("#notes-text")
    look.go(f"/incidents/{OPEN}/meeting/")
    look.page.wait_for_selector("#present li")


def _shared_screen(look: Looker) -> None:
    _meeting(look)
    look.go(f"/incidents/{OPEN}/meeting/?screen=1")
    look.page.wait_for_selector("#present li")


def _layer_in_a_meeting(look: Looker) -> None:
    _meeting(look)
    look.go(f"/incidents/{OPEN}/review/retrieval/")
    look.page.wait_for_selector(".in-meeting")


def _both_texts(look: Looker) -> None:
    """Both changed the same words of the notes while one had no connection."""
    _meeting(look)
    page, other, box = look.page, look.other, "#notes-text"
    page.fill(box, "The queue was found by accounting.")
    page.wait_for_timeout(2500)
    page.context.set_offline(True)
    page.fill(box, "The queue was found by finance.")
    other.fill(box, "The queue was found by billing.")
    other.wait_for_timeout(2500)
    page.context.set_offline(False)
    page.wait_for_selector(".both", timeout=20_000)


def _offline(look: Looker) -> None:
    look.go(f"/incidents/{OPEN}/review/retrieval/")
    look.page.wait_for_selector("#present li")
    look.page.context.set_offline(True)
    look.page.locator("textarea[data-shared]").first.fill("Typed without a connection")
    look.page.wait_for_timeout(2500)


def _back_online(look: Looker) -> None:
    look.page.context.set_offline(False)
    look.go(f"/incidents/{OPEN}/review/retrieval/")


def _annex_conflict(look: Looker) -> None:
    path = f"/incidents/{OPEN}/report/annex/"
    for page, said in ((look.go(path), "Mine"), (look.go(path, page=look.other), "Theirs")):
        page.locator("main textarea").first.fill(f"{said} {page.evaluate('Date.now()')}")
    for page in (look.other, look.page):
        page.get_by_role("button", name="Save", exact=True).click()
        page.wait_for_load_state()
    look.page.wait_for_selector("#conflict")


def _action_conflict(look: Looker) -> None:
    path = f"/incidents/{OPEN}/actions/1/"
    for page, said in ((look.go(path), "Mine"), (look.go(path, page=look.other), "Theirs")):
        page.get_by_label("Title").fill(f"{said} {page.evaluate('Date.now()')}")
    for page in (look.other, look.page):
        page.get_by_role("button", name="Save", exact=True).click()
        page.wait_for_load_state()
    look.page.wait_for_selector("#conflict")


def _record_conflict(look: Looker) -> None:
    path = f"/incidents/{OPEN}/edit/"
    for page, said in ((look.go(path), "Mine"), (look.go(path, page=look.other), "Theirs")):
        page.locator("[name=title]").fill(f"{said} {page.evaluate('Date.now()')}")
    for page in (look.other, look.page):
        page.get_by_role("button", name="Save", exact=True).click()
        page.wait_for_load_state()
    look.page.wait_for_selector("#conflict")


def _graph(*keys: str) -> Callable[[Looker], None]:
    def state(look: Looker) -> None:
        look.go(f"/incidents/{OPEN}/graph/")
        look.page.locator("g.node:not(.impact)").first.click()
        for key in keys:
            look.page.keyboard.press(key)
            look.page.wait_for_timeout(500)

    return state


def _graph_edge(look: Looker) -> None:
    look.go(f"/incidents/{OPEN}/graph/")
    look.page.locator("g.edge .grip").first.dispatch_event("click", {"bubbles": True})


def _graph_window(look: Looker) -> None:
    look.go(f"/incidents/{OPEN}/graph/")
    look.page.click("#graph-whole")


def _search_nothing(look: Looker) -> None:
    look.go(f"/incidents/{OPEN}/traces/?q=zzzzqqqq")


STATES: dict[str, Callable[[Looker], None]] = {
    "a page that is not there": _goto("/incidents/INC-1999-0001/"),
    "a wrong pass phrase": _wrong_pass_phrase,
    "the list of keys": _keys,
    "a new incident refused": _submit_empty("/incidents/new/", "Open the incident"),
    "a new action refused": _submit_empty(f"/incidents/{OPEN}/actions/new/", "Add the action"),
    "a note refused": _submit_empty(f"/incidents/{OPEN}/timeline/", "Add"),
    "a factor refused": _submit_empty(f"/incidents/{OPEN}/review/", "Add the factor"),
    "a verdict refused": _submit_empty(f"/incidents/{OPEN}/review/infrastructure/", "Decide"),
    **{f"an incident just opened: {part or 'overview'}": _empty(part) for part in (
        "", "edit/", "people/", "evidence/", "traces/", "changes/", "attribution/", "symptoms/", "review/",
        "review/model/", "review/detection/", "graph/", "timeline/", "history/", "meeting/", "actions/", "report/",
        "report/annex/", "report/proposals/", "label/",
    )},
    "a search that finds nothing": _search_nothing,
    "a meeting for who leads it": _meeting,
    "a meeting on the shared screen": _shared_screen,
    "a layer while a meeting goes on": _layer_in_a_meeting,
    "two changed the same words": _both_texts,
    "no connection": _offline,
    "connection back": _back_online,
    "somebody saved the annex first": _annex_conflict,
    "somebody saved the action first": _action_conflict,
    "somebody saved the record first": _record_conflict,
    "a factor chosen in the graph": _graph(),
    "a factor added in the graph": _graph("n"),
    "factors marked in the graph": _graph("x"),
    "connecting in the graph": _graph("c"),
    "the graph folded around a factor": _graph("f"),
    "an arrow chosen in the graph": _graph_edge,
    "the graph in the whole window": _graph_window,
    **{f"administration: {path or 'index'}": _goto(f"/admin/{path}") for path in (
        "", "accounts/person/", "accounts/person/add/", "accounts/person/1/change/", "accounts/person/1/delete/",
        "accounts/team/", "accounts/team/1/change/", "accounts/auditentry/", "actions/actionitem/",
        "actions/actionitem/add/", "actions/actionitem/1/change/", "incidents/feature/", "review/verdict/",
    )},
}  # fmt: skip


def two_people(context: BrowserContext, other: BrowserContext, base: str, phrase: str) -> Looker:
    """Sign the other one in, who facilitates; the first is signed in already."""
    page = other.new_page()
    page.goto(f"{base}/sign-in/")
    page.get_by_label("E-mail").fill("dana@example.org")
    page.get_by_label("Pass phrase").fill(phrase)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{base}/")
    return Looker(context.new_page(), page, base)
