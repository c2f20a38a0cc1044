"""Change feeds: who may send changes to a feature's logs, and what came."""

import base64
import secrets
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.changes.models import Change, ChangeDelivery, ChangeFeed
from postmortem.changes.services import ImportOutcome, store_records
from postmortem.changes.webhooks import Headers, delivery_id, records_of
from postmortem.incidents.models import Feature
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.secret_keys import decrypt, encrypt

DELIVERIES_LIVE = timedelta(days=90)


def feeds() -> QuerySet[ChangeFeed]:
    """All feeds by feature and name, with who made them."""
    return ChangeFeed.objects.select_related("feature", "made_by").order_by("feature__name", "name")


def create_feed(*, by: Person, feature: Feature, name: str, kind: str, secret: str = "") -> tuple[ChangeFeed, str]:
    """A feed and its secret, which is shown this once. Langfuse gives its own secret, the others get one from here.

    Raises UserError, PermissionDenied.
    """
    require(by, Capability.CONFIGURE)
    name = name.strip()
    if not 0 < len(name) <= 120:
        raise UserError("Give the feed a name of up to 120 characters.")
    if kind not in ChangeFeed.Kind.values:
        raise UserError("Choose what sends to the feed.")
    secret = _secret(kind, secret)
    try:
        with transaction.atomic():
            feed = ChangeFeed.objects.create(
                feature=feature, name=name, kind=kind, secret_encrypted=encrypt(secret), made_by=by
            )
            audit.record(person=by, action="feed.create", subject=str(feed), after={"kind": kind})
    except IntegrityError as error:
        raise UserError(f"There is a feed “{name}” of {feature.name} already; choose another name.") from error
    return feed, secret


def rotate_secret(*, feed: ChangeFeed, by: Person, secret: str = "") -> str:
    """A new secret; the old one counts no more."""
    require(by, Capability.CONFIGURE)
    secret = _secret(feed.kind, secret)
    with transaction.atomic():
        ChangeFeed.objects.filter(pk=feed.pk).update(secret_encrypted=encrypt(secret))
        audit.record(person=by, action="feed.rotate", subject=str(feed))
    return secret


def pause_feed(*, feed: ChangeFeed, by: Person, paused: bool) -> None:
    """Refuse what it sends, or take it again."""
    require(by, Capability.CONFIGURE)
    with transaction.atomic():
        ChangeFeed.objects.filter(pk=feed.pk).update(paused=paused)
        audit.record(person=by, action="feed.pause" if paused else "feed.resume", subject=str(feed))


def delete_feed(*, feed: ChangeFeed, by: Person) -> None:
    """Forget a feed and its secret; the changes that it brought stay."""
    require(by, Capability.CONFIGURE)
    with transaction.atomic():
        audit.record(person=by, action="feed.delete", subject=str(feed))
        feed.delete()


def receive(*, feed: ChangeFeed, headers: Headers, body: bytes) -> ImportOutcome | None:
    """Store what a genuine delivery tells, with its bytes; None for one that came before.

    Raises Forged for what the secret did not sign, UserError for what cannot be read (kept as the feed's last error).
    """
    now = utc_now()
    identifier = delivery_id(feed.kind, headers, body, decrypt(bytes(feed.secret_encrypted)), now.timestamp())
    try:
        with transaction.atomic():
            ChangeDelivery.objects.filter(feed=feed, received_at__lt=now - DELIVERIES_LIVE).delete()
            _, is_new = ChangeDelivery.objects.get_or_create(feed=feed, delivery=identifier)
            if not is_new:
                return None
            records = records_of(feed.kind, headers, body)
            outcome = ImportOutcome()
            if records:
                outcome = store_records(
                    feature=feed.feature, by=feed.made_by, records=records, source=Change.Source.WEBHOOK,
                    origin=feed.name, raw=[(body, "application/json")] * len(records),
                )  # fmt: skip
            _note(feed, last_error="", last_received_at=now, received=F("received") + 1)
    except UserError as error:
        _note(feed, last_error=str(error)[:500], last_received_at=now)
        raise
    except PermissionDenied as error:
        said = f"{feed.made_by.name}, who made this feed, may no longer import changes; make the feed again."
        _note(feed, last_error=said, last_received_at=now)
        raise UserError(said) from error
    return outcome


def _note(feed: ChangeFeed, **fields: Any) -> None:
    ChangeFeed.objects.filter(pk=feed.pk).update(**fields)


def _secret(kind: str, given: str) -> str:
    given = given.strip()
    if kind == ChangeFeed.Kind.LANGFUSE:
        if not 8 <= len(given) <= 300:
            raise UserError("Paste the secret that Langfuse shows when the webhook is made; it begins with lf-whsec_.")
        return given
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
