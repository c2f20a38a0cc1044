"""Links that expire, e-mail with the brief, a signed webhook: only as allowed, tried again, logged."""

import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.pipeline import deliver
from postmortem.report import delivery
from postmortem.report.covering import covering_letter
from postmortem.report.models import Delivery, ShareLink
from postmortem.report.services import publish
from tests.api.client import Api
from tests.builders import make_person
from tests.report.builders import make_publishable

pytestmark = pytest.mark.django_db
SECRET = "a secret of the receiver"


@pytest.fixture
def admin():
    return make_person("Root Admin", Role.ADMINISTRATOR)


@pytest.fixture
def incident():
    return make_publishable()


def allow(admin, **more):
    stored = delivery.delivery_settings()
    fields = {"sharing_allowed": True, "most_days": 30} | more
    return delivery.save_delivery_settings(by=admin, revision=stored.revision, **fields)


def hooked(admin):
    allow(admin, webhook_hosts="hooks.example.org", webhook_url="https://hooks.example.org/x", webhook_secret=SECRET)


def test_a_link_opens_one_view_without_sign_in_until_it_is_closed(admin, incident, client):
    report = publish(incident=incident, by=incident.created_by)
    with pytest.raises(UserError, match="not allowed"):
        delivery.create_share_link(report=report, by=incident.created_by, view="brief", audience="external", days=3)
    allow(admin)
    link, token = delivery.create_share_link(
        report=report, by=incident.created_by, view="brief", audience="external", days=3
    )
    assert len(token) >= 43 and token not in json.dumps(list(ShareLink.objects.values()), default=str)
    answer = client.get(reverse("shared", args=[token]))
    assert answer.status_code == 200 and "EXTERNAL" in answer.content.decode()
    assert answer["Cache-Control"] == "no-store" and answer["Referrer-Policy"] == "no-referrer"
    assert answer["X-Robots-Tag"] == "noindex, nofollow" and not answer.cookies
    assert client.get(reverse("shared", args=[token]), {"form": "pdf"}).content[:5] == b"%PDF-"
    link.refresh_from_db()
    assert link.opened == 2
    assert AuditEntry.objects.filter(action="share.open", incident_number=incident.number).count() == 2
    delivery.revoke_share_link(link=link, by=incident.created_by)
    assert client.get(reverse("shared", args=[token])).status_code == 404
    with pytest.raises(UserError, match="closed already"):
        delivery.revoke_share_link(link=link, by=incident.created_by)


def test_expired_forbidden_and_guessed_links_are_all_the_same_404(admin, incident, client):
    report = publish(incident=incident, by=incident.created_by)
    allow(admin)
    link, token = delivery.create_share_link(
        report=report, by=incident.created_by, view="full", audience="internal", days=30
    )
    assert client.get(reverse("shared", args=["A" * 43])).status_code == 404
    allow(admin, sharing_allowed=False)
    assert client.get(reverse("shared", args=[token])).status_code == 404
    allow(admin)
    ShareLink.objects.filter(pk=link.pk).update(expires_at=utc_now() - timedelta(seconds=1))
    assert client.get(reverse("shared", args=[token])).status_code == 404
    with pytest.raises(UserError, match="between 1 and 30"):
        delivery.create_share_link(report=report, by=incident.created_by, view="full", audience="internal", days=31)
    with pytest.raises(PermissionDenied):
        delivery.create_share_link(
            report=report, by=make_person("Vic", Role.REVIEWER), view="full", audience="internal", days=1
        )


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://hooks.example.org/x", True),
        ("https://hooks.example.org:8443/x", False),
        ("https://10.0.0.5:8443/x", True),
        ("http://hooks.example.org/x", False),
        ("https://hooks.example.org@evil.example/x", False),
        ("https://hooks.example.org.evil.example/x", False),
        ("https://evil.example/hooks.example.org", False),
        ("https://hooks.example.org\\@evil.example/", False),
        ("file:///etc/passwd", False),
        ("https://[::1]/", False),
        ("https://hooks.example.org:99999/", False),
    ],
)
def test_only_listed_hosts_over_https(url, allowed):
    assert delivery.host_is_allowed(url, ["hooks.example.org", "10.0.0.5:8443"]) is allowed


