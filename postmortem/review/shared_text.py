"""Texts that several people write at the same time: saved as they type, merged, never overwritten in silence."""

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from postmortem.accounts.announcements import announce
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import LAYERS
from postmortem.review.editing import hold_open, telling_lapses
from postmortem.review.merging import merge_texts
from postmortem.review.models import ChecklistAnswer, SharedText, TextVersion
from postmortem.review.question_sets import question_set, version_of

INCIDENT_TEXTS = ("summary", "impact", "decisions_requested", "detection_gap", "lessons")
MEETING_NOTES = "meeting"
MAX_TEXT = 100_000
_ONE_VERSION = timedelta(minutes=1)
_ONE_TOGETHER = timedelta(seconds=10)
_CROWD = 4  # versions in ten seconds, from which on those of several people become one
_REMEMBERED = 4_000  # characters of save ids: about a hundred saves


@dataclass(frozen=True, slots=True)
class TextState:
    """A shared text as it is stored now; `updated_by` is a name, empty when nobody has written it yet."""

    key: str
    text: str
    revision: int
    updated_by: str
    updated_at: datetime | None


def known_key(incident: Incident, key: str) -> str:
    """The key itself. Raises UserError for one that names no text of the incident.

    Keys: `incident.<field>`, `note.<question id>`, `reason.<layer>` (the draft of a verdict's reason), `meeting`.
    """
    kind, _, rest = key.partition(".")
    fits = (
        key == MEETING_NOTES
        or (kind == "incident" and rest in INCIDENT_TEXTS)
        or (kind == "reason" and rest in LAYERS)
        or (kind == "note" and question_set(version_of(incident)).question(rest) is not None)
    )
    if not fits:
        raise UserError(f"The incident has no text “{key[:60]}”; reload the page.")
    return key


_LABELS = {
    "incident.summary": "the summary", "incident.impact": "the impact", "incident.lessons": "the lessons",
    "incident.decisions_requested": "the decisions requested", "incident.detection_gap": "the detection gap",
    MEETING_NOTES: "the notes of the meeting",
}  # fmt: skip


def label_of(key: str) -> str:
    """What a shared text is called among people: "the summary", "the note to retrieval-exposure"."""
    kind, _, rest = key.partition(".")
    words = {"note": f"the note to {rest}", "reason": f"the reason for the verdict on {rest}"}
    return _LABELS.get(key) or words.get(kind) or key


def read_text(incident: Incident, key: str) -> TextState:
    """The text as it is stored now. Raises UserError for an unknown key."""
    return _state(incident, known_key(incident, key))


def read_texts(incident: Incident) -> list[TextState]:
    """Every text that somebody has written together, for a page that was away; four queries."""
    homes = _homes(incident)
    return [
        _state_of(row.key, row, homes) for row in incident.shared_texts.select_related("updated_by").order_by("key")
    ]


def save_text(*, incident: Incident, by: Person, key: str, base: str, text: str, save_id: str = "") -> TextState:
    """Save what somebody made of `base`, merged with what others saved meanwhile.

    `base` is the stored text that the person started from. A `save_id` that was seen before changes nothing: a page
    that never heard the answer may send the same save again. Raises EditConflict when both changed the same words
    (`current` holds the stored text; nothing is written), UserError, PermissionDenied.
    """
    key = known_key(incident, key)
    text, base = _tidy(text), _tidy(base)
    require(by, Capability.REVIEW, incident)
    with transaction.atomic():
        # Everybody who saves waits for this row: each query from here on is one that thirty people wait for.
        kind, _, rest = key.partition(".")
        record = hold_open(incident, *([rest] if kind == "incident" else []))
        row = incident.shared_texts.select_related("updated_by").filter(key=key).first()
        stored = _state_of(key, row, _home(incident, kind, rest, record))
        if save_id and row is not None and _mark(save_id) in row.applied:
            return stored
        merged = merge_texts(base, text, stored.text)
        if merged is None:
            raise EditConflict(
                f"{stored.updated_by or 'Somebody'} changed the same words meanwhile.",
                current={"text": stored.text, "by": stored.updated_by},
                revision=stored.revision,
            )
        if len(merged) > MAX_TEXT:
            raise UserError(f"The text is longer than {MAX_TEXT:,} characters; shorten it or link to a document.")
        if merged == stored.text:
            return stored
        _keep_version(incident, key, stored.text, merged, by, through_here=row is not None and row.text == stored.text)
        # Of all shared texts only notes stand in what a lead signs.
        lapses = telling_lapses(incident, by) if kind == "note" else nullcontext()
        with lapses:
            written = _write(incident, key, row, merged, by, save_id)
        announce(incident.number, f"text {key}")
    return TextState(key, merged, written.revision, by.name, written.updated_at)


