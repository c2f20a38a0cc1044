"""`manage.py pull_feeds [NAME …]`: pull the change feeds that are due, or those named, now and here."""

import os
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from postmortem.changes.feeds import feeds
from postmortem.changes.models import ChangeFeed
from postmortem.changes.pulled_feeds import pull_now
from postmortem.pipeline.acting import acting_person, add_by_argument, clear_errors
from postmortem.pipeline.pull_feeds import claim, pull


class Command(BaseCommand):
    """Prints a line for each feed; exit code 1 when one of them failed."""

    help = "Pull the change feeds that are due, or those named whether due or not. The worker does it by itself."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("feeds", nargs="*", metavar="NAME", help="names or ids of feeds; all that are due if none")
        parser.add_argument("--list", action="store_true", help="only say what there is and when it is due")
        add_by_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        pulled = list(feeds().filter(kind__in=ChangeFeed.PULLED))
        wanted = [_named(pulled, name) for name in options["feeds"]] or pulled
        if options["list"]:
            for feed in wanted:
                self.stdout.write(f"{feed.pk}  {feed} ({feed.get_kind_display()}): {_state(feed)}")
            return
        if options["feeds"]:
            person = acting_person(options["by"])
            for feed in wanted:
                with clear_errors():
                    pull_now(feed=feed, by=person)
        failed = 0
        for feed in wanted:
            claimed = claim(feed.pk, f"command:{os.getpid()}:{secrets.token_hex(4)}")
            if claimed is None:
                if options["feeds"]:
                    self.stdout.write(f"{feed}: another worker is pulling it.")
                continue
            pull(claimed)
            claimed.refresh_from_db()
            failed += bool(claimed.failures)
            self.stdout.write(f"{feed}: {claimed.last_error or claimed.last_outcome}")
        if failed:
            raise CommandError(f"{failed} of {len(wanted)} feeds could not be pulled.")


def _named(pulled: list[ChangeFeed], name: str) -> ChangeFeed:
    found = [feed for feed in pulled if name in (feed.name, str(feed.pk))]
    if len(found) != 1:
        what = "several pulled feeds are" if found else "no pulled feed is"
        raise CommandError(f"{what.capitalize()} called {name}; --list says what there is.")
    return found[0]


def _state(feed: ChangeFeed) -> str:
    if feed.paused:
        return "paused"
    return f"due {feed.next_due:%Y-%m-%d %H:%M} UTC, {feed.last_error or feed.last_outcome or 'never pulled'}"
