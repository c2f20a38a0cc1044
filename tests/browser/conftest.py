"""A real Chromium against the real pages, with a worker and a stand-in Langfuse beside them."""

import os
import shutil
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from postmortem.pipeline.background import work
from postmortem.web.live import listener

_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium: the one that POSTMORTEM_TEST_BROWSER names, else the system's."""
    path = os.environ.get("POSTMORTEM_TEST_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=_QUIET)
        yield found
        found.close()


@pytest.fixture(autouse=True)
def no_stream_outlives_its_test(transactional_db) -> Iterator[None]:
    """Streams end with the test that opened them, before its database is emptied."""
    yield
    listener().close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page; anything that the page's scripts or policy complain about fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    found = context.new_page()
    complaints: list[str] = []
    found.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.set_default_timeout(15_000)
    yield found
    context.close()
    # A refused form answers 400, 403 or 409, which the browser logs; only real complaints count.
    assert [text for text in complaints if "Failed to load resource" not in text] == []


@pytest.fixture
def worker(transactional_db) -> Iterator[None]:
    """A background worker in a thread of its own."""
    stop = threading.Event()
    thread = threading.Thread(target=work, kwargs={"stop": stop}, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(20)
