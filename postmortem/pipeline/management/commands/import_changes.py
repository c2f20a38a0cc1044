"""`manage.py import_changes INC-2026-0001 changes.jsonl more.csv`."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from postmortem.changes.log_files import MAX_FILE_BYTES
from postmortem.changes.services import import_changes
from postmortem.pipeline.acting import acting_person, add_by_argument, clear_errors, incident_for


class Command(BaseCommand):
    """Importing the same file twice adds nothing."""

    help = "Add change logs (JSONL or CSV in the open format) to the feature that an incident is about."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("incident", metavar="INC", help="incident number, like INC-2026-0001")
        parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
        parser.add_argument(
            "--keep-good", action="store_true", help="leave out entries that cannot be read, and tell which"
        )
        add_by_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        person = acting_person(options["by"])
        incident = incident_for(person, options["incident"])
        for path in options["files"]:
            try:
                with path.open("rb") as file:
                    data = file.read(MAX_FILE_BYTES + 1)
            except OSError as error:
                raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
            with clear_errors():
                outcome = import_changes(
                    feature=incident.feature, by=person, filename=path.name, data=data, incident=incident,
                    keep_good=options["keep_good"],
                )  # fmt: skip
            line = f"{path.name}: {outcome.added} added, {outcome.unchanged} were there already"
            line += "".join(f". {note.rstrip('.')}" for note in outcome.notes)
            if outcome.conflicting:
                line += (
                    f", {len(outcome.conflicting)} differ from what is stored: {', '.join(outcome.conflicting[:10])}"
                )
            self.stdout.write(f"{line}.")
            if outcome.left_out:
                self.stdout.write(f"{outcome.left_out:,} {'entry' if outcome.left_out == 1 else 'entries'} left out:")
                for _, sentence in outcome.faults:
                    self.stdout.write(f"  {sentence}")
