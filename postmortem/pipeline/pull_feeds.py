"""Stage 2 by itself: feeds that are due are pulled by whichever worker is free.

A feed is claimed as a run is: a conditional UPDATE gives its lease to one worker, a heartbeat renews it, and when a
worker dies the lease runs out and another one goes on from the cursor. Changes and the cursor behind them are stored
in one transaction, so that a break loses nothing and doubles nothing.
"""

import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, Q

from postmortem.changes import pull_github, pull_gitlab, pull_mlflow, pull_prompts
from postmortem.changes.feed_http import Budget, FeedReader, Step, Work
from postmortem.changes.feed_options import read_options
from postmortem.changes.models import Change, ChangeFeed
from postmortem.changes.services import ImportOutcome, is_told_between, store_records, stored_ids
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.pipeline.progress import LEASE, LeaseLost, heartbeat
from postmortem.traces.langfuse_source import LangfuseSource, RateLimited
from postmortem.traces.secret_keys import decrypt
from postmortem.traces.services import open_source

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
_SOON = timedelta(minutes=1)  # when a pull left something for the next one
_LONGEST_WAIT = timedelta(hours=24)
_LONGEST_LIMIT = timedelta(hours=6)


def pull_next_due(worker: str, *, stop: threading.Event | None = None, lease: timedelta = LEASE) -> bool:
    """Pull the feed that has been due the longest; False when none is. Two workers never pull the same one."""
    while True:
        pk = _claimable().order_by("next_due", "pk").values_list("pk", flat=True).first()
        if pk is None:
            return False
        if feed := claim(pk, worker, lease):
            pull(feed, stop=stop, lease=lease)
            return True


def claim(pk: int, worker: str, lease: timedelta = LEASE) -> ChangeFeed | None:
    """Take a feed that is due and that nobody works on, or None."""
    claimed = _claimable().filter(pk=pk)
    if not claimed.update(worker=worker, lease_until=utc_now() + lease, attempts=F("attempts") + 1):
        return None
    return ChangeFeed.objects.select_related("feature", "made_by", "connection").get(pk=pk)


def pull(feed: ChangeFeed, *, stop: threading.Event | None = None, lease: timedelta = LEASE) -> None:
    """Pull a claimed feed and write down how it ended. Raises nothing that the pull raises."""
    if feed.attempts > MAX_ATTEMPTS:
        return _failed(feed, f"The worker stopped {MAX_ATTEMPTS} times in the middle of this; tell an administrator.")
    renew = partial(_mine, feed, lease=lease)
    try:
        with heartbeat(renew, lease):
            outcome, unfinished, unreadable = _pull(feed, stop or threading.Event(), lease)
    except LeaseLost:
        log.info("feed %s is no longer ours", feed.pk)
    except RateLimited as limited:
        wait = timedelta(seconds=min(max(limited.retry_after_seconds, 60.0), _LONGEST_LIMIT.total_seconds()))
        _end(feed, next_due=utc_now() + wait, last_error=str(limited)[:500])
    except PermissionDenied:
        _failed(feed, f"{feed.made_by.name}, who made this feed, may no longer import changes; make the feed again.")
    except UserError as error:
        _failed(feed, str(error))
    except Exception:
        log.exception("feed %s broke off", feed.pk)
        _failed(feed, "This broke off for a reason that the server's log names; tell an administrator.")
    else:
        now = utc_now()
        wait = _SOON if unfinished else timedelta(minutes=feed.interval_minutes)
        _end(
            feed, next_due=now + wait, last_error=unreadable, failures=0, last_received_at=now,
            received=F("received") + 1, last_outcome=_said(outcome, unfinished),
        )  # fmt: skip
    return None


