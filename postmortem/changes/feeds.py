"""Change feeds: who may send changes to a feature's logs, and what came."""

import base64
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.changes.feed_options import read_options
from postmortem.changes.models import Change, ChangeDelivery, ChangeFeed
from postmortem.changes.pulled_feeds import feed_name, options_for, save_named, shown, wake
from postmortem.changes.services import ImportOutcome, store_records
from postmortem.changes.webhooks import Headers, delivery_id, merged_project, records_of
from postmortem.incidents.models import Feature
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.secret_keys import decrypt, encrypt

DELIVERIES_LIVE = timedelta(days=90)


def feeds() -> QuerySet[ChangeFeed]:
    """All feeds by feature and name, each with `change_count`, the changes that it brought."""
    brought = Change.objects.filter(feed=OuterRef("pk")).order_by().values("feed").annotate(count=Count("pk"))
    return (
        ChangeFeed.objects.select_related("feature", "made_by", "connection")
        .annotate(change_count=Coalesce(Subquery(brought.values("count")), 0))
        .order_by("feature__name", "name")
    )


def create_feed(
    *,
    by: Person,
    feature: Feature,
    name: str,
    kind: str,
    secret: str = "",
    options: Mapping[str, Any] | None = None,
) -> tuple[ChangeFeed, str]:
    """A feed that sends, and its secret, which is shown this once. Langfuse gives its own, the others get one here.

    `options` are the paths, environments and branch of a GitHub or GitLab feed. Raises UserError, PermissionDenied.
    """
    require(by, Capability.CONFIGURE)
    if kind not in ChangeFeed.Kind.values or kind in ChangeFeed.PULLED:
        raise UserError("Choose what sends to the feed.")
    secret = _secret(kind, secret)
    feed = ChangeFeed(
        feature=feature, name=feed_name(name), kind=kind, secret_encrypted=encrypt(secret), made_by=by,
        options=options_for(kind, options or {}).stored(),
    )  # fmt: skip
    with transaction.atomic():
        save_named(feed)
        audit.record(person=by, action="feed.create", subject=str(feed), after=shown(feed))
    return feed, secret


def rotate_secret(*, feed: ChangeFeed, by: Person, secret: str = "") -> str:
    """A new secret; the old one counts no more. Raises UserError for a feed that is pulled."""
    require(by, Capability.CONFIGURE)
    if feed.is_pulled:
        raise UserError("This feed is pulled with a token; enter a new one where you edit it.")
    secret = _secret(feed.kind, secret)
    with transaction.atomic():
        ChangeFeed.objects.filter(pk=feed.pk).update(secret_encrypted=encrypt(secret))
        audit.record(person=by, action="feed.rotate", subject=str(feed))
    return secret


def pause_feed(*, feed: ChangeFeed, by: Person, paused: bool) -> None:
    """Refuse what it sends or pull it no more; or take it again, a pulled one at once."""
    require(by, Capability.CONFIGURE)
    again: dict[str, Any] = {"next_due": utc_now(), "failures": 0} if feed.is_pulled and not paused else {}
    with transaction.atomic():
        ChangeFeed.objects.filter(pk=feed.pk).update(paused=paused, **again)
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
            records = records_of(feed.kind, headers, body, read_options(feed.options))
            outcome = ImportOutcome()
            if records:
                outcome = store_records(
                    feature=feed.feature, by=feed.made_by, records=records, source=Change.Source.WEBHOOK,
                    origin=feed.name, raw=[(body, "application/json")] * len(records), feed=feed,
                )  # fmt: skip
            if project := merged_project(feed.kind, headers, body):
                wake(feature=feed.feature, host=feed.kind, project=project)
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
    if kind in {ChangeFeed.Kind.GITLAB, ChangeFeed.Kind.MLFLOW}:  # their secret is the text itself
        return secrets.token_urlsafe(32)
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
