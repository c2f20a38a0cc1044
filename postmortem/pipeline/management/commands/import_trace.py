"""`manage.py import_trace INC-2026-0001 --link URL` or `--file PATH`."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from postmortem.pipeline import background, services
from postmortem.pipeline.acting import acting_person, add_by_argument, clear_errors, incident_for
from postmortem.pipeline.models import Run
from postmortem.traces.services import import_file


class Command(BaseCommand):
    """Does what the Evidence page does, and waits until it is done."""

    help = "Import a trace link with its window, or a file of traces, into an incident."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("incident", metavar="INC", help="incident number, like INC-2026-0001")
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--link", metavar="URL", help="a link to a trace or session in Langfuse, Phoenix or MLflow")
        source.add_argument("--file", metavar="PATH", type=Path, help="a trace download, table export or open format")
        parser.add_argument("--cap", type=int, help="at most so many traces of the window")
        add_by_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        person = acting_person(options["by"])
        incident = incident_for(person, options["incident"])
        with clear_errors():
            if options["file"]:
                imported = import_file(
                    incident=incident, by=person, filename=options["file"].name, data=_read(options["file"])
                )
                self.stdout.write(f"{imported.trace_count:,} new traces with {imported.score_count:,} scores.")
                return
            run = services.start_link_import(incident=incident, by=person, link=options["link"], cap=options["cap"])
        run = background.finish(run, tell=self.stdout.write)
        if run.state != Run.State.DONE:
            raise CommandError(run.message)
        self.stdout.write(run.message)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # One byte more than allowed is enough to be refused by size.
            return file.read(settings.IMPORT_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
