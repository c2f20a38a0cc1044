"""`manage.py work`: take runs out of the queue until told to stop."""

import signal
import threading
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from postmortem.pipeline import background
from postmortem.pipeline.progress import LEASE


class Command(BaseCommand):
    """Any number of workers may run beside each other. SIGTERM ends after the current step, nothing is lost."""

    help = "Execute background runs, imports and attributions, and pull change feeds. Stop it with Ctrl-C or SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is due")
        parser.add_argument(
            "--lease-seconds", type=float, default=LEASE.total_seconds(),
            help="how long a silent worker keeps its run before another one takes it",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        if not options["once"]:
            self.stdout.write("Waiting for runs and feeds.")
        count = background.work(once=options["once"], stop=stop, lease=timedelta(seconds=options["lease_seconds"]))
        self.stdout.write(f"Runs executed: {count}.")
