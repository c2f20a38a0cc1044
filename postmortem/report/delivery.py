"""How a published report leaves: links that expire, e-mail, a webhook. An administrator allows each of them."""

import re
import secrets
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import format_moment, utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.report.documents import VIEWS
from postmortem.report.external import AUDIENCES
from postmortem.report.models import Delivery, DeliverySettings, Report, ShareLink
from postmortem.traces.secret_keys import encrypt

MOST_RECIPIENTS = 20
_MOST_DAYS = 365
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:\d{1,5})?")
_LEAST_SECRET = 16


def delivery_settings() -> DeliverySettings:
    """What is allowed; before the first save nothing is."""
    return DeliverySettings.objects.filter(pk=1).first() or DeliverySettings(pk=1)


def save_delivery_settings(
    *,
    by: Person,
    revision: int,
    sharing_allowed: bool,
    most_days: int,
    webhook_url: str = "",
    webhook_hosts: str = "",
    webhook_secret: str = "",
) -> DeliverySettings:
    """Store what may leave; an empty secret keeps the stored one. Taking sharing back closes every open link.

    Raises UserError for an address whose host is not on the list, EditConflict, PermissionDenied.
    """
    require(by, Capability.CONFIGURE)
    hosts = [host.strip().lower() for host in webhook_hosts.splitlines() if host.strip()]
    if wrong := [host for host in hosts if not _HOST.fullmatch(host)]:
        raise UserError(f"“{wrong[0][:60]}” is not a host; write one a line, like hooks.example.org or 10.0.0.5:8443.")
    if not 1 <= most_days <= _MOST_DAYS:
        raise UserError("Links last between 1 and 365 days.")
    url = webhook_url.strip()
    if url and not host_is_allowed(url, hosts):
        raise UserError("The webhook's address needs https and a host that stands on the list of allowed hosts.")
    with transaction.atomic():
        stored = DeliverySettings.objects.select_for_update().filter(pk=1).first() or DeliverySettings(pk=1)
        if stored.revision != revision:
            current: dict[str, object] = {"sharing_allowed": stored.sharing_allowed, "webhook_url": stored.webhook_url}
            message = "Somebody else changed what may leave; look and save again."
            raise EditConflict(message, current=current, revision=stored.revision)
        if webhook_secret and len(webhook_secret) < _LEAST_SECRET:
            raise UserError("The webhook's secret needs 16 characters or more.")
        if url and not (webhook_secret or stored.webhook_secret):
            raise UserError("A webhook is signed: enter a secret that its receiver knows too.")
        before = {"sharing_allowed": stored.sharing_allowed, "webhook_url": stored.webhook_url}
        stored.sharing_allowed, stored.most_days = sharing_allowed, most_days
        stored.webhook_url, stored.webhook_hosts = url, "\n".join(hosts)
        if webhook_secret:
            stored.webhook_secret = encrypt(webhook_secret)
        stored.revision += 1
        stored.updated_by, stored.updated_at = by, utc_now()
        stored.save()
        after = {"sharing_allowed": sharing_allowed, "webhook_url": url, "webhook_hosts": hosts}
        audit.record(person=by, action="delivery.settings", subject="Delivery of reports", before=before, after=after)
    return stored


