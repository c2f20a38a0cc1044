"""Delivery over real wires: a webhook over HTTPS with a certificate of its own, e-mail to a mail server."""

import datetime
import email
import email.policy
import json
import socket
import ssl
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest
from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.urls import reverse
from standardwebhooks import Webhook, WebhookVerificationError

from postmortem.accounts.models import Role
from postmortem.pipeline import deliver
from postmortem.report import delivery
from postmortem.report.models import Delivery
from postmortem.report.services import publish
from tests.builders import make_person
from tests.report.builders import make_publishable

pytestmark = pytest.mark.django_db
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's own example


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody but itself has signed, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path_factory.mktemp("tls") / "receiver.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


class Receiver(BaseHTTPRequestHandler):
    """Answers with the server's next status and keeps what it got."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((dict(self.headers.items()), body))
        self.send_response(self.server.answers[len(self.server.calls) - 1])
        self.send_header("Location", "http://169.254.169.254/latest/meta-data")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args):
        """Quiet."""


@pytest.fixture
def receiver(certificate):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.calls, server.answers = [], [500, 302, 200]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def admin():
    return make_person("Root Admin", Role.ADMINISTRATOR)


@pytest.fixture
def called(receiver, admin, monkeypatch):
    """A publication whose webhook waits; answers with the address that is called."""
    monkeypatch.setattr(deliver, "_FIRST_WAIT", timedelta(0))
    host = f"127.0.0.1:{receiver.server_port}"
    delivery.save_delivery_settings(
        by=admin, revision=0, sharing_allowed=False, most_days=7, webhook_hosts=host,
        webhook_url=f"https://{host}/hooks/token-of-the-receiver", webhook_secret=SECRET,
    )  # fmt: skip
    incident = make_publishable()
    publish(incident=incident, by=incident.created_by)
    return host


def tried():
    deliver.deliver_due()
    one = Delivery.objects.get()
    return one.state, one.message


def test_a_certificate_that_nobody_vouches_for_gets_nothing_and_a_sentence(called, receiver, admin, client):
    assert tried() == (
        "waiting",
        f"The TLS certificate of https://{called} is not trusted here; check the address, or let SSL_CERT_FILE name "
        "the authorities to trust.",
    )
    assert receiver.calls == []
    client.force_login(admin)
    page = client.get(reverse("delivery-settings")).content.decode()
    assert "is not trusted here" in page and f"Webhook to https://{called}: <strong>Waiting</strong>" in page
    log = page.split("What left lately")[1]
    assert "token-of-the-receiver" not in log and SECRET not in page


def test_trusted_it_is_called_again_until_taken_follows_no_redirect_and_is_verified(
    called, receiver, certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert tried() == ("waiting", "The receiver answered 500.")
    assert tried() == ("waiting", "The receiver redirects (302); nothing is sent on, enter its real address.")
    assert tried() == ("sent", "")
    assert len(receiver.calls) == 3 and len({headers["webhook-id"] for headers, _ in receiver.calls}) == 1
    headers, body = receiver.calls[-1]
    told = Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
    assert (told["event"], told["incident"], told["version"]) == ("report.published", "INC-2026-0007", 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", {name.lower(): value for name, value in headers.items()})
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(body, {name.lower(): value for name, value in headers.items()})
    assert set(json.loads(body)) == {"event", "incident", "version", "sha256", "published_at", "url"}


def test_nobody_listens(called, receiver):
    receiver.shutdown()
    receiver.server_close()
    assert tried()[1].startswith(f"Nothing answers at https://{called} (connection refused)")


class Mailbox:
    """Keeps messages as a mail server gets them."""

    def __init__(self):
        self.messages = []

    async def handle_DATA(self, server, session, envelope):
        self.messages.append(
            (envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default))
        )
        return "250 Taken"


@pytest.fixture
def mailbox(settings):
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.EMAIL_USE_TLS, settings.SITE_URL = False, "https://pm.example.org"
    yield box
    server.stop()


@pytest.mark.parametrize("audience", ["internal", "external"])
def test_the_brief_arrives_as_text_html_and_pdf(mailbox, audience):
    incident = make_publishable()
    report = publish(incident=incident, by=incident.created_by)
    delivery.send_by_email(
        report=report,
        by=incident.created_by,
        recipients="reader@example.net",
        audience=audience,
        note="For <b>you</b>.",
    )
    assert tried() == ("sent", "")
    [(recipients, message)] = mailbox.messages
    assert recipients == ["reader@example.net"] and message["Message-ID"] and message["Date"]
    body, attached = message.iter_parts()
    text, html = (part.get_content() for part in body.iter_parts())
    outside = audience == "external"
    assert attached.get_filename() == f"INC-2026-0007-brief-{'external-' if outside else ''}v1.pdf"
    assert attached.get_content_type() == "application/pdf" and attached.get_content()[:5] == b"%PDF-"
    assert "1. Give Search and Platform 9 engineer days before 10 April for A-1, A-2 and A-4." in text
    assert "**" not in text and "For <b>you</b>." in text and "For &lt;b&gt;you&lt;/b&gt;." in html
    assert html.count("<li>") == 3 and "src=" not in html and "<style" not in html and "<script" not in html
    assert ('<a href="https://pm.example.org/incidents/INC-2026-0007/report/">' in html) is not outside
    everything = f"{message['Subject']} {text} {html}"
    for inside in ("Priya", "Tomasz", "pm.example.org"):
        assert (inside in everything) is False or not outside
    assert ("leaves out names of people" in text) is outside
