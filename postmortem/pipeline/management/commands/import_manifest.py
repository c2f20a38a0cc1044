"""`manage.py import_manifest INC-2026-0001 kb-1.jsonl.gz kb-2.jsonl.gz`."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from postmortem.changes.manifests.reading import MAX_UPLOAD_BYTES
from postmortem.changes.manifests.selectors import earlier_manifest
from postmortem.changes.manifests.services import log_manifest, store_manifest
from postmortem.changes.models import Manifest
from postmortem.lib.errors import UserError
from postmortem.pipeline.acting import acting_person, add_by_argument, clear_errors, incident_for


class Command(BaseCommand):
    """Importing the same manifest twice adds nothing."""

    help = "Keep manifests of an index or of training data, and write to the ledger what each changed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("incident", metavar="INC", help="incident number, like INC-2026-0001")
        parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
        parser.add_argument("--kind", choices=Manifest.Kind.values, default="", help="if the file does not say")
        parser.add_argument("--name", default="", help="index or data set, if the file does not say")
        parser.add_argument("--manifest-version", dest="named", default="", help="if the file does not say")
        parser.add_argument("--at", default="", help="when it went live, like 2026-03-09T09:40:00Z")
        parser.add_argument("--keep-good", action="store_true", help="leave out entries that cannot be read")
        parser.add_argument("--no-log", action="store_true", help="keep the manifest, and leave the ledger as it is")
        add_by_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        person = acting_person(options["by"])
        incident = incident_for(person, options["incident"])
        given = {"kind": options["kind"], "name": options["name"], "version": options["named"], "at": options["at"]}
        for path in options["files"]:
            try:
                with path.open("rb") as file:
                    data = file.read(MAX_UPLOAD_BYTES + 1)
            except OSError as error:
                raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
            with clear_errors():
                made, is_new = store_manifest(
                    incident=incident, by=person, filename=path.name, data=data, given=given,
                    keep_good=options["keep_good"],
                )  # fmt: skip
            line = f"{path.name}: {made}, {made.entry_count:,} entries" + ("" if is_new else ", was there already")
            if made.fault_count:
                line += f", {made.fault_count:,} left out (line {made.faults[0][0]}: {made.faults[0][1]})"
            self.stdout.write(f"{line}.")
            if is_new and not options["no_log"] and earlier_manifest(made) is not None:
                try:
                    self.stdout.write(log_manifest(manifest=made, by=person, incident=incident).summary)
                except UserError as error:
                    self.stdout.write(str(error))