def test_settings_are_an_administrators_and_nobody_overwrites_in_silence(admin):
    with pytest.raises(PermissionDenied):
        allow(make_person("Fay", Role.FACILITATOR))
    with pytest.raises(UserError, match="stands on the list"):
        allow(admin, webhook_url="https://evil.example/", webhook_hosts="hooks.example.org", webhook_secret=SECRET)
    with pytest.raises(UserError, match="signed"):
        allow(admin, webhook_url="https://hooks.example.org/", webhook_hosts="hooks.example.org")
    hooked(admin)
    assert SECRET.encode() not in bytes(delivery.delivery_settings().webhook_secret)
    with pytest.raises(EditConflict):
        delivery.save_delivery_settings(by=admin, revision=0, sharing_allowed=False, most_days=5)


def test_publication_calls_the_webhook_signed_and_again_until_it_is_taken(admin, incident, monkeypatch):
    hooked(admin)
    calls, answers = [], [500, 302, 200]
    monkeypatch.setattr(deliver, "_FIRST_WAIT", timedelta(0))
    monkeypatch.setattr(
        deliver, "_TRANSPORT",
        httpx.MockTransport(lambda request: calls.append(request) or httpx.Response(
            answers[len(calls) - 1], headers={"Location": "http://169.254.169.254/"})),
    )  # fmt: skip
    report = publish(incident=incident, by=incident.created_by)
    for _ in answers:
        deliver.deliver_due()
    one = Delivery.objects.get()
    assert (one.state, one.attempts) == ("sent", 3) and deliver.deliver_due() == 0
    assert {str(call.url) for call in calls} == {"https://hooks.example.org/x"}
    body = calls[-1].content
    assert json.loads(body) | {"url": "", "published_at": ""} == {
        "event": "report.published", "incident": incident.number, "version": 1, "sha256": report.sha256, "url": "",
        "published_at": "",
    }  # fmt: skip
    stamp, mac = (part.split("=")[1] for part in calls[-1].headers["X-Postmortem-Signature"].split(","))
    assert hmac.compare_digest(mac, hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest())


def test_a_webhook_that_nobody_takes_fails_in_the_end_and_a_removed_host_gets_nothing(admin, incident, monkeypatch):
    hooked(admin)
    calls = []
    monkeypatch.setattr(deliver, "_FIRST_WAIT", timedelta(0))
    monkeypatch.setattr(deliver, "_TRANSPORT", httpx.MockTransport(lambda r: calls.append(r) or httpx.Response(503)))
    publish(incident=incident, by=incident.created_by)
    deliver.deliver_due()
    allow(admin)
    for _ in range(deliver.MAX_ATTEMPTS + 2):
        deliver.deliver_due()
    one = Delivery.objects.get()
    assert (one.state, one.attempts, len(calls)) == ("failed", deliver.MAX_ATTEMPTS, 1)
    assert "not allowed any more" in one.message


def test_the_brief_goes_out_by_e_mail(admin, incident, settings):
    report = publish(incident=incident, by=incident.created_by)
    with pytest.raises(UserError, match="No mail server"):
        delivery.send_by_email(report=report, by=incident.created_by, recipients="a@example.org")
    settings.EMAIL_HOST = "mail.example.org"
    with pytest.raises(UserError, match="not an e-mail"):
        delivery.send_by_email(report=report, by=incident.created_by, recipients="a@example.org, nobody")
    delivery.send_by_email(
        report=report, by=incident.created_by, recipients="A@example.org; b@example.org a@example.org",
        audience="external", note="Please read\nBcc: x@evil.example",
    )  # fmt: skip
    assert deliver.deliver_due() == 2
    assert [one.to for one in mail.outbox] == [["a@example.org"], ["b@example.org"]]
    name, data, kind = mail.outbox[0].attachments[0]
    assert name == "INC-2026-0007-brief-external-v1.pdf" and data[:5] == b"%PDF-" and kind == "application/pdf"
    assert incident.title not in mail.outbox[0].subject and report.sha256 in mail.outbox[0].body
    assert "evil" not in str(mail.outbox[0].message()["Bcc"])


