"""After publication: reminders of action items, once a day, by e-mail where a mail server is named."""

import logging
import time
from datetime import date
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail

from postmortem.accounts.models import Person
from postmortem.actions.models import ActionItem
from postmortem.actions.reminding import DueReminder, due_reminders, keep_reminder
from postmortem.lib.clock import utc_now

log = logging.getLogger(__name__)

_EVERY_SECONDS = 900.0
_last: list[float] = []


def remind_now_and_then() -> None:
    """Called by the worker on every round: looks four times an hour what is to go out."""
    now = time.monotonic()
    if _last and now - _last[0] < _EVERY_SECONDS:
        return
    _last[:] = [now]
    remind(utc_now().date())


def remind(today: date) -> list[DueReminder]:
    """Write down and send what is due today; returns what went out. Two workers never send the same.

    People find the same on My actions, so a mail server that does not answer loses nothing.
    """
    sent = [due for due in due_reminders(today) if keep_reminder(due, today)]
    letters: dict[int, tuple[Person, list[DueReminder]]] = {}
    for due in sent:
        for person in due.people:
            letters.setdefault(person.pk, (person, []))[1].append(due)
    if settings.EMAIL_HOST:
        for person, dues in letters.values():
            try:
                send_mail(_subject(dues), letter(person, dues), None, [person.email])
            except (OSError, SMTPException):
                log.warning("the reminder to person %s was not sent", person.pk, exc_info=True)
    return sent


def letter(person: Person, dues: list[DueReminder]) -> str:
    """What one person reads: each item in a paragraph, with its address."""
    parts = [f"{person.name}, these action items are not finished. They count as finished once they are verified."]
    for due in dues:
        item = due.item
        whose = "" if item.owner_id == person.pk else f" {item.owner.name}’s, escalated to you who facilitate."
        state = " Done, and nobody has verified it yet." if item.status == ActionItem.Status.DONE else ""
        parts.append(
            f"{item.incident.number} A-{item.number} {item.title}\n"
            f"Due {item.due_on.isoformat()}, {due.level}.{whose}{state}\n"
            f"{settings.SITE_URL}/incidents/{item.incident.number}/actions/#action-{item.number}"
        )
    return "\n\n".join(parts)


def _subject(dues: list[DueReminder]) -> str:
    late = sum(due.level != "soon" for due in dues)
    count = f"{len(dues)} action item{'' if len(dues) == 1 else 's'}"
    return f"{count} to finish" + (f", {late} overdue" if late else "")
