"""`manage.py pull_window INC-2026-0001 --connection Production --tag beta --score "grounded < 0.5"`, or `--again`."""

import re
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from postmortem.incidents.models import Incident
from postmortem.lib.clock import format_moment, parse_moment
from postmortem.lib.errors import UserError
from postmortem.pipeline import services
from postmortem.pipeline.acting import acting_person, add_by_argument, clear_errors, finish_run, incident_for
from postmortem.traces.models import Connection, EvidenceImport
from postmortem.traces.sources import SCORE_OPERATORS, said_filters

_TEXTS = ("name", "environment", "version", "release", "user", "session")
_FLAGS = {"version": "--trace-version"}  # every command has a --version of its own
_SCORE = re.compile(rf"(.+?)\s*({'|'.join(sorted(SCORE_OPERATORS, key=len, reverse=True))})\s*(\S+)")


class Command(BaseCommand):
    """Does what “Read a filtered window” and “Pull again” of the Evidence page do, and waits until it is done."""

    help = "Read traces of a window through a connection, or what is new since an import. Without filters and times: "
    help += "the incident's own window."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("incident", metavar="INC", help="incident number, like INC-2026-0001")
        parser.add_argument("--connection", metavar="NAME", help="name or id of the connection to read through")
        parser.add_argument("--again", metavar="ID", type=int, help="read what is new since this import; see --list")
        parser.add_argument("--list", action="store_true", help="only say which imports there are to pull again")
        for name in _TEXTS:
            flag = _FLAGS.get(name, f"--{name}")
            parser.add_argument(flag, metavar="TEXT", default="", dest=f"only_{name}", help=f"of this {name} only")
        parser.add_argument("--tag", metavar="TEXT", action="append", default=[], help="may be repeated: all of them")
        parser.add_argument("--score", metavar="TEXT", help='like "grounded < 0.5"')
        parser.add_argument("--start", metavar="TIME", help="from this moment, like 2026-03-09T09:40:00Z")
        parser.add_argument("--end", metavar="TIME", help="before this moment")
        parser.add_argument("--cap", type=int, help="at most so many traces")
        add_by_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        person = acting_person(options["by"])
        incident = incident_for(person, options["incident"])
        if options["list"]:
            for found in _pulled(incident):
                self.stdout.write(_line(found))
            return
        with clear_errors():
            if options["again"] is not None:
                found = incident.evidence_imports.filter(pk=options["again"]).select_related("connection").first()
                if found is None:
                    raise CommandError(f"{incident.number} has no import {options['again']}; --list says which.")
                run = services.start_pull_again(incident=incident, by=person, evidence_import=found)
            else:
                run = services.start_window_import(
                    incident=incident, by=person, connection=_connection(options["connection"]), cap=options["cap"],
                    filters=_filters(options), start=_moment(options["start"]), end=_moment(options["end"]),
                )  # fmt: skip
        finish_run(run, self.stdout.write)


def _pulled(incident: Incident) -> Any:
    return incident.evidence_imports.filter(kind__in=EvidenceImport.FROM_SERVERS)


def _line(found: EvidenceImport) -> str:
    until = f", read to {format_moment(found.covered_to)}" if found.covered_to else ""
    what = said_filters(found.asked.get("filters", {})) or found.origin
    return f"{found.pk}  {found.get_kind_display()}: {what}, {found.trace_count:,} traces{until}"


def _connection(name: str | None) -> Connection:
    known = list(Connection.objects.all())
    if not name and len(known) == 1:
        return known[0]
    found = [one for one in known if name and name in (one.name, str(one.pk))]
    if len(found) != 1:
        names = ", ".join(one.name for one in known) or "none; add one on the page Connections"
        raise CommandError(f"Name one connection with --connection; there is {names}.")
    return found[0]


def _filters(options: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: text for name in _TEXTS if (text := options[f"only_{name}"].strip())}
    if options["tag"]:
        found["tags"] = options["tag"]
    if options["score"]:
        told = _SCORE.fullmatch(options["score"].strip())
        if told is None:
            raise UserError('Write the score like "grounded < 0.5".')
        found["score"] = {"name": told[1], "operator": told[2], "value": told[3]}
    return found


def _moment(text: str | None) -> datetime | None:
    try:
        return parse_moment(text) if text else None
    except ValueError as error:
        raise UserError(str(error)) from error