SAMPLE = json.loads((Path(__file__).parent / "record-1-sample.json").read_text())


@pytest.mark.parametrize("audience", ["internal", "external"])
def test_the_e_mail_says_what_happened_and_what_is_asked(audience):
    told = covering_letter(
        SAMPLE, sender="Helen Lindqvist", version=1, sha256="ab" * 32, audience=audience, note="Before Friday, please.",
        link="https://pm.example.org/r" if audience == "internal" else "",
    ).text  # fmt: skip
    assert told.startswith("Helen Lindqvist sends you the leadership brief of INC-2026-0007, version 1")
    for words in (
        "Before Friday, please.",
        SAMPLE["incident"]["title"],
        "(a SIMULATED example)",
        "What we ask of you:",
    ):
        assert words in told
    assert "Found: One change explains the drop: Query encoder helix-2 → helix-3, P 0.97." in told
    assert ("https://pm.example.org/r" in told) == (audience == "internal")
    assert ("leaves out names of people" in told) == (audience == "external")
    assert "\n\n\n" not in told and "ab" * 32 in told


def test_a_document_that_does_not_exist_is_refused_with_what_does(admin, incident):
    publish(incident=incident, by=incident.created_by)
    api = Api(incident.created_by, incident.number)
    for address, expect, words in (
        ("./reports/1/bref.pdf", 404, "no view “bref”; ask for one of brief, full, annex"),
        ("./reports/1/brief.docx", 404, "no format “docx”; ask for one of pdf, html, md, json, csv"),
        ("./reports/1/brief.pdf?audience=press", 400, "no audience “press”; ask for one of internal, external"),
        ("./reports/7/brief.pdf", 404, "no such report"),
    ):
        assert words in api.ask("get", address, expect=expect)["detail"]


def test_pages_and_rest(admin, incident, client, settings):
    publish(incident=incident, by=incident.created_by)
    client.force_login(admin)
    page = client.post(
        reverse("delivery-settings"), {"revision": 0, "sharing_allowed": "on", "most_days": 9}, follow=True
    )
    assert "Saved." in page.content.decode()
    made = client.post(
        reverse("report-share-new", args=[incident.number, 1]), {"view": "brief", "audience": "external", "days": 3}
    )
    assert "/shared/" in made.content.decode() and "Copy this address now" in made.content.decode()
    api = Api(incident.created_by, incident.number)
    link = api.post("./reports/1/links/", {"view": "full", "audience": "internal", "days": 2})
    client.logout()
    read = client.get(link["address"])
    assert read.status_code == 200 and "sha256-" in read["Content-Security-Policy"]
    assert api.get("./reports/1/links/")["count"] == 2
    api.ask("delete", f"./reports/1/links/{link['id']}/", expect=204)
    assert client.get(link["address"]).status_code == 404
    settings.EMAIL_HOST = "mail.example.org"
    api.post("./reports/1/deliveries/", {"recipients": "a@example.org"})
    assert api.get("./reports/1/deliveries/")["results"][0]["state"] == "waiting"
    stored = Api(admin).get("delivery/")
    assert stored["sharing_allowed"] and "webhook_secret" not in stored
    api.get("../../delivery/".replace("../../", ""), expect=403)
    Api(make_person("Vic", Role.REVIEWER), incident.number).get("./reports/1/links/", expect=403)


def test_a_report_in_the_browser_keeps_its_styles_under_the_policy(incident, client):
    client.force_login(incident.created_by)
    answer = client.get(reverse("report-draft", args=[incident.number, "brief", "html"]))
    policy = answer["Content-Security-Policy"]
    assert "style-src 'self' 'sha256-" in policy and "script-src 'none'" in policy