def _pull(feed: ChangeFeed, stop: threading.Event, lease: timedelta) -> tuple[ImportOutcome, bool, str]:
    """What was stored, whether there is more, and the sentence for entries that could not be read."""
    now = utc_now()
    work = Work(
        cursor=feed.cursor, known=partial(stored_ids, feed.feature),
        first=now - timedelta(days=feed.lookback_days), now=now,
        told_between=partial(is_told_between, feed.feature),
    )  # fmt: skip
    total, unfinished = ImportOutcome(), False
    for step in _steps(feed, work, Budget(stopping=stop.is_set)):
        with transaction.atomic():
            _mine(feed, lease=lease, cursor=step.cursor)
            total = _sum(total, _store(feed, step))
        unfinished = unfinished or step.unfinished
    bad = len(work.unreadable)
    note = f"{bad} {'entry' if bad == 1 else 'entries'} could not be read: {work.unreadable[0]}" if bad else ""
    return total, unfinished, note[:500]


def _steps(feed: ChangeFeed, work: Work, budget: Budget) -> Iterator[Step]:
    options = read_options(feed.options)
    if feed.kind == ChangeFeed.Kind.PULL_LANGFUSE:
        if feed.connection is None:
            raise UserError("The connection of this feed is gone; edit the feed and choose another one.")
        with open_source(feed.connection) as source:
            if not isinstance(source, LangfuseSource):
                raise UserError("The connection of this feed is not to Langfuse; edit the feed and choose another one.")
            yield from pull_prompts.pull(source, work, budget)
        return
    headers = pull_github.HEADERS if feed.kind == ChangeFeed.Kind.PULL_GITHUB else {}
    token = decrypt(bytes(feed.secret_encrypted))
    with FeedReader(feed.base_url, token=token, user=options.user, headers=headers, budget=budget) as reader:
        read = {
            ChangeFeed.Kind.PULL_GITHUB: pull_github.pull,
            ChangeFeed.Kind.PULL_GITLAB: pull_gitlab.pull,
            ChangeFeed.Kind.PULL_MLFLOW: pull_mlflow.pull,
        }[ChangeFeed.Kind(feed.kind)]
        yield from read(reader, options, work)


def _store(feed: ChangeFeed, step: Step) -> ImportOutcome:
    if not step.told:
        return ImportOutcome()
    return store_records(
        feature=feed.feature, by=feed.made_by, records=[told.record for told in step.told],
        source=Change.Source.PULLED, origin=feed.name, feed=feed,
        raw=[(told.raw, "application/x-ndjson" if b"\n" in told.raw else "application/json") for told in step.told],
    )  # fmt: skip


def _claimable() -> Any:
    now = utc_now()
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    return ChangeFeed.objects.filter(free, kind__in=ChangeFeed.PULLED, paused=False, next_due__lte=now)


def _mine(feed: ChangeFeed, *, lease: timedelta, **fields: Any) -> None:
    """Renew the lease, and write `fields` with it. Raises LeaseLost when the feed is another's, or gone."""
    ours = ChangeFeed.objects.filter(pk=feed.pk, worker=feed.worker)
    if not ours.update(lease_until=utc_now() + lease, **fields):
        raise LeaseLost


def _failed(feed: ChangeFeed, message: str) -> None:
    """Try again after the interval, then after twice as long, and so on up to a day."""
    wait = min(timedelta(minutes=feed.interval_minutes) * 2 ** min(feed.failures, 10), _LONGEST_WAIT)
    _end(feed, next_due=utc_now() + wait, last_error=message[:500], failures=F("failures") + 1)


def _end(feed: ChangeFeed, *, next_due: datetime, **fields: Any) -> None:
    ours = ChangeFeed.objects.filter(pk=feed.pk, worker=feed.worker)
    ours.update(worker="", lease_until=None, attempts=0, next_due=next_due, **fields)


def _sum(one: ImportOutcome, other: ImportOutcome) -> ImportOutcome:
    return ImportOutcome(
        one.added + other.added, one.unchanged + other.unchanged, [*one.conflicting, *other.conflicting]
    )


def _said(outcome: ImportOutcome, unfinished: bool) -> str:
    words = f"{outcome.added:,} added" if outcome.added else "nothing new"
    if outcome.conflicting:
        words += f", {len(outcome.conflicting):,} told before in other words and left as they are"
    return words + (", more to come" if unfinished else "")
