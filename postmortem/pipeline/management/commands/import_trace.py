"""`manage.py import_trace INC-2026-0001 --link URL` or `--file PATH`."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from postmortem.accounts.models import Person
from postmortem.attribution.wording import plural
from postmortem.incidents.models import Incident
from postmortem.pipeline import services
from postmortem.pipeline.acting import acting_person, add_by_argument, clear_errors, finish_run, incident_for
from postmortem.pipeline.models import Run
from postmortem.traces.table_import import saved_mapping


class Command(BaseCommand):
    """Does what the Evidence page does, and waits until it is done."""

    help = "Import a trace link with its window, or a file of traces, into an incident."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("incident", metavar="INC", help="incident number, like INC-2026-0001")
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--link", metavar="URL", help="a link to a trace or session in Langfuse, Phoenix or MLflow")
        source.add_argument("--file", metavar="PATH", type=Path, help="a trace download, table export or open format")
        parser.add_argument("--cap", type=int, help="at most so many traces of the window")
        parser.add_argument(
            "--keep-good",
            action="store_true",
            help="leave out rows of a file that cannot be read, and tell which",
        )
        parser.add_argument("--mapping", metavar="NAME", help="read the file as a table by this saved mapping")
        add_by_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        person = acting_person(options["by"])
        incident = incident_for(person, options["incident"])
        with clear_errors():
            if options["file"]:
                self._import_file(
                    incident, person, **{name: options[name] for name in ("file", "keep_good", "mapping")}
                )
                return
            run = services.start_link_import(incident=incident, by=person, link=options["link"], cap=options["cap"])
        finish_run(run, self.stdout.write)

    def _import_file(
        self, incident: Incident, person: Person, *, file: Path, keep_good: bool, mapping: str | None
    ) -> None:
        try:
            with file.open("rb") as data:
                done = services.import_uploaded(
                    incident=incident, by=person, filename=file.name, file=data, keep_good=keep_good,
                    mapping=saved_mapping(mapping) if mapping else None,
                )  # fmt: skip
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        if isinstance(done, Run):  # a large file: should this process die, any worker goes on
            finish_run(done, self.stdout.write)
            return
        self.stdout.write(f"{plural(done.trace_count, 'new trace')} with {plural(done.score_count, 'score')}.")
        for note in done.notes:
            self.stdout.write(note)
        if done.left_out:
            self.stdout.write(f"{plural(done.left_out, 'row')} left out:")
            for _, sentence in done.faults:
                self.stdout.write(f"  {sentence}")
