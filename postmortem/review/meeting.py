"""A review meeting: presence, the agenda and its clock, decisions as they fall, concerns raised quietly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from postmortem.accounts import audit
from postmortem.accounts.announcements import announce
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, may, require
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import Layer
from postmortem.review.models import Meeting, MeetingNote, Presence
from postmortem.review.wording import clean_text

PRESENT_FOR = timedelta(seconds=30)
_NOTE_LIMIT = 600
_SHARES = {"opening": 0.12, "layer": 0.13, "detection": 0.10, "factors": 0.14, "actions": 0.12}


@dataclass(frozen=True, slots=True)
class AgendaItem:
    """One item: `key` is opening, a layer, detection, factors or actions; planned and spent time in seconds."""

    key: str
    label: str
    planned_seconds: int
    spent_seconds: int
    is_current: bool
    position: int

    @property
    def layer(self) -> str:
        """The page of the checklist that belongs to the item: a layer's or that of detection, else ""."""
        return self.key if self.key == "detection" or self.key in set(Layer) else ""

    @property
    def left_seconds(self) -> int:
        """Planned time that is left; negative when the item runs over."""
        return self.planned_seconds - self.spent_seconds

    @property
    def planned(self) -> str:
        """Planned time, minutes and seconds."""
        return clock_words(self.planned_seconds)

    @property
    def spent(self) -> str:
        """Spent time, minutes and seconds."""
        return clock_words(self.spent_seconds)

    @property
    def left(self) -> str:
        """Time that is left, minutes and seconds."""
        return clock_words(self.left_seconds)


@dataclass(frozen=True, slots=True)
class MeetingState:
    """A meeting as it stands at `now`."""

    meeting: Meeting
    items: list[AgendaItem]
    now: datetime

    @property
    def current(self) -> AgendaItem | None:
        """The item under discussion; None when the meeting is over."""
        return next((item for item in self.items if item.is_current), None)

    @property
    def planned_seconds(self) -> int:
        """Sum of the planned times."""
        return sum(item.planned_seconds for item in self.items)


@dataclass(frozen=True, slots=True)
class Present:
    """Somebody who has a page of the incident open, where, and the text that has their cursor."""

    person_id: int
    name: str
    initials: str
    place: str
    field: str


def clock_words(seconds: int) -> str:
    """Seconds as "12:05"; "−0:30" when over."""
    sign = "−" if seconds < 0 else ""
    return f"{sign}{abs(seconds) // 60}:{abs(seconds) % 60:02d}"


def open_meeting(incident: Incident) -> Meeting | None:
    """The meeting that is going on."""
    return incident.meetings.filter(ended_at__isnull=True).select_related("started_by").first()


def meeting_state(meeting: Meeting, *, now: datetime | None = None) -> MeetingState:
    """The agenda with the time spent on each item, the running one included."""
    now = now or meeting.ended_at or timezone.now()
    items = []
    for position, row in enumerate(meeting.agenda):
        current = position == meeting.position and meeting.ended_at is None
        running = max(0.0, (now - meeting.position_since).total_seconds()) if current else 0.0
        items.append(
            AgendaItem(
                key=row["key"],
                label=row["label"],
                planned_seconds=round(row["minutes"] * 60),
                spent_seconds=round(row["spent_seconds"] + running),
                is_current=current,
                position=position,
            )
        )
    return MeetingState(meeting, items, now)


def start_meeting(*, incident: Incident, by: Person, layers: list[Layer], minutes: int = 60) -> Meeting:
    """Open a meeting of `minutes` with an agenda that discusses the layers in the order given.

    Raises UserError when one is going on or the length is not 15 to 240, PermissionDenied.
    """
    require(by, Capability.MANAGE, incident)
    if not 15 <= minutes <= 240:
        raise UserError("A review meeting lasts from 15 to 240 minutes; choose a length in between.")
    parts = [
        ("opening", "What happened", _SHARES["opening"]),
        *((layer.value, f"{layer.label} layer", _SHARES["layer"]) for layer in layers),
        ("detection", "Detection: who should have told us", _SHARES["detection"]),
        ("factors", "Contributing factors and graph", _SHARES["factors"]),
        ("actions", "Actions, owners, dates", _SHARES["actions"]),
    ]
    total = sum(share for *_, share in parts)
    agenda = [
        {"key": key, "label": label, "minutes": round(minutes * share / total, 2), "spent_seconds": 0}
        for key, label, share in parts
    ]
    try:
        with _telling(incident, by, "meeting.start", f"{minutes} minutes"):
            return Meeting.objects.create(incident=incident, started_by=by, agenda=agenda)
    except IntegrityError:
        raise UserError("A meeting on this incident is going on already; join it.") from None


