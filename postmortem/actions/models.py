"""Action items. The database itself refuses one without owner, due date or verification."""

from typing import ClassVar

from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Replace, Trim
from django.db.models.lookups import Exact
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.actions.schedule import LEVELS
from postmortem.actions.verification import COMPARISONS, OUTCOMES
from postmortem.incidents.models import Incident
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.review.models import ContributingFactor


def _says_something(field: str) -> Q:
    """Blanks, tabs and line breaks alone say nothing."""
    words: models.Expression | models.F = models.F(field)
    for blank in "\t\n\r":
        words = Replace(words, Value(blank), Value(""), output_field=models.TextField())
    return ~Q(Exact(Trim(words, output_field=models.TextField()), Value("")))


class ActionItem(models.Model):
    """What one named person does by a date, and how everybody will see that it worked."""

    class Kind(models.TextChoices):
        PREVENT = "prevent", "Prevent"
        DETECT = "detect", "Detect"
        MITIGATE = "mitigate", "Mitigate"
        RECOVER = "recover", "Recover"
        INSTRUMENT = "instrument", "Instrument"
        LEARN = "learn", "Learn"

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        DONE = "done", "Done, not verified"
        VERIFIED = "verified", "Verified"
        DROPPED = "dropped", "Dropped"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="action_items")
    number = models.PositiveIntegerField()  # of this incident
    title = models.CharField(max_length=200)
    layer = models.CharField(max_length=20, choices=LAYER_CHOICES)
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.PREVENT)
    cuts_factor = models.ForeignKey(
        ContributingFactor, null=True, blank=True, on_delete=models.SET_NULL, related_name="action_items"
    )
    owner = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="action_items")
    due_on = models.DateField()
    verification = models.TextField()
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.OPEN)
    status_note = models.TextField(blank=True)
    tracker_link = models.CharField(max_length=1000, blank=True)
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["due_on", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["incident", "number"], name="action_number_once"),
            models.CheckConstraint(condition=_says_something("title"), name="action_has_title"),
            models.CheckConstraint(condition=_says_something("verification"), name="action_has_verification"),
        ]

    def __str__(self) -> str:
        return f"A-{self.number} {self.title}"


class VerificationPlan(models.Model):
    """How the workbench itself can check an item: a signal against a threshold over a window of days."""

    action = models.OneToOneField(ActionItem, on_delete=models.CASCADE, related_name="plan")
    signal = models.CharField(max_length=120)
    comparison = models.CharField(max_length=10, choices=COMPARISONS)
    threshold = models.FloatField()
    days = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(signal=""), name="plan_has_signal"),
            models.CheckConstraint(condition=Q(days__gte=1), name="plan_has_days"),
        ]

    def __str__(self) -> str:
        return f"{self.signal} {self.get_comparison_display()} {self.threshold:g} for {self.days} days"


class VerificationCheck(models.Model):
    """What one check of a plan found on the traces that came after the incident. Rows are only ever added."""

    action = models.ForeignKey(ActionItem, on_delete=models.CASCADE, related_name="checks")
    checked_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    checked_at = models.DateTimeField(default=timezone.now)
    plan = models.CharField(max_length=300)  # as it was then
    outcome = models.CharField(max_length=10, choices=OUTCOMES)
    window_start = models.DateTimeField()
    window_end = models.DateTimeField()
    count = models.PositiveIntegerField()
    mean = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    sentence = models.CharField(max_length=600)

    class Meta:
        ordering: ClassVar = ["-checked_at", "-id"]

    def __str__(self) -> str:
        return f"{self.action} {self.outcome}"


class Reminder(models.Model):
    """One person was told of an unfinished item on one day. Rows are only ever added."""

    action = models.ForeignKey(ActionItem, on_delete=models.CASCADE, related_name="reminders")
    level = models.CharField(max_length=10, choices=LEVELS)
    to = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    sent_on = models.DateField()

    class Meta:
        ordering: ClassVar = ["-sent_on", "-id"]
        constraints: ClassVar = [
            # Two workers cannot both tell somebody of an item on one day.
            models.UniqueConstraint(fields=["action", "to", "sent_on"], name="reminder_once_a_day")
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.level} {self.sent_on}"
