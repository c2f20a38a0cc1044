"""On whose behalf a command acts: commands ask the same permissions as pages do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandError, CommandParser

from postmortem.accounts.models import Person, Role
from postmortem.incidents.models import Incident
from postmortem.incidents.selectors import get_incident
from postmortem.lib.errors import UserError
from postmortem.pipeline import background
from postmortem.pipeline.models import Run


def add_by_argument(parser: CommandParser) -> None:
    """The option that names the person."""
    parser.add_argument("--by", metavar="EMAIL", help="on whose behalf; else the first active administrator")


def acting_person(email: str | None) -> Person:
    """The active person with `email`, or the first active administrator. CommandError when there is none."""
    people = Person.objects.filter(is_active=True).order_by("pk")
    if email:
        person = people.filter(email__iexact=email.strip()).first()
        if person is None:
            raise CommandError(f"Nobody active has the e-mail {email}; name somebody with --by.")
        return person
    person = people.filter(role=Role.ADMINISTRATOR).first()
    if person is None:
        raise CommandError("There is no active administrator; name a person with --by EMAIL.")
    return person


def incident_for(person: Person, number: str) -> Incident:
    """The incident with `number` that `person` may see. CommandError when there is none."""
    try:
        return get_incident(person, number.strip().upper())
    except Incident.DoesNotExist as error:
        raise CommandError(f"{person.name} sees no incident {number}.") from error


@contextmanager
def clear_errors() -> Iterator[None]:
    """What a person can mend becomes one line on the terminal, not a traceback."""
    try:
        yield
    except (UserError, PermissionDenied) as error:
        raise CommandError(str(error)) from error


def finish_run(run: Run, write: Callable[[str], object]) -> None:
    """Bring a run to its end and say how it ended. CommandError unless it ended well."""
    done = background.finish(run, tell=write)
    if done.state != Run.State.DONE:
        raise CommandError(done.message)
    write(done.message)