def move_to(*, meeting: Meeting, by: Person, position: int, revision: int) -> Meeting:
    """Go to an agenda item; the time so far is added to the item that is left.

    Raises EditConflict when somebody moved on meanwhile, UserError, PermissionDenied.
    """
    require(by, Capability.MANAGE, meeting.incident)
    if not 0 <= position < len(meeting.agenda):
        raise UserError("The agenda has no such item; reload the page.")
    with _telling(meeting.incident, by, "meeting.move", meeting.agenda[position]["label"]):
        _advance(meeting, revision, {"position": position})
    return Meeting.objects.select_related("started_by", "incident").get(pk=meeting.pk)


def end_meeting(*, meeting: Meeting, by: Person, revision: int) -> Meeting:
    """Close the meeting; its notes and times stay. Raises EditConflict, PermissionDenied."""
    require(by, Capability.MANAGE, meeting.incident)
    with _telling(meeting.incident, by, "meeting.end", "", meeting.pk):
        _advance(meeting, revision, {"ended_at": timezone.now()})
    return Meeting.objects.select_related("started_by", "incident").get(pk=meeting.pk)


def resume_meeting(*, meeting: Meeting, by: Person) -> Meeting:
    """Go on with a meeting that was ended too early; the time between does not count. Raises UserError.

    PermissionDenied unless `by` may lead.
    """
    require(by, Capability.MANAGE, meeting.incident)
    try:
        with _telling(meeting.incident, by, "meeting.resume", "", meeting.pk):
            Meeting.objects.filter(pk=meeting.pk, ended_at__isnull=False).update(
                ended_at=None, position_since=timezone.now(), revision=F("revision") + 1
            )
    except IntegrityError:
        raise UserError("Another meeting on this incident is going on; end that one first.") from None
    return Meeting.objects.select_related("started_by", "incident").get(pk=meeting.pk)


def note_decision(*, meeting: Meeting, by: Person, text: str) -> MeetingNote:
    """Write down a decision as it falls. Raises UserError, PermissionDenied."""
    require(by, Capability.REVIEW, meeting.incident)
    text = clean_text(text, what="The decision", limit=_NOTE_LIMIT)
    with transaction.atomic():
        note = MeetingNote.objects.create(
            meeting=_still_open(meeting), kind=MeetingNote.Kind.DECISION, item=_item(meeting), text=text, written_by=by
        )
        _tell(meeting.incident, by, "meeting.decision", note.text, note.pk, after=_decision_values(note))
    return note


def take_back_decision(*, note: MeetingNote, by: Person) -> None:
    """Strike a decision that was noted in error; the history keeps it. Raises PermissionDenied."""
    incident = note.meeting.incident
    require(by, Capability.REVIEW, incident)
    pk = note.pk
    with transaction.atomic():
        deleted, _ = MeetingNote.objects.filter(pk=pk, kind=MeetingNote.Kind.DECISION).delete()
        if deleted:
            _tell(incident, by, "meeting.undecide", note.text, pk, before=_decision_values(note))


def restore_decision(*, incident: Incident, by: Person, values: dict[str, Any], pk: int) -> MeetingNote:
    """Put a decision back that was struck, under its old id and its writer's name. Raises UserError when it is there.

    `values` are those that the history keeps.
    """
    require(by, Capability.REVIEW, incident)
    meeting = incident.meetings.filter(pk=values["meeting_id"]).first()
    if meeting is None or MeetingNote.objects.filter(pk=pk).exists():
        raise UserError("This decision stands already, or its meeting is gone.")
    with transaction.atomic():
        note = MeetingNote.objects.create(
            pk=pk, meeting=meeting, kind=MeetingNote.Kind.DECISION, item=values["item"], text=values["text"],
            written_by_id=values["written_by_id"], written_at=values["written_at"],
        )  # fmt: skip
        _tell(incident, by, "meeting.decision", note.text, note.pk, after=values)
    return note


def raise_concern(*, meeting: Meeting, by: Person, text: str, named: bool = True) -> MeetingNote:
    """Tell the facilitator something without speaking up; without a name if so wished.

    The history says that a concern was raised, not what or, unless named, by whom.
    """
    require(by, Capability.VIEW, meeting.incident)
    text = clean_text(text, what="The concern", limit=_NOTE_LIMIT)
    with _telling(meeting.incident, by if named else None, "meeting.concern", "a concern"):
        return MeetingNote.objects.create(
            meeting=_still_open(meeting),
            kind=MeetingNote.Kind.CONCERN,
            item=_item(meeting),
            text=text,
            written_by=by if named else None,
        )


