"""Texts that several people write at the same time: saved as they type, merged, never overwritten in silence."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F
from django.utils import timezone

from postmortem.accounts.announcements import announce
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import LAYERS
from postmortem.review.checklist import CURRENT_VERSION, load_checklist
from postmortem.review.editing import editing
from postmortem.review.merging import merge_texts
from postmortem.review.models import SharedText, TextVersion

INCIDENT_TEXTS = ("summary", "impact", "decisions_requested", "detection_gap", "lessons")
MEETING_NOTES = "meeting"
MAX_TEXT = 100_000
_ONE_VERSION = timedelta(minutes=1)


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
    version = incident.checklist_answers.values_list("checklist_version", flat=True).first() or CURRENT_VERSION
    fits = (
        key == MEETING_NOTES
        or (kind == "incident" and rest in INCIDENT_TEXTS)
        or (kind == "reason" and rest in LAYERS)
        or (kind == "note" and load_checklist(version).question(rest) is not None)
    )
    if not fits:
        raise UserError(f"The incident has no text “{key[:60]}”; reload the page.")
    return key


def read_text(incident: Incident, key: str) -> TextState:
    """The text as it is stored now. Raises UserError for an unknown key."""
    return _state(incident, known_key(incident, key))


def read_texts(incident: Incident) -> list[TextState]:
    """Every text that somebody has written together, for a page that was away; two queries."""
    rows = {row.key: row for row in incident.shared_texts.select_related("updated_by")}
    answers = dict(incident.checklist_answers.values_list("question_id", "note"))
    return [_merged(incident, key, row, answers) for key, row in sorted(rows.items())]


def save_text(*, incident: Incident, by: Person, key: str, base: str, text: str) -> TextState:
    """Save what somebody made of `base`, merged with what others saved meanwhile.

    `base` is the stored text that the person started from. Raises EditConflict when both changed the same words
    (`current` holds the stored text; nothing is written), UserError, PermissionDenied.
    """
    key = known_key(incident, key)
    text, base = _tidy(text), _tidy(base)
    with editing(incident, by):
        stored = _state(incident, key)
        merged = merge_texts(base, text, stored.text).text
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
        _keep_version(incident, key, stored.text, merged, by)
        _write(incident, key, merged, by)
        announce(incident.number, f"text {key}")
        return _state(incident, key)


def _tidy(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise UserError(f"The text is longer than {MAX_TEXT:,} characters; shorten it or link to a document.")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _state(incident: Incident, key: str) -> TextState:
    row = incident.shared_texts.select_related("updated_by").filter(key=key).first()
    answers = {}
    if key.startswith("note."):
        answers = dict(incident.checklist_answers.filter(question_id=key[5:]).values_list("question_id", "note"))
    return _merged(incident, key, row, answers)


def _merged(incident: Incident, key: str, row: SharedText | None, answers: dict[str, str]) -> TextState:
    """Where the text has a home of its own (the incident, an answer), that is what counts."""
    kind, _, rest = key.partition(".")
    text = row.text if row else ""
    if kind == "incident":
        text = str(Incident.objects.values_list(rest, flat=True).get(pk=incident.pk))
    elif rest in answers:
        text = answers[rest]
    elif kind == "reason" and row is None:
        text = incident.verdicts.filter(layer=rest).values_list("reason", flat=True).first() or ""
    return TextState(
        key=key,
        text=_tidy(text),
        revision=row.revision if row else 0,
        updated_by=row.updated_by.name if row else "",
        updated_at=row.updated_at if row else None,
    )


def _write(incident: Incident, key: str, text: str, by: Person) -> None:
    now = timezone.now()
    kind, _, rest = key.partition(".")
    changed = incident.shared_texts.filter(key=key).update(
        text=text, updated_by=by, updated_at=now, revision=F("revision") + 1
    )
    if not changed:
        SharedText.objects.create(incident=incident, key=key, text=text, updated_by=by, updated_at=now)
    if kind == "incident":
        Incident.objects.filter(pk=incident.pk).update(**{rest: text}, updated_at=now, revision=F("revision") + 1)
    elif kind == "note":
        incident.checklist_answers.filter(question_id=rest).update(note=text.strip())


def _keep_version(incident: Incident, key: str, before: str, after: str, by: Person) -> None:
    now = timezone.now()
    last = incident.text_versions.filter(key=key).order_by("begun_at", "id").last()
    if last is None or last.text != before:
        # What stood there was written through another door; its words are kept too.
        if before or last is not None:
            TextVersion.objects.create(
                incident=incident, key=key, text=before, written_by=None, begun_at=now, written_at=now
            )
        last = None
    if last is not None and last.written_by_id == by.pk and now - last.begun_at < _ONE_VERSION:
        TextVersion.objects.filter(pk=last.pk).update(text=after, written_at=now)
    else:
        TextVersion.objects.create(incident=incident, key=key, text=after, written_by=by, begun_at=now, written_at=now)
