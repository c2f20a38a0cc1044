"""The worker's part of delivery: e-mails with the brief attached, signed webhook calls, tried again until taken."""

import base64
import binascii
import hashlib
import hmac
import logging
import time
from contextlib import suppress
from datetime import timedelta
from smtplib import SMTPException

import httpx
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import F

from postmortem.lib.clock import format_moment, utc_now
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import canonical_json
from postmortem.report.covering import covering_letter
from postmortem.report.delivery import delivery_settings, host_is_allowed
from postmortem.report.documents import make_document
from postmortem.report.models import Delivery
from postmortem.report.services import read_record
from postmortem.traces.secret_keys import decrypt
from postmortem.traces.source_http import unreachable

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 8
_FIRST_WAIT = timedelta(seconds=30)  # doubled with every attempt: an hour in all
_CLAIM = timedelta(minutes=5)
_TIMEOUT_SECONDS = 10.0
_STANDARD = "whsec_"
_TRANSPORT: httpx.BaseTransport | None = None  # tests put a stand-in here


def deliver_due() -> int:
    """Make every delivery that is due; returns how many were tried. Two workers never make the same one."""
    count = 0
    due = Delivery.objects.filter(state=Delivery.State.WAITING, not_before__lte=utc_now())
    for pk in list(due.order_by("not_before").values_list("pk", flat=True)[:20]):
        now = utc_now()
        claimed = Delivery.objects.filter(pk=pk, state=Delivery.State.WAITING, not_before__lte=now).update(
            not_before=now + _CLAIM, attempts=F("attempts") + 1
        )
        if claimed:
            _deliver(Delivery.objects.select_related("report__incident", "created_by").get(pk=pk))
            count += 1
    return count


def _deliver(one: Delivery) -> None:
    try:
        if one.kind == Delivery.Kind.EMAIL:
            _send_email(one)
        else:
            _call_webhook(one)
    except (UserError, OSError, SMTPException) as error:
        _failed(one, str(error) or type(error).__name__)
    except httpx.HTTPError as error:
        _failed(one, _not_taken(one, error))
    except Exception:
        log.exception("delivery %s broke off", one.pk)
        _failed(one, "It broke off for a reason that the server's log names.")
    else:
        Delivery.objects.filter(pk=one.pk).update(state=Delivery.State.SENT, message="", finished_at=utc_now())


def _failed(one: Delivery, message: str) -> None:
    changes: dict[str, object] = {"message": message[:300]}
    if one.attempts >= MAX_ATTEMPTS:
        changes |= {"state": Delivery.State.FAILED, "finished_at": utc_now()}
    else:
        changes["not_before"] = utc_now() + _FIRST_WAIT * 2 ** (one.attempts - 1)
    Delivery.objects.filter(pk=one.pk).update(**changes)


def _send_email(one: Delivery) -> None:
    report, incident = one.report, one.report.incident
    record = read_record(report)
    document = make_document(
        record, view="brief", form="pdf", version=report.version, sha256=report.sha256, audience=one.audience
    )
    outside = one.audience == "external"
    title = "" if outside else f" {incident.title}"
    letter = covering_letter(
        record, sender=one.created_by.name, version=report.version, sha256=report.sha256, audience=one.audience,
        note=one.note, link="" if outside else f"{settings.SITE_URL}/incidents/{incident.number}/report/",
    )  # fmt: skip
    mail = EmailMultiAlternatives(
        subject=" ".join(f"[{incident.number}]{title} – leadership brief".split())[:180],
        body=letter.text,
        to=[one.target],
    )
    mail.attach_alternative(letter.html, "text/html")
    mail.attach(document.filename, document.data, document.media_type)
    mail.send()


def _not_taken(one: Delivery, error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"{one.destination} did not take the call within {_TIMEOUT_SECONDS:.0f} seconds."
    return unreachable(one.destination, error)


def _call_webhook(one: Delivery) -> None:
    allowed = delivery_settings()
    # Asked again at the time of the call: a host taken off the list gets nothing more.
    if not host_is_allowed(one.target, allowed.webhook_hosts.split()):
        raise UserError("The host of this webhook is not allowed any more.")
    report = one.report
    body = canonical_json(
        {
            "event": "report.published",
            "incident": report.incident.number,
            "version": report.version,
            "sha256": report.sha256,
            "published_at": format_moment(report.published_at),
            "url": f"{settings.SITE_URL}/incidents/{report.incident.number}/report/",
        }
    )
    secret, now, called = decrypt(bytes(allowed.webhook_secret)), int(time.time()), f"msg_{one.pk}"
    headers = {
        "Content-Type": "application/json",
        "X-Postmortem-Delivery": str(one.pk),
        "X-Postmortem-Signature": signature(secret, body, now),
        "webhook-id": called,
        "webhook-timestamp": str(now),
        "webhook-signature": standard_signature(secret, body, called=called, at=now),
    }
    # Authorities that SSL_CERT_FILE names are trusted, as for sources; proxies and .netrc of the machine are not asked.
    with httpx.Client(
        timeout=_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False, transport=_TRANSPORT,
        verify=httpx.create_ssl_context(),
    ) as client, client.stream("POST", one.target, content=body, headers=headers) as answer:  # fmt: skip
        if 300 <= answer.status_code < 400:
            raise UserError(
                f"The receiver redirects ({answer.status_code}); nothing is sent on, enter its real address."
            )
        if not 200 <= answer.status_code < 300:
            raise UserError(f"The receiver answered {answer.status_code}.")


def signature(secret: str, body: bytes, at: int) -> str:
    """`t=<Unix seconds>,v1=<hex>`: HMAC-SHA-256 of "<t>.<body>", so that an old call cannot be replayed."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def standard_signature(secret: str, body: bytes, *, called: str, at: int) -> str:
    """`v1,<base64>` of Standard Webhooks: HMAC-SHA-256 of "<id>.<Unix seconds>.<body>".

    A secret "whsec_<base64>" stands for the bytes in it, any other one for its own bytes.
    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    key = secret.encode()
    if secret.startswith(_STANDARD):
        with suppress(binascii.Error):
            key = base64.b64decode(secret.removeprefix(_STANDARD), validate=True)
    mac = hmac.new(key, f"{called}.{at}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"
