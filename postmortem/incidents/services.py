"""Writes of incidents: opening, editing, moving through its states."""

import re
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import (
    Feature,
    Incident,
    NumberCounter,
    Participant,
    ParticipantRole,
    Status,
    Visibility,
    Worse,
)
from postmortem.incidents.people import remove_participant, set_participant
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.states import mark_published, refuse_published, reopen_for_correction
from postmortem.incidents.timeline import (
    add_timeline_entry,
    correct_timeline_entry,
    hide_timeline_entry,
    mark_timeline_item,
    pin_timeline_entry,
    restore_timeline_entry,
)
from postmortem.lib.clock import format_moment, utc_now
from postmortem.lib.errors import EditConflict, UserError

__all__ = [
    "add_timeline_entry",
    "correct_timeline_entry",
    "create_incident",
    "hide_timeline_entry",
    "mark_published",
    "mark_timeline_item",
    "pin_timeline_entry",
    "refuse_published",
    "remove_participant",
    "reopen_for_correction",
    "restore_timeline_entry",
    "set_participant",
    "update_incident",
]

_NUMBER = re.compile(r"INC-(\d{4})-(\d{4,6})")
_MAX_TEXT = 100_000

_TEXTS = ("summary", "impact", "decisions_requested", "detection_gap", "lessons")
_WINDOWS = ("baseline_start", "baseline_end", "incident_start", "incident_end")
_TIMES = {
    "latent_since": "latent since",
    "onset_at": "onset",
    "detected_at": "detection",
    "mitigated_at": "mitigation",
    "recovered_at": "recovery of the signal",
    "users_recovered_at": "recovery of the users",
    "resolved_at": "resolution",
}
# Detection may follow mitigation: some incidents are over before anybody notices.
_ORDER = (
    ("latent_since", "onset_at"), ("onset_at", "detected_at"), ("onset_at", "mitigated_at"),
    ("mitigated_at", "recovered_at"), ("mitigated_at", "users_recovered_at"), ("mitigated_at", "resolved_at"),
    ("detected_at", "resolved_at"),
)  # fmt: skip
EDITABLE = frozenset(
    {
        "title", "feature", "feature_name", "severity", "status", "visibility", "affected_people", "suspected_layer",
        "signal", "worse", "trace_name", "environment", *_TEXTS, *_WINDOWS, *_TIMES,
    }
)  # fmt: skip


def create_incident(
    *,
    by: Person,
    title: str,
    severity: str,
    feature: Feature | None = None,
    feature_name: str = "",
    visibility: str = Visibility.EVERYONE,
    signal: str = "",
    worse: str = Worse.LOWER,
    trace_name: str = "",
    environment: str = "",
    detected_at: datetime | None = None,
    number: str | None = None,
    simulated: bool = False,
) -> Incident:
    """Open an incident; `by` becomes its facilitator.

    The feature is given, or found or made by name; empty trace name and environment come from it.
    `number` is given out as the next of the year unless stated (INC-2026-0001).
    Raises UserError for bad values or a number that is taken, PermissionDenied for a viewer.
    """
    require(by, Capability.CREATE)
    with transaction.atomic():
        feature = feature or _feature_named(feature_name)
        incident = Incident(
            title=title.strip(),
            feature=feature,
            severity=severity,
            visibility=visibility,
            signal=signal.strip(),
            worse=worse,
            trace_name=trace_name.strip() or feature.trace_name,
            environment=environment.strip() or feature.environment,
            detected_at=_as_utc(detected_at),
            simulated=simulated,
            created_by=by,
        )
        _clean(incident, exclude={"number"})
        incident.number = _claim_number(number) if number else _next_number(utc_now().year)
        incident.save(force_insert=True)
        Participant.objects.create(incident=incident, person=by, role=ParticipantRole.FACILITATOR)
        audit.record(
            person=by,
            action="incident.create",
            subject=str(incident),
            incident_number=incident.number,
            after={"title": incident.title, "feature": feature.name, "severity": severity, "visibility": visibility},
        )
    return incident


