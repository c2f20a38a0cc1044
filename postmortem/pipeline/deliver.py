"""The worker's part of delivery: e-mails with the brief attached, signed webhook calls, tried again until taken."""

import hashlib
import hmac
import logging
import time
from datetime import timedelta
from smtplib import SMTPException

import httpx
from django.conf import settings
from django.core.mail import EmailMessage
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

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 8
_FIRST_WAIT = timedelta(seconds=30)  # doubled with every attempt: an hour in all
_CLAIM = timedelta(minutes=5)
_TIMEOUT_SECONDS = 10.0
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
    except (UserError, OSError, SMTPException, httpx.HTTPError) as error:
        _failed(one, str(error) or type(error).__name__)
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
    body = covering_letter(
        record, sender=one.created_by.name, version=report.version, sha256=report.sha256, audience=one.audience,
        note=one.note, link="" if outside else f"{settings.SITE_URL}/incidents/{incident.number}/report/",
    )  # fmt: skip
    mail = EmailMessage(
        subject=" ".join(f"[{incident.number}]{title} – leadership brief".split())[:180],
        body=body,
        to=[one.target],
    )
    mail.attach(document.filename, document.data, document.media_type)
    mail.send()


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
    headers = {
        "Content-Type": "application/json",
        "X-Postmortem-Delivery": str(one.pk),
        "X-Postmortem-Signature": signature(decrypt(bytes(allowed.webhook_secret)), body, int(time.time())),
    }
    with httpx.Client(
        timeout=_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False, transport=_TRANSPORT
    ) as client, client.stream("POST", one.target, content=body, headers=headers) as answer:  # fmt: skip
        if not 200 <= answer.status_code < 300:
            raise UserError(f"The receiver answered {answer.status_code}.")


def signature(secret: str, body: bytes, at: int) -> str:
    """`t=<Unix seconds>,v1=<hex>`: HMAC-SHA-256 of "<t>.<body>", so that an old call cannot be replayed."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"