def _tidy(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise UserError(f"The text is longer than {MAX_TEXT:,} characters; shorten it or link to a document.")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def note_for_answer(
    incident: Incident, question_id: str, answer: ChecklistAnswer | None, note: str, base: str | None
) -> str:
    """The note that an answer is stored with: `note` merged with what others wrote in it since `base`.

    Without a base nobody can tell what the writer saw: an empty note keeps what was written since the last answer,
    another one raises EditConflict.
    """
    theirs = _state(incident, f"note.{question_id}").text
    if base is not None:
        merged = merge_texts(_tidy(base).strip(), _tidy(note).strip(), theirs)
    else:
        draft = incident.shared_texts.filter(key=f"note.{question_id}").first()
        written_since = draft is not None and (answer is None or draft.updated_at > answer.answered_at)
        merged = note if not written_since or note.strip() == theirs.strip() else None if note.strip() else theirs
    if merged is None:
        raise EditConflict(
            "Somebody changed the note meanwhile; send it again with the note that it was made from.",
            current={"value": answer.value if answer else "", "note": theirs},
            revision=answer.revision if answer else 0,
        )
    return merged


def _state(incident: Incident, key: str) -> TextState:
    kind, _, rest = key.partition(".")
    record = Incident.objects.values(rest).get(pk=incident.pk) if kind == "incident" else {}
    row = incident.shared_texts.select_related("updated_by").filter(key=key).first()
    return _state_of(key, row, _home(incident, kind, rest, record))


@dataclass(frozen=True, slots=True)
class _Homes:
    """Where texts live that are part of the record: they count, whatever door they came through."""

    incident: dict[str, str]
    notes: dict[str, str]
    reasons: dict[str, tuple[str, datetime]]


def _homes(incident: Incident) -> _Homes:
    return _Homes(
        incident=Incident.objects.values(*INCIDENT_TEXTS).get(pk=incident.pk),
        notes=dict(incident.checklist_answers.values_list("question_id", "note")),
        reasons={
            layer: (reason, at) for layer, reason, at in incident.verdicts.values_list("layer", "reason", "decided_at")
        },
    )


def _state_of(key: str, row: SharedText | None, homes: _Homes) -> TextState:
    kind, _, rest = key.partition(".")
    text = row.text if row else ""
    if kind == "incident":
        text = homes.incident[rest]
    elif kind == "note":
        text = homes.notes.get(rest, text)
    elif kind == "reason" and rest in homes.reasons:
        reason, decided_at = homes.reasons[rest]
        if row is None or row.updated_at <= decided_at:  # what was written since is the draft of the next decision
            text = reason
    return TextState(
        key=key,
        text=_tidy(text),
        revision=row.revision if row else 0,
        updated_by=row.updated_by.name if row else "",
        updated_at=row.updated_at if row else None,
    )


def _home(incident: Incident, kind: str, rest: str, record: dict[str, Any]) -> "_Homes":
    """Where one text lives, in at most one query."""
    homes = _Homes(incident=record, notes={}, reasons={})
    if kind == "note":
        homes.notes.update(incident.checklist_answers.filter(question_id=rest).values_list("question_id", "note"))
    elif kind == "reason":
        for reason, at in incident.verdicts.filter(layer=rest).values_list("reason", "decided_at"):
            homes.reasons[rest] = (reason, at)
    return homes


def _write(  # noqa: PLR0917
    incident: Incident, key: str, row: SharedText | None, text: str, by: Person, save_id: str
) -> SharedText:
    now = timezone.now()
    kind, _, rest = key.partition(".")
    row = row or SharedText(incident=incident, key=key, revision=0)
    row.text, row.updated_by, row.updated_at, row.revision = text, by, now, row.revision + 1
    if save_id:
        row.applied = (row.applied + _mark(save_id))[-_REMEMBERED:]
    row.save()
    if kind == "incident":
        Incident.objects.filter(pk=incident.pk).update(**{rest: text}, updated_at=now, revision=F("revision") + 1)
    elif kind == "note":
        incident.checklist_answers.filter(question_id=rest).update(note=text)
    return row


def _mark(save_id: str) -> str:
    return f"{save_id[:40]} "


def _keep_version(incident: Incident, key: str, before: str, after: str, by: Person, *, through_here: bool) -> None:
    """Remember what the text says now. `through_here`: what stood there was itself saved through this module."""
    now = timezone.now()
    latest = list(incident.text_versions.filter(key=key).order_by("-begun_at", "-id").defer("text")[:_CROWD])
    last = latest[0] if latest else None
    if last is None or not through_here:
        # What stood there was written through another door; its words are kept too.
        if before or last is not None:
            TextVersion.objects.create(
                incident=incident, key=key, text=before, written_by=None, begun_at=now, written_at=now
            )
        latest, last = [], None
    if last is not None and last.written_by_id == by.pk and now - last.begun_at < _ONE_VERSION:
        TextVersion.objects.filter(pk=last.pk).update(text=after, written_at=now)
        return
    crowded = len(latest) == _CROWD and now - latest[-1].begun_at < _ONE_TOGETHER
    if crowded and last is not None and last.written_by_id is not None and now - last.begun_at < _ONE_TOGETHER:
        # Many write at once: a copy of the whole text for every line of everybody would grow with its square.
        names = last.together if by.name in last.together else [*last.together, by.name]
        TextVersion.objects.filter(pk=last.pk).update(text=after, written_at=now, together=names)
        return
    TextVersion.objects.create(incident=incident, key=key, text=after, written_by=by, begun_at=now, written_at=now)
