"""Tells every web process that something of an incident changed: NOTIFY on PostgreSQL, a small table on SQLite.

An announcement says only where to look; it is sent when its transaction commits, and never when it is rolled back.
"""

import random

from django.db import connection

from postmortem.accounts.models import Announcement

CHANNEL = "postmortem_live"
_KEPT = 2_000  # rows that a process which was away for a moment may still read


def announce(incident_number: str, topic: str) -> None:
    """Say that `topic` of an incident changed, e.g. "audit 17", "text summary", "presence"."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{incident_number} {topic}"])
        return
    row = Announcement.objects.create(incident_number=incident_number, topic=topic)
    if random.random() < 0.01:  # noqa: S311 - housekeeping, now and then
        Announcement.objects.filter(pk__lt=row.pk - _KEPT).delete()
