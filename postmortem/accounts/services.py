"""Writes of accounts: people and teams."""

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person, Role, Team
from postmortem.lib.clock import known_zone
from postmortem.lib.errors import UserError


def create_person(
    *, email: str, name: str, role: str, team: Team | None = None, password: str | None = None, by: Person | None = None
) -> Person:
    """Make an account. Without a password nobody can sign in with it until one is set.

    `by` is None on the command line. Raises UserError (bad or taken e-mail, weak password,
    unknown role), PermissionDenied when `by` is no administrator.
    """
    _require_administrator(by)
    email, name = email.strip().lower(), " ".join(name.split())
    try:
        validate_email(email)
    except ValidationError as error:
        raise UserError(f"“{email[:80]}” is not an e-mail address; write it like name@example.org.") from error
    if not name or len(name) > 120:
        raise UserError("Give the person a name of up to 120 characters.")
    if role not in Role.values:
        raise UserError(f"“{str(role)[:40]}” is not a role; choose one of {', '.join(Role.values)}.")
    if Person.objects.filter(email=email).exists():
        raise UserError(f"{email} has an account already.")
    person = Person(email=email, name=name, role=role, team=team)
    align_staff(person)
    if password is None:
        person.set_unusable_password()
    else:
        try:
            validate_password(password, person)
        except ValidationError as error:
            raise UserError(" ".join(error.messages)) from error
        person.set_password(password)
    try:
        with transaction.atomic():
            person.save(force_insert=True)
            audit.record(
                person=by,
                action="person.create",
                subject=email,
                after={"email": email, "name": name, "role": str(role), "team": team.name if team else None},
            )
    except IntegrityError as error:
        raise UserError(f"{email} has an account already.") from error
    return person


def set_time_zone(*, person: Person, time_zone: str) -> Person:
    """Show `person` their own clock beside UTC. Raises UserError for a name that is no time zone."""
    try:
        known_zone(time_zone)
    except ValueError as error:
        raise UserError(str(error)) from error
    Person.objects.filter(pk=person.pk).update(time_zone=time_zone)
    person.time_zone = time_zone
    return person


def create_team(*, name: str, by: Person | None) -> Team:
    """Make a team. Raises UserError (no name, taken name), PermissionDenied when `by` is no administrator."""
    _require_administrator(by)
    name = " ".join(name.split())
    if not name or len(name) > 120:
        raise UserError("Give the team a name of up to 120 characters.")
    if Team.objects.filter(name__iexact=name).exists():
        raise UserError(f"There is a team called {name} already.")
    try:
        with transaction.atomic():
            team = Team.objects.create(name=name)
            audit.record(person=by, action="team.create", subject=name, after={"name": name})
    except IntegrityError as error:
        raise UserError(f"There is a team called {name} already.") from error
    return team


def merge_teams(*, team: Team, into: Team, by: Person | None) -> int:
    """Move everybody and everything of `team` to `into` and take it away; returns how many people moved.

    Action items stay with their owners. Raises UserError for a team and itself, PermissionDenied when `by` is no
    administrator.
    """
    _require_administrator(by)
    if team.pk == into.pk:
        raise UserError("Choose another team to merge it into.")
    with transaction.atomic():
        moved = team.people.update(team=into)
        features = team.features.update(team=into)
        audit.record(
            person=by, action="team.merge", subject=f"{team.name} into {into.name}"[:200],
            before={"team": team.name}, after={"team": into.name, "people": moved, "features": features},
        )  # fmt: skip
        team.delete()
    return moved


def align_staff(person: Person) -> None:
    """Administrators, and nobody else, may use the administration pages. Does not save."""
    person.is_staff = person.is_superuser = person.role == Role.ADMINISTRATOR


def _require_administrator(by: Person | None) -> None:
    if by is not None and not (by.is_active and by.role == Role.ADMINISTRATOR):
        raise PermissionDenied("You may not change connections, people or teams. Ask an administrator.")