def settle_concern(*, note: MeetingNote, by: Person, settled: bool = True) -> None:
    """Mark a concern as dealt with, or as open again. Settling it twice changes nothing."""
    incident = note.meeting.incident
    require(by, Capability.MANAGE, incident)
    values = {"settled_by": by, "settled_at": timezone.now()} if settled else {"settled_by": None, "settled_at": None}
    with transaction.atomic():
        rows = MeetingNote.objects.filter(pk=note.pk, kind=MeetingNote.Kind.CONCERN, settled_at__isnull=settled).update(
            **values
        )
        if rows:
            _tell(incident, by, "meeting.settle" if settled else "meeting.unsettle", "a concern", note.pk)


def meeting_notes(meeting: Meeting, person: Person) -> QuerySet[MeetingNote]:
    """Decisions for everybody; concerns for the facilitator and whoever raised them by name."""
    notes = meeting.notes.select_related("written_by", "settled_by")
    if may(person, Capability.MANAGE, meeting.incident):
        return notes
    return notes.filter(Q(kind=MeetingNote.Kind.DECISION) | Q(written_by=person))


def be_present(*, incident: Incident, by: Person, tab: str, place: str = "", field: str = "") -> None:
    """Say that `by` has a page open, where, and which text has the cursor; `tab` tells pages apart."""
    require(by, Capability.VIEW, incident)
    tab, place, field = tab[:40], place[:60], field[:80]
    now = timezone.now()
    before = incident.presences.filter(tab=tab, person=by).values_list("place", "field", "seen_at").first()
    Presence.objects.update_or_create(
        incident=incident, tab=tab, defaults={"person": by, "place": place, "field": field, "seen_at": now}
    )
    gone = before is None or before[2] < now - PRESENT_FOR
    if gone or before[:2] != (place, field):
        incident.presences.filter(seen_at__lt=now - 10 * PRESENT_FOR).delete()
        announce(incident.number, "presence")


def leave(*, incident: Incident, by: Person, tab: str) -> None:
    """The page was closed."""
    if incident.presences.filter(tab=tab[:40], person=by).delete()[0]:
        announce(incident.number, "presence")


def present(incident: Incident) -> list[Present]:
    """Who is here now: one entry a person, the page with the cursor in a text first. One query."""
    rows = (
        incident.presences.filter(seen_at__gte=timezone.now() - PRESENT_FOR)
        .select_related("person")
        .order_by("person__name", "-seen_at")
    )
    found: dict[int, Present] = {}
    for row in rows:
        known = found.get(row.person_id)
        if known is None or (row.field and not known.field):
            found[row.person_id] = Present(row.person_id, row.person.name, row.person.initials, row.place, row.field)
    return list(found.values())


def _advance(meeting: Meeting, revision: int, changes: dict[str, object]) -> None:
    stored = Meeting.objects.get(pk=meeting.pk)
    agenda = stored.agenda
    agenda[stored.position]["spent_seconds"] = meeting_state(stored).items[stored.position].spent_seconds
    rows = Meeting.objects.filter(pk=meeting.pk, revision=revision, ended_at__isnull=True).update(
        **{"position_since": timezone.now(), "agenda": agenda, "revision": F("revision") + 1} | changes
    )
    if not rows:
        raise EditConflict(
            "Somebody moved the meeting on meanwhile; the page shows where it is now.",
            current={"position": stored.position, "ended": stored.ended_at is not None},
            revision=stored.revision,
        )


def _still_open(meeting: Meeting) -> Meeting:
    if Meeting.objects.filter(pk=meeting.pk, ended_at__isnull=False).exists():
        raise UserError("The meeting is over; write it on the timeline or start another meeting.")
    return meeting


def _item(meeting: Meeting) -> str:
    position = Meeting.objects.values_list("position", flat=True).get(pk=meeting.pk)
    return str(meeting.agenda[position]["label"])


def _decision_values(note: MeetingNote) -> dict[str, Any]:
    return {
        "text": note.text, "item": note.item, "meeting_id": note.meeting_id, "written_by_id": note.written_by_id,
        "written_at": note.written_at.isoformat(),
    }  # fmt: skip


def _tell(
    incident: Incident, by: Person | None, action: str, subject: str, pk: int | None, **values: dict[str, Any]
) -> None:
    audit.record(
        person=by, action=action, subject=subject, incident_number=incident.number, object_id=pk, **values
    )  # fmt: skip
    announce(incident.number, "meeting")


@contextmanager
def _telling(incident: Incident, by: Person | None, action: str, subject: str, pk: int | None = None) -> Iterator[None]:
    with transaction.atomic():
        yield
        _tell(incident, by, action, subject, pk)
