"""`remind [--on 2026-04-10]`: tell owners of unfinished action items, and escalate what nobody moved."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from postmortem.lib.clock import utc_now
from postmortem.pipeline.remind import remind


class Command(BaseCommand):
    """What the worker does by itself several times a day; prints a line for each reminder."""

    help = "Remind owners of unfinished action items of published incidents; escalate the long overdue."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--on", metavar="DATE", help="as if today were this day (UTC)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            today = date.fromisoformat(options["on"]) if options["on"] else utc_now().date()
        except ValueError as error:
            raise CommandError(f"“{options['on'][:30]}” is not a date; write it like 2026-04-10.") from error
        for due in remind(today):
            people = ", ".join(person.name for person in due.people)
            self.stdout.write(f"{due.item.incident.number} A-{due.item.number} {due.level}: {people}")
