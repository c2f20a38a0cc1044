"""Writes of the calendar of model retirements: entries of people's own, with their history."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.attribution.models import ModelRetirement, ModelRetirementRevision
from postmortem.attribution.patterns.retirements import Retirement, parse_calendar
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import EditConflict, UserError

_FIELDS = ("retires_on", "source", "replacement", "withdrawn")


def add_retirements(*, by: Person, entries: Sequence[Retirement]) -> tuple[int, int]:
    """Add entries, or correct those of the same model; returns how many are new or changed, and how many stood so."""
    require(by, Capability.IMPORT)
    moved = 0
    with transaction.atomic():
        for entry in entries:
            moved += _put(by, entry)
    return moved, len(entries) - moved


def import_calendar(*, by: Person, filename: str, data: bytes) -> tuple[int, int]:
    """Entries of a JSON or CSV file, all or nothing; the same again changes nothing. Raises UserError."""
    require(by, Capability.IMPORT)
    return add_retirements(by=by, entries=parse_calendar(data, filename))


def change_retirement(
    *, retirement: ModelRetirement, by: Person, entry: Retirement, revision: int, withdrawn: bool = False
) -> ModelRetirement:
    """Correct an entry, withdraw it or take it back into the calendar.

    Raises UserError for another model, EditConflict when somebody was faster.
    """
    require(by, Capability.IMPORT)
    with transaction.atomic():
        stored = ModelRetirement.objects.select_for_update().get(pk=retirement.pk)
        if entry.model != stored.model:
            raise UserError("An entry stays with its model; add another entry for another model.")
        if stored.revision != revision:
            raise EditConflict(
                "Somebody changed this entry first; look at what it says now.",
                current=_fields(stored), revision=stored.revision,
            )  # fmt: skip
        _revise(stored, by, _values(entry) | {"withdrawn": withdrawn})
    return stored


def _put(by: Person, entry: Retirement) -> bool:
    stored = ModelRetirement.objects.select_for_update().filter(model=entry.model).first()
    if stored is not None:
        return _revise(stored, by, _values(entry) | {"withdrawn": False})
    made = ModelRetirement.objects.create(model=entry.model, added_by=by, **_values(entry))
    _keep(made, by, {})
    return True


def _values(entry: Retirement) -> dict[str, Any]:
    return {"retires_on": entry.retires_on, "source": entry.source, "replacement": entry.replacement}


def _revise(stored: ModelRetirement, by: Person, values: dict[str, Any]) -> bool:
    """Whether anything moved."""
    before = _fields(stored)
    for name, value in values.items():
        setattr(stored, name, value)
    if _fields(stored) == before:
        return False
    stored.revision += 1
    stored.save(update_fields=[*values, "revision"])
    _keep(stored, by, before)
    return True


def _keep(stored: ModelRetirement, by: Person, before: dict[str, Any]) -> None:
    ModelRetirementRevision.objects.create(retirement=stored, number=stored.revision, fields=_fields(stored), by=by)
    action = "retirement.change" if before else "retirement.add"
    audit.record(person=by, action=action, subject=stored.model, before=before, after=_fields(stored))


def _fields(stored: ModelRetirement) -> dict[str, Any]:
    return {name: value if isinstance(value := getattr(stored, name), bool) else str(value) for name in _FIELDS}