def update_incident(*, incident: Incident, by: Person, revision: int, **fields: Any) -> Incident:
    """Change fields of a draft; returns the incident as it is stored now.

    `fields` are those of EDITABLE; `feature_name` finds or makes the feature. Visibility needs
    the right to manage and stays open after publication, everything else does not.
    Raises UserError (bad value, wrong order, published), EditConflict (somebody saved first,
    `current` holds the stored values of `fields`), PermissionDenied.
    """
    unknown = set(fields) - EDITABLE
    if unknown:
        raise UserError(f"An incident has no field {sorted(unknown)[0]} that can be edited.")
    if set(fields) - {"visibility"}:
        require(by, Capability.REVIEW, incident)
    if "visibility" in fields:
        require(by, Capability.MANAGE, incident)
    with transaction.atomic():
        stored = Incident.objects.select_related("feature").get(pk=incident.pk)
        if set(fields) - {"visibility"}:
            refuse_published(stored)
        if stored.revision != revision:
            raise _conflict(stored, fields)
        if "feature_name" in fields:
            fields["feature"] = _feature_named(fields.pop("feature_name"))
        before = {name: getattr(stored, name) for name in fields}
        for name, value in fields.items():
            setattr(stored, name, _tidy(value))
        _clean(stored, exclude={"number", "created_by"})
        if stored.status == Status.PUBLISHED and "status" in fields:
            raise UserError("An incident is published from its Report page, once nothing is missing.")
        changed = {name: getattr(stored, name) for name in fields if getattr(stored, name) != before[name]}
        if not changed:
            return stored
        rows = Incident.objects.filter(pk=stored.pk, revision=revision).update(
            **changed, updated_at=utc_now(), revision=F("revision") + 1
        )
        if not rows:
            raise _conflict(Incident.objects.select_related("feature").get(pk=stored.pk), fields)
        audit.record(
            person=by,
            action="incident.update",
            subject=str(stored),
            incident_number=stored.number,
            before={name: _plain(before[name]) for name in changed},
            after={name: _plain(value) for name, value in changed.items()},
        )
    return Incident.objects.select_related("feature__team", "created_by").get(pk=stored.pk)


def _next_number(year: int) -> str:
    """Count up and format. The UPDATE locks the year's row until the transaction ends, on both engines."""
    NumberCounter.objects.get_or_create(year=year)
    while True:
        NumberCounter.objects.filter(year=year).update(last=F("last") + 1)
        number = f"INC-{year}-{NumberCounter.objects.get(year=year).last:04d}"
        if not Incident.objects.filter(number=number).exists():
            return number


def _claim_number(number: str) -> str:
    match = _NUMBER.fullmatch(number)
    if not match:
        raise UserError(f"“{number[:30]}” is not an incident number; write it like INC-2026-0001.")
    year, count = int(match[1]), int(match[2])
    NumberCounter.objects.get_or_create(year=year)
    # Also takes the year's row, so that two claims of one number queue and the second is refused.
    NumberCounter.objects.filter(year=year).update(last=F("last"))
    if Incident.objects.filter(number=number).exists():
        raise UserError(f"{number} exists already; leave the number out to get the next free one.")
    NumberCounter.objects.filter(year=year, last__lt=count).update(last=count)
    return number


def _feature_named(name: str) -> Feature:
    name = " ".join(str(name).split())
    if not name:
        raise UserError("Name the AI feature that the incident is about.")
    if len(name) > 120:
        raise UserError("The name of the feature is longer than 120 characters; shorten it.")
    existing = Feature.objects.filter(name__iexact=name).order_by("id").first()
    if existing:
        return existing
    try:
        with transaction.atomic():
            return Feature.objects.create(name=name)
    except IntegrityError:
        return Feature.objects.get(name=name)


def _clean(incident: Incident, *, exclude: set[str]) -> None:
    """Raise UserError with the first thing that is wrong."""
    if not incident.title:
        raise UserError("Give the incident a title: what people saw, in a few words.")
    for name in _TEXTS:
        if len(getattr(incident, name)) > _MAX_TEXT:
            raise UserError(
                f"{name.replace('_', ' ').capitalize()} is longer than {_MAX_TEXT:,} characters; shorten it."
            )
    try:
        incident.clean_fields(exclude=exclude)
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        raise UserError(f"{name.replace('_', ' ').capitalize()}: {messages[0]}") from error
    for name in (*_TIMES, *_WINDOWS):
        setattr(incident, name, _as_utc(getattr(incident, name)))
    _check_order(incident)


def _check_order(incident: Incident) -> None:
    for earlier, later in _ORDER:
        first, second = getattr(incident, earlier), getattr(incident, later)
        if first and second and second < first:
            raise UserError(
                f"The time of {_TIMES[later]} ({_show(second)}) is before that of {_TIMES[earlier]} ({_show(first)});"
                " correct one of them."
            )
    for window in ("baseline", "incident"):
        start, end = getattr(incident, f"{window}_start"), getattr(incident, f"{window}_end")
        if (start is None) != (end is None):
            raise UserError(f"Give both the start and the end of the {window} window, or neither.")
        if start and end and end <= start:
            raise UserError(f"The {window} window ends ({_show(end)}) before it starts ({_show(start)}); correct one.")
    if incident.baseline_end and incident.incident_start and incident.baseline_end > incident.incident_start:
        raise UserError(
            f"The baseline window ends ({_show(incident.baseline_end)}) after the incident window starts"
            f" ({_show(incident.incident_start)}); end the baseline before the incident."
        )


def _conflict(stored: Incident, fields: dict[str, Any]) -> EditConflict:
    current = {
        name: stored.feature.name if name in ("feature", "feature_name") else _plain(getattr(stored, name))
        for name in fields
    }
    return EditConflict(
        "Somebody saved this incident after you opened it; compare both and save again.",
        current=current,
        revision=stored.revision,
    )


def _tidy(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _as_utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _show(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _plain(value: Any) -> Any:
    """A JSON value for the audit log and for conflicts."""
    if isinstance(value, datetime):
        return format_moment(value)
    return value.name if isinstance(value, Feature) else value
