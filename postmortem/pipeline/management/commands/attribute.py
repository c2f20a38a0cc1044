"""`attribute --cases DIR --json-lines` for case folders, `attribute INC-2026-0001 --json` for a stored incident."""

import json
import multiprocessing
import os
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from postmortem.attribution.cases import case_folders, read_case
from postmortem.attribution.interface import attribute, result_to_json
from postmortem.lib.errors import UserError

_THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Command(BaseCommand):
    """Print what attribution says, as JSON. With --cases no database is touched."""

    help = "Attribute cases in the open formats, or a stored incident."
    requires_system_checks: list[str] = []  # noqa: RUF012
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("incident", nargs="?", help="incident number, e.g. INC-2026-0001")
        parser.add_argument("--cases", type=Path, help="folder of case folders (incident.json, changes, traces)")
        parser.add_argument("--json-lines", action="store_true", help="one JSON object a line (always so with --cases)")
        parser.add_argument("--json", action="store_true", help="the stored incident's result as JSON")
        parser.add_argument("--by", default="", help="e-mail of the person who runs it; then the finding is stored")
        parser.add_argument(
            "--through",
            default="",
            help="a Langfuse connection whose server groups the traces; none is imported",
        )
        parser.add_argument("--granularity", default="minute", choices=["minute", "hour"], help="with --through")
        parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many cores to use")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["cases"]) == bool(options["incident"]):
            raise CommandError("Give either an incident number or --cases with a folder.")
        try:
            if options["cases"]:
                failed = self._cases(options["cases"], max(1, options["processes"]))
            else:
                self._incident(options["incident"], options["by"], options["through"], options["granularity"])
                failed = 0
        except UserError as error:
            raise CommandError(str(error)) from error
        if failed:
            raise CommandError(f"{failed} case(s) could not be attributed; their lines say why.")

    def _cases(self, root: Path, processes: int) -> int:
        failed = 0
        for line in _attributed(case_folders(root), processes):
            failed += "error" in line
            self.stdout.write(json.dumps(line, ensure_ascii=False, allow_nan=False))
            self.stdout.flush()
        return failed

    def _incident(self, number: str, email: str, through: str, granularity: str) -> None:
        from postmortem.accounts.models import Person  # noqa: PLC0415  --cases needs no models
        from postmortem.attribution import services  # noqa: PLC0415
        from postmortem.incidents.models import Incident  # noqa: PLC0415
        from postmortem.pipeline.metric_case import keep_window, metric_case  # noqa: PLC0415
        from postmortem.traces.models import Connection  # noqa: PLC0415

        try:
            incident = Incident.objects.get(number=number)
        except Incident.DoesNotExist as error:
            raise CommandError(f"There is no incident {number}.") from error
        person = Person.objects.filter(email__iexact=email, is_active=True).first() if email else None
        if email and person is None:
            raise CommandError(f"There is no active person with the e-mail {email}.")
        if through:
            connection = Connection.objects.filter(name=through).first()
            if connection is None:
                raise CommandError(f"There is no connection named {through}.")
            if person is None:
                result = result_to_json(attribute(metric_case(incident, connection, granularity=granularity)))
            else:
                kept = keep_window(incident=incident, by=person, connection=connection, granularity=granularity)
                result = services.run_grouped_attribution(incident=incident, by=person, grouped=kept).result
        elif person is None:
            result, _ = services.attributed(incident)
        else:
            result = services.run_attribution(incident=incident, by=person).result
        self.stdout.write(json.dumps({"case": number, **result}, ensure_ascii=False, allow_nan=False))


def _attributed(folders: list[Path], processes: int) -> Iterator[dict[str, Any]]:
    """Results in the order of the folders, each as soon as it and those before it are done."""
    for name in _THREAD_SETTINGS:  # one thread a process: the cases are the parallel part
        os.environ.setdefault(name, "1")
    count = min(processes, len(folders))
    if count == 1:
        yield from map(_attribute_folder, folders)
        return
    with multiprocessing.get_context("spawn").Pool(count, maxtasksperchild=200) as pool:
        yield from pool.imap(_attribute_folder, folders, chunksize=1)


def _attribute_folder(folder: Path) -> dict[str, Any]:
    try:
        return {"case": folder.name, **result_to_json(attribute(read_case(folder)))}
    except UserError as error:
        return {"case": folder.name, "error": str(error)}
