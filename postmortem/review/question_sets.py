"""Versions of the questions: those that come with the workbench, and those that administrators made from them."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import IntegrityError, transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.states import refuse_published
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import canonical_json
from postmortem.review.checklist import CURRENT_VERSION, Checklist, built_in_data, built_in_versions, parse_checklist
from postmortem.review.models import ChecklistPin, ChecklistVersion

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,19}")
_MOST_BYTES = 400_000


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version as a list shows it; a built-in one has no maker."""

    version: str
    made_by: str
    made_at: datetime | None
    note: str
    question_count: int
    is_current: bool


def question_set(version: str) -> Checklist:
    """The questions of that version. Raises ValueError for an unknown one."""
    return _parsed(version)


def question_data(version: str) -> dict[str, Any]:
    """The version as the JSON object that it was made from. Raises ValueError for an unknown one."""
    if version in built_in_versions():
        return built_in_data(version)
    stored = ChecklistVersion.objects.filter(version=version).first()
    if stored is None:
        raise ValueError(f"There is no checklist version “{version[:40]}”.")
    data: dict[str, Any] = stored.data
    return data


def current_version() -> str:
    """What new incidents are answered by: the newest that administrators made, else the newest built in."""
    newest = ChecklistVersion.objects.order_by("-id").values_list("version", flat=True).first()
    return newest or CURRENT_VERSION


def versions() -> list[VersionLine]:
    """Every version, newest first; one query besides the questions themselves."""
    current = current_version()
    made = ChecklistVersion.objects.select_related("made_by").order_by("-id")
    lines = [
        VersionLine(row.version, row.made_by.name, row.made_at, row.note, _count(row.version), row.version == current)
        for row in made
    ]
    built_in = sorted(built_in_versions(), reverse=True)
    return lines + [
        VersionLine(name, "", None, "comes with the workbench", _count(name), name == current) for name in built_in
    ]


def version_of(incident: Incident) -> str:
    """The version that the incident is pinned to: chosen, else that of its first answer, else the current one."""
    pinned = ChecklistPin.objects.filter(incident=incident).values_list("version", flat=True).first()
    if pinned:
        return pinned
    first = incident.checklist_answers.order_by("id").values_list("checklist_version", flat=True).first()
    return first or current_version()


def publish_version(*, by: Person, version: str, data: Any, note: str = "") -> ChecklistVersion:
    """Keep a new version of the questions; new incidents are answered by it, others stay with theirs.

    `data` is the object of a checklist file. Versions are never changed. Raises UserError (name, shape, too large,
    taken), PermissionDenied unless `by` is an administrator.
    """
    require(by, Capability.CONFIGURE)
    version, note = version.strip().lower(), " ".join(note.split())[:300]
    if not _NAME.fullmatch(version):
        raise UserError("Name the version with up to 20 letters, digits, dots and dashes, for example 2026-3.")
    if isinstance(data, dict):
        data = data | {"version": version}
    try:
        parse_checklist(data)
        size = len(canonical_json(data))
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error
    if size > _MOST_BYTES:
        raise UserError(f"The questions take more than {_MOST_BYTES:,} bytes; shorten them.")
    if version in built_in_versions():
        raise UserError(f"{version} comes with the workbench; choose another name.")
    try:
        with transaction.atomic():
            stored = ChecklistVersion.objects.create(version=version, data=data, note=note, made_by=by)
            audit.record(person=by, action="checklist.publish", subject=version, after={"note": note})
    except IntegrityError as error:
        raise UserError(f"There is a version {version} already, and versions never change; choose another.") from error
    return stored


def pin_version(*, incident: Incident, by: Person, version: str) -> str:
    """Answer `incident` by another version from now on; answers to questions that it lacks are kept, not shown.

    Raises UserError (unknown version, published), PermissionDenied (facilitators).
    """
    require(by, Capability.MANAGE, incident)
    refuse_published(incident)
    try:
        question_set(version)
    except ValueError as error:
        raise UserError(str(error)) from error
    before = version_of(incident)
    with transaction.atomic():
        ChecklistPin.objects.update_or_create(incident=incident, defaults={"version": version})
        if before != version:
            audit.record(
                person=by, action="answer.version", subject=version, incident_number=incident.number,
                before={"version": before}, after={"version": version},
            )  # fmt: skip
    return version


@lru_cache(maxsize=64)
def _parsed(version: str) -> Checklist:
    return parse_checklist(question_data(version))


def _count(version: str) -> int:
    checklist = question_set(version)
    return sum(len(questions) for questions in checklist.sections.values()) + len(checklist.detection)
