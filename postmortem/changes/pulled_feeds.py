"""Feeds that are pulled on a schedule: what administrators set. The worker's part is in pipeline/pull_feeds.py."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.changes.feed_options import FeedOptions, check_project, read_options
from postmortem.changes.models import ChangeFeed
from postmortem.incidents.models import Feature
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.connections import clean_base_url
from postmortem.traces.models import Connection
from postmortem.traces.secret_keys import decrypt, encrypt

SHORTEST_MINUTES, LONGEST_MINUTES = 5, 7 * 24 * 60
LONGEST_LOOKBACK_DAYS = 365
DEFAULT_ADDRESS = {
    ChangeFeed.Kind.PULL_GITHUB: "https://api.github.com", ChangeFeed.Kind.PULL_GITLAB: "https://gitlab.com",
}  # fmt: skip
# What there is to set for each kind; anything else that is given is left out.
_REPOSITORY = ("branch", "paths", "environments")
OPTIONS_OF: Mapping[str, tuple[str, ...]] = {
    ChangeFeed.Kind.STANDARD: (),
    ChangeFeed.Kind.LANGFUSE: (),
    ChangeFeed.Kind.GITHUB: _REPOSITORY,
    ChangeFeed.Kind.GITLAB: _REPOSITORY,
    ChangeFeed.Kind.MLFLOW: ("models", "facet"),
    ChangeFeed.Kind.PULL_LANGFUSE: (),
    ChangeFeed.Kind.PULL_GITHUB: ("project", *_REPOSITORY),
    ChangeFeed.Kind.PULL_GITLAB: ("project", *_REPOSITORY),
    ChangeFeed.Kind.PULL_MLFLOW: ("models", "facet", "user"),
}


def create_pulled_feed(
    *,
    by: Person,
    feature: Feature,
    name: str,
    kind: str,
    base_url: str = "",
    token: str = "",
    connection: Connection | None = None,
    interval_minutes: int = 30,
    lookback_days: int = 30,
    options: Mapping[str, Any] | None = None,
) -> ChangeFeed:
    """A feed that the worker pulls every `interval_minutes`; the first pull reads `lookback_days` back, at once.

    Langfuse is read through `connection`, the others at `base_url` with `token` (stored encrypted). Raises UserError,
    PermissionDenied.
    """
    require(by, Capability.CONFIGURE)
    if kind not in ChangeFeed.PULLED:
        raise UserError("Choose what is pulled.")
    feed = ChangeFeed(
        feature=feature, name=feed_name(name), kind=kind, made_by=by, next_due=utc_now(),
        secret_encrypted=encrypt(_token(token)), options=options_for(kind, options or {}).stored(),
    )  # fmt: skip
    _set_source(feed, base_url, connection)
    _set_schedule(feed, interval_minutes, lookback_days)
    with transaction.atomic():
        save_named(feed)
        audit.record(person=by, action="feed.create", subject=str(feed), after=shown(feed))
    return feed


def update_feed(
    *,
    feed: ChangeFeed,
    by: Person,
    name: str | None = None,
    base_url: str | None = None,
    token: str = "",
    forget_token: bool = False,
    connection: Connection | None = None,
    interval_minutes: int | None = None,
    lookback_days: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> ChangeFeed:
    """Change a feed of any kind; what is None (and an empty token) stays. Only name and options of one that sends.

    `forget_token` makes it read without any from now on.

    A new project, address or path makes the next pull read from the beginning again; what is stored adds nothing.
    """
    require(by, Capability.CONFIGURE)
    with transaction.atomic():
        # A pull may be under way: lock the row and write only what is set here, so that neither loses the other's.
        feed = ChangeFeed.objects.select_for_update(of=("self",)).select_related("feature").get(pk=feed.pk)
        before = shown(feed)
        if name is not None:
            feed.name = feed_name(name)
        if options is not None:
            feed.options = options_for(feed.kind, options).stored()
        fields = ["name", "options"]
        if feed.is_pulled:
            if forget_token:
                if token.strip():
                    raise UserError("Enter a token or forget the stored one, not both.")
                feed.secret_encrypted = encrypt("")
            _change_source(feed, base_url, token, connection)
            _set_schedule(
                feed,
                feed.interval_minutes if interval_minutes is None else interval_minutes,
                feed.lookback_days if lookback_days is None else lookback_days,
            )
            feed.next_due, feed.failures, feed.last_error = utc_now(), 0, ""
            fields += [
                "base_url", "connection", "secret_encrypted", "interval_minutes", "lookback_days", "next_due",
                "failures", "last_error",
            ]  # fmt: skip
            after = shown(feed)
            if any(before[part] != after[part] for part in ("base_url", "connection", "options", "lookback_days")):
                # Whoever pulls it now finds the lease gone and stores nothing more under the old settings.
                feed.cursor, feed.worker, feed.lease_until = {}, "", None
                fields += ["cursor", "worker", "lease_until"]
        save_named(feed, fields)
        audit.record(person=by, action="feed.update", subject=str(feed), before=before, after=shown(feed))
    return feed


def pull_now(*, feed: ChangeFeed, by: Person) -> None:
    """Let the next free worker pull it. Raises UserError for one that is paused or sends by itself."""
    require(by, Capability.CONFIGURE)
    if not feed.is_pulled:
        raise UserError("This feed sends by itself; there is nothing to pull.")
    if feed.paused:
        raise UserError("This feed is paused; take it again first.")
    with transaction.atomic():
        ChangeFeed.objects.filter(pk=feed.pk).update(next_due=utc_now(), failures=0)
        audit.record(person=by, action="feed.pull", subject=str(feed))


def wake(*, feature: Feature, host: str, project: str) -> int:
    """Let what pulls `project` be due now, because something happened there. Returns how many feeds that are.

    Not those that wait because their server failed or limited them.
    """
    now = utc_now()
    waiting = ChangeFeed.objects.filter(
        feature=feature, kind=f"pull_{host}", paused=False, failures=0, last_error="", next_due__gt=now
    )
    same = [feed.pk for feed in waiting if str(feed.options.get("project", "")).lower() == project.lower()]
    return ChangeFeed.objects.filter(pk__in=same).update(next_due=now) if same else 0


def options_for(kind: str, given: Mapping[str, Any]) -> FeedOptions:
    """Checked options, as far as a feed of `kind` has them. Raises UserError."""
    options = read_options({name: given.get(name) for name in OPTIONS_OF[kind]})
    if "project" in OPTIONS_OF[kind]:
        check_project(kind.removeprefix("pull_"), options.project)
    return options


def feed_name(name: str) -> str:
    """A name that can be stored. Raises UserError."""
    name = name.strip()
    if not 0 < len(name) <= 120:
        raise UserError("Give the feed a name of up to 120 characters.")
    return name


def save_named(feed: ChangeFeed, fields: list[str] | None = None) -> None:
    """Save, with a sentence where the feature has a feed of that name."""
    try:
        with transaction.atomic():
            feed.save(update_fields=fields)
    except IntegrityError as error:
        raise UserError(
            f"There is a feed “{feed.name}” of {feed.feature.name} already; choose another name."
        ) from error


def has_token(feed: ChangeFeed) -> bool:
    """Whether it is read with a token, which nobody is shown."""
    try:
        return feed.is_pulled and bool(decrypt(bytes(feed.secret_encrypted)))
    except UserError:
        return True  # one that can no longer be read


def shown(feed: ChangeFeed) -> dict[str, Any]:
    """What the audit log keeps: everything but the secret."""
    return {
        "name": feed.name, "kind": feed.kind, "options": feed.options, "base_url": feed.base_url,
        "has_token": has_token(feed),
        "connection": feed.connection_id, "interval_minutes": feed.interval_minutes,
        "lookback_days": feed.lookback_days,
    }  # fmt: skip


def _set_source(feed: ChangeFeed, base_url: str, connection: Connection | None) -> None:
    if feed.kind == ChangeFeed.Kind.PULL_LANGFUSE:
        if connection is None or connection.kind != Connection.Kind.LANGFUSE:
            raise UserError("Choose the connection to the Langfuse project whose prompts are pulled.")
        feed.connection, feed.base_url = connection, ""
    else:
        feed.base_url, feed.connection = _address(feed.kind, base_url), None


def _change_source(feed: ChangeFeed, base_url: str | None, token: str, connection: Connection | None) -> None:
    before = feed.base_url
    _set_source(feed, before if base_url is None else base_url, connection or feed.connection)
    if token.strip():
        feed.secret_encrypted = encrypt(_token(token))
    elif feed.base_url != before and decrypt(bytes(feed.secret_encrypted)):
        # A stored token must not be sent to an address that it was not entered for.
        raise UserError("The address is a new one; enter the token for it too.")


def _set_schedule(feed: ChangeFeed, interval_minutes: int, lookback_days: int) -> None:
    if not SHORTEST_MINUTES <= interval_minutes <= LONGEST_MINUTES:
        raise UserError(f"Pull every {SHORTEST_MINUTES} to {LONGEST_MINUTES} minutes.")
    if not 1 <= lookback_days <= LONGEST_LOOKBACK_DAYS:
        raise UserError(f"The first pull reads 1 to {LONGEST_LOOKBACK_DAYS} days back.")
    feed.interval_minutes, feed.lookback_days = interval_minutes, lookback_days


def _address(kind: str, base_url: str) -> str:
    default = DEFAULT_ADDRESS.get(ChangeFeed.Kind(kind), "")
    text = base_url.strip() or default
    if not text:
        raise UserError("Give the address of the server.")
    try:
        found = clean_base_url(text).removesuffix("/api/v4")
    except UserError as error:
        example = default or "https://mlflow.example.org"
        raise UserError(f"“{text[:80]}” is not the address of a server; write it like {example}.") from error
    return default if kind == ChangeFeed.Kind.PULL_GITHUB and found == "https://github.com" else found


def _token(token: str) -> str:
    token = token.strip()
    if len(token) > 400 or not token.isascii() or (token and not token.isprintable()) or " " in token:
        raise UserError("The token is no token; copy it from the settings of the server.")
    return token
