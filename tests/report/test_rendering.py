"""Long documents in the background, and many at once without taking the pages down."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.urls import reverse

from postmortem.lib.clock import utc_now
from postmortem.pipeline import background, render
from postmortem.pipeline.models import Rendering, Run
from postmortem.pipeline.services import start_rendering
from postmortem.report import documents, pdf
from postmortem.report.services import publish, read_record
from tests.api.client import Api
from tests.builders import make_person
from tests.report.big_record import big_record
from tests.report.builders import make_publishable


@pytest.fixture
def incident(db):
    return make_publishable()


@pytest.fixture
def long(monkeypatch):
    monkeypatch.setattr(documents, "_LONG_ROWS", 5)


def test_only_long_pdfs_are_long():
    assert documents.takes_long(big_record(entries=500), view="full", form="pdf")
    for view, form in (("full", "html"), ("full", "md"), ("brief", "pdf")):
        assert not documents.takes_long(big_record(entries=500), view=view, form=form)
    assert not documents.takes_long(big_record(), view="full", form="pdf")


def test_a_long_document_shows_progress_then_its_download(client, incident, long):
    client.force_login(incident.created_by)
    answer = client.get(reverse("report-draft", args=[incident.number, "full", "pdf"]))
    run = Run.objects.get()
    address = reverse("report-rendering", args=[incident.number, run.pk])
    assert answer.status_code == 302 and answer["Location"] == address
    page = client.get(address).content.decode()
    assert "is being made" in page and "Waiting for a worker" in page and "<progress" in page
    assert client.get(reverse("report-rendered", args=[incident.number, run.pk])).status_code == 302
    # Asked again while it waits: the same run.
    client.get(reverse("report-draft", args=[incident.number, "full", "pdf"]))
    assert Run.objects.count() == 1

    background.work(once=True)
    run.refresh_from_db()
    assert run.state == Run.State.DONE and run.progress_done >= 1, run.message
    page = client.get(address).content.decode()
    assert "is ready" in page and "INC-2026-0007-full-draft.pdf" in page
    document = client.get(reverse("report-rendered", args=[incident.number, run.pk]))
    assert document.content.startswith(b"%PDF") and document["Content-Type"] == "application/pdf"


def test_over_rest_202_then_the_same_bytes_as_at_once(incident, long, settings):
    report = publish(incident=incident, by=incident.created_by)
    api = Api(incident.created_by, incident.number)
    asked = api.get("./reports/1/full.pdf?audience=external", expect=202)
    assert asked["state"] == "queued"
    place = asked["url"].removeprefix("/api/")
    assert api.get(place, expect=202)["text"] == ""
    background.work(once=True)
    done = api.get(place)
    assert done["Content-Disposition"].endswith('external-v1.pdf"')
    at_once = documents.make_document(
        read_record(report), view="full", form="pdf", version=1, sha256=report.sha256, audience="external"
    )
    assert done.content == at_once.data
    # A published version does not change, so what is kept is used again.
    again = api.get("./reports/1/full.pdf?audience=external", expect=202)
    assert again["url"] == asked["url"] and Run.objects.count() == 1
    settings.CODE_VERSION = "99.0"  # but not by another version of the product
    assert api.get("./reports/1/full.pdf?audience=external", expect=202)["url"] != asked["url"]


def test_whoever_prefers_not_to_wait_need_not(incident):
    api = Api(incident.created_by, incident.number)
    assert b"Four layers" in api.get("./reports/draft/brief.html").content
    api.client.credentials(**api.client._credentials, HTTP_PREFER="respond-async")
    place = api.get("./reports/draft/brief.html", expect=202)["url"].removeprefix("/api/")
    background.work(once=True)
    assert b"Four layers" in api.get(place).content


def test_a_rendering_that_is_cancelled_stops_at_its_next_page(incident, monkeypatch):
    run = start_rendering(incident=incident, by=incident.created_by, view="full", form="pdf")
    monkeypatch.setattr(render, "_SAY_EVERY", 0.0)
    laid_out = []

    class Cancelling(render.Progress):
        def save(self, **given):
            laid_out.append(given.get("done"))
            if given.get("done") == 2:
                Run.objects.filter(pk=run.pk).update(state=Run.State.CANCELLED)
            super().save(**given)

    monkeypatch.setattr(background, "Progress", Cancelling)
    background.work(once=True)
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED and laid_out[-1] == 2 and not Rendering.objects.exists()
    assert pdf.in_line() == 0


def test_documents_are_kept_for_a_day_and_made_again(client, incident):
    client.force_login(incident.created_by)
    run = start_rendering(incident=incident, by=incident.created_by, view="brief", form="md")
    background.work(once=True)
    assert render.forget_old() == 0
    Rendering.objects.update(created_at=utc_now() - timedelta(days=1, minutes=1))
    assert render.forget_old() == 1
    assert "Make it again" in client.get(reverse("report-rendering", args=[incident.number, run.pk])).content.decode()


def test_who_may_not_see_the_incident_sees_no_rendering(client, incident):
    run = start_rendering(incident=incident, by=incident.created_by, view="brief", form="md")
    background.work(once=True)
    type(incident).objects.filter(pk=incident.pk).update(visibility="participants")
    client.force_login(make_person("Somebody Else"))
    for name in ("report-rendering", "report-rendered"):
        assert client.get(reverse(name, args=[incident.number, run.pk])).status_code == 404


def test_ten_at_once_wait_in_line_while_pages_are_answered(client, incident, monkeypatch):
    client.force_login(incident.created_by)
    at_work, most = 0, 0
    free, laid_out = threading.Event(), pdf._Page.render

    def slow(self, **options):
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        free.wait(20)
        try:
            return laid_out(self, **options)
        finally:
            at_work -= 1

    monkeypatch.setattr(pdf._Page, "render", slow)
    html = '<!doctype html><html lang="en"><head><title>One</title></head><body><p>One</p></body></html>'
    with ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(pdf.render_pdf, [html], "") for _ in range(10)]
        until = time.monotonic() + 10
        while (pdf.in_line() < 10 or not at_work) and time.monotonic() < until:
            time.sleep(0.01)
        assert pdf.in_line() == 10 and at_work == 1
        # Pages answer, and an eleventh document goes to the workers instead of joining the line.
        assert client.get(reverse("report", args=[incident.number])).status_code == 200
        answer = client.get(reverse("report-draft", args=[incident.number, "brief", "pdf"]))
        assert answer.status_code == 302 and Run.objects.get().kind == Run.Kind.RENDER
        free.set()
        done = [one.result() for one in waiting]
    assert most == 1 and pdf.in_line() == 0 and len({one.data for one in done}) == 1
