"""`check_actions [INC-2026-0001 …]`: judge the plans of open action items on the traces that are there now."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from postmortem.actions.following import check_open_actions
from postmortem.actions.services import OPEN_STATUSES
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError


class Command(BaseCommand):
    """Checks every open item that has a signal, a threshold and a window; prints a line for each."""

    help = "Check whether action items worked, on the traces imported since."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("incidents", nargs="*", help="incident numbers; all with open items if none are given")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = options["incidents"]
        incidents = Incident.objects.filter(
            action_items__status__in=OPEN_STATUSES, action_items__plan__isnull=False
        ).distinct()
        if wanted:
            found = Incident.objects.filter(number__in=wanted)
            missing = set(wanted) - set(found.values_list("number", flat=True))
            if missing:
                raise CommandError(f"There is no incident {sorted(missing)[0]}.")
            incidents = found
        for incident in incidents.order_by("number"):
            try:
                for check in check_open_actions(incident, None):
                    self.stdout.write(f"{incident.number} A-{check.action.number} {check.outcome}: {check.sentence}")
            except UserError as error:
                self.stderr.write(f"{incident.number}: {error}")