def host_is_allowed(url: str, hosts: list[str]) -> bool:
    """Whether `url` is https, has no user part, and its host (with its port, if not 443) stands in `hosts`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password or re.search(r"[\s\\]", url):
        return False
    return (f"{parts.hostname}:{port}" if port and port != 443 else parts.hostname) in hosts


def create_share_link(
    *, report: Report, by: Person, view: str, audience: str, days: int, note: str = ""
) -> tuple[ShareLink, str]:
    """A new link and its token, which is shown this once.

    Raises UserError while sharing is not allowed or for a time that is too long; PermissionDenied.
    """
    incident = report.incident
    require(by, Capability.PUBLISH, incident)
    allowed = delivery_settings()
    if not allowed.sharing_allowed:
        raise UserError("Share links are not allowed here; an administrator can allow them.")
    if view not in VIEWS or audience not in AUDIENCES:
        raise UserError("There is no such view of the report.")
    if not 1 <= days <= allowed.most_days:
        raise UserError(f"A link lasts between 1 and {allowed.most_days} days.")
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        link = ShareLink.objects.create(
            report=report, view=view, audience=audience, token_sha256=sha256_hex(token.encode()),
            note=note.strip()[:200], expires_at=utc_now() + timedelta(days=days), created_by=by,
        )  # fmt: skip
        audit.record(
            person=by, action="share.create", subject=f"{incident.number} version {report.version}",
            incident_number=incident.number,
            after={"link": link.pk, "view": view, "audience": audience, "expires_at": format_moment(link.expires_at)},
        )  # fmt: skip
    return link, token


def revoke_share_link(*, link: ShareLink, by: Person) -> None:
    """Close a link for good. Raises UserError when it is closed already, PermissionDenied."""
    incident = link.report.incident
    require(by, Capability.PUBLISH, incident)
    with transaction.atomic():
        if not ShareLink.objects.filter(pk=link.pk, revoked_at=None).update(revoked_at=utc_now()):
            raise UserError("This link is closed already.")
        audit.record(
            person=by, action="share.revoke", subject=f"{incident.number} version {link.report.version}",
            incident_number=incident.number, after={"link": link.pk},
        )  # fmt: skip


def open_share_link(token: str) -> ShareLink | None:
    """The link of `token`, counted and logged; None alike for unknown, expired, revoked and while sharing is off."""
    if not delivery_settings().sharing_allowed or not 20 <= len(token) <= 100:
        return None
    found = ShareLink.objects.select_related("report__incident").filter(
        token_sha256=sha256_hex(token.encode()), revoked_at=None, expires_at__gt=utc_now()
    )
    link = found.first()
    if link is None:
        return None
    with transaction.atomic():
        ShareLink.objects.filter(pk=link.pk).update(opened=F("opened") + 1)
        audit.record(
            person=None, action="share.open", subject=f"{link.report.incident.number} version {link.report.version}",
            incident_number=link.report.incident.number, after={"link": link.pk, "view": link.view},
        )  # fmt: skip
    return link


def send_by_email(
    *, report: Report, by: Person, recipients: str, audience: str = "internal", note: str = ""
) -> list[Delivery]:
    """Queue the brief for each address (commas, semicolons or blanks between them), at most twenty.

    Raises UserError for an address that is none, or while no mail server is set; PermissionDenied.
    """
    require(by, Capability.PUBLISH, report.incident)
    if not settings.EMAIL_HOST:
        raise UserError("No mail server is set; an administrator names one as EMAIL_HOST.")
    if audience not in AUDIENCES:
        raise UserError("The audience is internal or external.")
    addresses = list(dict.fromkeys(one.lower() for one in re.split(r"[\s,;]+", recipients) if one))
    if not 1 <= len(addresses) <= MOST_RECIPIENTS:
        raise UserError("Enter between 1 and 20 e-mail addresses.")
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError as error:
            raise UserError(f"“{address[:80]}” is not an e-mail address.") from error
    with transaction.atomic():
        rows = [
            Delivery.objects.create(
                report=report, kind=Delivery.Kind.EMAIL, target=address, audience=audience, created_by=by,
                note=note.strip()[:2_000],
            )
            for address in addresses
        ]  # fmt: skip
        audit.record(
            person=by, action="report.email", subject=f"{report.incident.number} version {report.version}",
            incident_number=report.incident.number, after={"to": addresses, "audience": audience},
        )  # fmt: skip
    return rows


def queue_webhook(*, report: Report, by: Person) -> Delivery | None:
    """Queue the call that tells of a publication, in its transaction; None where no webhook is set."""
    allowed = delivery_settings()
    if not allowed.webhook_url:
        return None
    return Delivery.objects.create(report=report, kind=Delivery.Kind.WEBHOOK, target=allowed.webhook_url, created_by=by)
