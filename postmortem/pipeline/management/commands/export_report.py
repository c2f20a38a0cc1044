"""`manage.py export_report INC-2026-0001 --view brief --format pdf -o brief.pdf`."""

import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from postmortem.pipeline.acting import acting_person, add_by_argument, clear_errors, incident_for
from postmortem.pipeline.publish import export_document
from postmortem.report.documents import FORMATS, VIEWS
from postmortem.report.external import AUDIENCES


class Command(BaseCommand):
    """The latest published version, or the draft where nothing is published."""

    help = "Write an incident's report to a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("incident", metavar="INC", help="incident number, like INC-2026-0001")
        parser.add_argument("--view", choices=sorted(VIEWS), default="full")
        parser.add_argument("--format", choices=sorted(FORMATS), default="pdf")
        parser.add_argument("--audience", choices=sorted(AUDIENCES), default="internal")
        parser.add_argument("-o", "--output", metavar="FILE", help="else a name in this folder; - for standard output")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--published", metavar="N", type=int, help="a published version; else the latest")
        which.add_argument("--draft", action="store_true", help="as it stands now, marked DRAFT")
        add_by_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        person = acting_person(options["by"])
        incident = incident_for(person, options["incident"])
        with clear_errors():
            document = export_document(
                incident=incident, view=options["view"], form=options["format"],
                version=options["published"], draft=options["draft"],
                audience=options["audience"],
            )  # fmt: skip
        if options["output"] == "-":
            _to_standard_output(document.data)
            return
        path = Path(options["output"] or document.filename)
        if not path.parent.is_dir():
            raise CommandError(f"The folder {path.parent} does not exist; make it first.")
        try:
            path.write_bytes(document.data)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        self.stdout.write(f"{path}: {len(document.data):,} bytes.")


def _to_standard_output(data: bytes) -> None:
    """All of `data`. CommandError when whoever reads it goes away, as `| head` does, or the disk is full."""
    if sys.stdout is None:
        raise CommandError("Standard output is closed; name a file with -o.")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is left in the buffer goes nowhere, else the interpreter fails once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError(f"Standard output did not take the whole document: {error.strerror}.") from error
