"""People's hands on the timeline: notes, and marks on assembled entries. Nothing is deleted; every edit has history."""

import re
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident, TimelineEntry, TimelineMark
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.states import refuse_published
from postmortem.lib.clock import format_moment, parse_moment
from postmortem.lib.errors import EditConflict, UserError

_MAX_TEXT = 5_000
_KEY = re.compile(r"(change|rollout|signal|unlogged)\.[\w.:-]{1,60}")


def add_timeline_entry(
    *, incident: Incident, by: Person, at: datetime, text: str, kind: str = TimelineEntry.Kind.NOTE
) -> TimelineEntry:
    """Write a note at a moment (UTC; a moment without zone is taken as UTC). `kind`: note, alert, report, response.

    Raises UserError (empty or over 5,000 characters, unknown kind, published), PermissionDenied.
    """
    require(by, Capability.REVIEW, incident)
    refuse_published(incident)
    text, kind = _checked_text(text), _checked_kind(kind)
    at = _as_utc(at)
    with transaction.atomic():
        entry = TimelineEntry.objects.create(incident=incident, at=at, text=text, kind=kind, written_by=by)
        _log(by, incident, "timeline.add", text, {}, entry_values(entry), entry.pk)
    return entry


def correct_timeline_entry(
    *, entry: TimelineEntry, by: Person, revision: int | None = None, **fields: Any
) -> TimelineEntry:
    """Change a note's `at`, `text` or `kind`; the history keeps what it said.

    `revision` is what the person saw (None: that of `entry` as it was read). Raises EditConflict when somebody
    saved meanwhile, UserError, PermissionDenied.
    """
    if unknown := set(fields) - {"at", "text", "kind"}:
        raise UserError(f"A timeline note has no field {', '.join(sorted(unknown))}.")
    if "text" in fields:
        fields["text"] = _checked_text(fields["text"])
    if "kind" in fields:
        fields["kind"] = _checked_kind(fields["kind"])
    if "at" in fields:
        fields["at"] = _as_utc(fields["at"])
    return _change_entry(entry, by, "timeline.correct", entry.revision if revision is None else revision, fields)


def hide_timeline_entry(*, entry: TimelineEntry, by: Person) -> TimelineEntry:
    """Take a note off the timeline; it can come back. Raises UserError (published), PermissionDenied."""
    return _change_entry(entry, by, "timeline.hide", None, {"hidden": True})


def restore_timeline_entry(*, entry: TimelineEntry, by: Person) -> TimelineEntry:
    """Put a hidden note back. Raises UserError (published), PermissionDenied."""
    return _change_entry(entry, by, "timeline.restore", None, {"hidden": False})


def pin_timeline_entry(*, entry: TimelineEntry, by: Person, pinned: bool) -> TimelineEntry:
    """Pin a note, so that the short timeline shows it, or take the pin out. Raises UserError, PermissionDenied."""
    return _change_entry(entry, by, "timeline.pin" if pinned else "timeline.unpin", None, {"pinned": pinned})


def mark_timeline_item(
    *,
    incident: Incident,
    by: Person,
    key: str,
    subject: str,
    pinned: bool | None = None,
    hidden: bool | None = None,
    at: datetime | str | None = None,
    text: str | None = None,
    revision: int | None = None,
) -> TimelineMark:
    """Pin, hide or correct an assembled entry; what it was assembled from stays as it is.

    What is None stays as it was; `at` or `text` "" goes back to what was assembled. `subject` is how the history
    calls the entry. `revision` is what the person saw, 0 when nobody had marked it, None to mark it in any case.
    Raises EditConflict, UserError (unknown key, published), PermissionDenied.
    """
    require(by, Capability.REVIEW, incident)
    refuse_published(incident)
    if not _KEY.fullmatch(key):
        raise UserError("The timeline has no such entry; reload the page.")
    fields: dict[str, Any] = {}
    if pinned is not None:
        fields["pinned"] = pinned
    if hidden is not None:
        fields["hidden"] = hidden
    if text is not None:
        fields["text"] = _checked_text(text) if text.strip() else ""
    if at is not None:
        fields["at"] = None if at == "" else _as_utc(parse_moment(at) if isinstance(at, str) else at)
    with transaction.atomic():
        Incident.objects.select_for_update(no_key=True).filter(pk=incident.pk).first()
        mark, _ = TimelineMark.objects.get_or_create(incident=incident, key=key, defaults={"revision": 0})
        if revision is not None and mark.revision != revision:
            raise EditConflict(
                "Somebody changed this entry since you opened it; compare both and save again.",
                current=mark_values(mark),
                revision=mark.revision,
            )
        before = mark_values(mark)
        for name, value in fields.items():
            setattr(mark, name, value)
        if mark_values(mark) != before:
            mark.revision += 1
            mark.save()
            _log(by, incident, "timeline.mark", subject, before | {"key": key}, mark_values(mark), mark.pk)
    return mark


def entry_values(entry: TimelineEntry) -> dict[str, Any]:
    """A note as JSON values, for the audit log and for conflicts."""
    return {"at": format_moment(entry.at), "text": entry.text, "kind": str(entry.kind)}


def mark_values(mark: TimelineMark) -> dict[str, Any]:
    """A mark as JSON values, for the audit log and for conflicts."""
    at = format_moment(mark.at) if mark.at else ""
    return {"pinned": mark.pinned, "hidden": mark.hidden, "at": at, "text": mark.text}


def _change_entry(
    entry: TimelineEntry, by: Person, action: str, revision: int | None, fields: dict[str, Any]
) -> TimelineEntry:
    incident = entry.incident
    require(by, Capability.REVIEW, incident)
    refuse_published(incident)
    with transaction.atomic():
        stored = TimelineEntry.objects.select_for_update(of=("self",)).get(pk=entry.pk)
        changed = {name: value for name, value in fields.items() if getattr(stored, name) != value}
        if changed:
            before = entry_values(stored)
            rows = TimelineEntry.objects.filter(
                pk=stored.pk, revision=stored.revision if revision is None else revision
            )
            if not rows.update(**changed, revision=F("revision") + 1):
                raise EditConflict(
                    "Somebody changed this note since you opened it; compare both and save again.",
                    current=before,
                    revision=stored.revision,
                )
            stored.refresh_from_db()
            after = entry_values(stored)
            differing = {name: value for name, value in after.items() if before[name] != value}
            _log(by, incident, action, stored.text, {name: before[name] for name in differing}, differing, stored.pk)
    for name in (*fields, "revision"):
        setattr(entry, name, getattr(stored, name))
    return entry


def _log(  # noqa: PLR0917
    by: Person, incident: Incident, action: str, subject: str, before: dict[str, Any], after: dict[str, Any], pk: int
) -> None:
    audit.record(
        person=by, action=action, subject=subject[:200], incident_number=incident.number,
        before=before, after=after, object_id=pk,
    )  # fmt: skip


def _checked_text(text: str) -> str:
    text = text.replace("\0", "").strip()
    if not text:
        raise UserError("Write what happened at that moment.")
    if len(text) > _MAX_TEXT:
        raise UserError(f"A timeline note holds up to {_MAX_TEXT:,} characters; shorten it.")
    return text


def _checked_kind(kind: str) -> str:
    if kind not in TimelineEntry.Kind.values:
        raise UserError(f"“{str(kind)[:40]}” is no kind of note; choose {', '.join(TimelineEntry.Kind.values)}.")
    return str(kind)


def _as_utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
