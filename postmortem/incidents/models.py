"""The incident: its words, windows, clocks, people and timeline."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from postmortem.accounts.models import Person, Team
from postmortem.lib.layers import LAYER_CHOICES


class Feature(models.Model):
    """An AI feature (one application in production). It owns the change logs that incidents join."""

    name = models.CharField(max_length=120, unique=True)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.PROTECT, related_name="features")
    trace_name = models.CharField(max_length=200, blank=True)
    environment = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Severity(models.TextChoices):
    SEV1 = "sev1", "SEV-1"
    SEV2 = "sev2", "SEV-2"
    SEV3 = "sev3", "SEV-3"
    SEV4 = "sev4", "SEV-4"


class Status(models.TextChoices):
    DRAFT = "draft", "Draft"
    IN_REVIEW = "in_review", "In review"
    PUBLISHED = "published", "Published"


class Visibility(models.TextChoices):
    EVERYONE = "everyone", "Everyone who signs in"
    TEAM = "team", "The feature's team and participants"
    PARTICIPANTS = "participants", "Participants only"


class Worse(models.TextChoices):
    """The direction in which the signal gets worse."""

    LOWER = "lower", "Lower is worse"
    HIGHER = "higher", "Higher is worse"


class Incident(models.Model):
    """One incident under review. All moments are UTC; text fields are Markdown."""

    number = models.CharField(max_length=20, unique=True)
    title = models.CharField(max_length=200)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="incidents")
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.SEV3)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.DRAFT)
    visibility = models.CharField(max_length=20, choices=Visibility.choices, default=Visibility.EVERYONE)
    summary = models.TextField(blank=True)
    impact = models.TextField(blank=True)
    decisions_requested = models.TextField(blank=True)
    detection_gap = models.TextField(blank=True)
    lessons = models.TextField(blank=True)
    suspected_layer = models.CharField(max_length=20, choices=LAYER_CHOICES, blank=True)  # named before the evidence
    affected_people = models.PositiveIntegerField(null=True, blank=True)

    signal = models.CharField(max_length=120, blank=True)
    worse = models.CharField(max_length=10, choices=Worse.choices, default=Worse.LOWER)
    trace_name = models.CharField(max_length=200, blank=True)
    environment = models.CharField(max_length=120, blank=True)

    baseline_start = models.DateTimeField(null=True, blank=True)
    baseline_end = models.DateTimeField(null=True, blank=True)
    incident_start = models.DateTimeField(null=True, blank=True)
    incident_end = models.DateTimeField(null=True, blank=True)

    latent_since = models.DateTimeField(null=True, blank=True)
    onset_at = models.DateTimeField(null=True, blank=True)
    detected_at = models.DateTimeField(null=True, blank=True)
    mitigated_at = models.DateTimeField(null=True, blank=True)
    recovered_at = models.DateTimeField(null=True, blank=True)
    users_recovered_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    simulated = models.BooleanField(default=False)
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(baseline_end__isnull=True) | Q(baseline_start__lt=F("baseline_end")),
                name="incident_baseline_in_order",
            ),
            models.CheckConstraint(
                condition=Q(incident_end__isnull=True) | Q(incident_start__lt=F("incident_end")),
                name="incident_window_in_order",
            ),
            models.CheckConstraint(condition=~Q(title=""), name="incident_has_title"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.title}"


class NumberCounter(models.Model):
    """Last incident number given out in a year, counted up by conditional UPDATE."""

    year = models.PositiveIntegerField(primary_key=True)
    last = models.PositiveIntegerField(default=0)


class ParticipantRole(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    REVIEWER = "reviewer", "Reviewer"
    SCRIBE = "scribe", "Scribe"
    LAYER_LEAD = "layer_lead", "Layer lead"
    FACILITATOR = "facilitator", "Facilitator"


class Participant(models.Model):
    """A person's part in one incident. A layer lead names the layer; each layer has one lead."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="participants")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="participations")
    role = models.CharField(max_length=20, choices=ParticipantRole.choices)
    layer = models.CharField(max_length=20, choices=LAYER_CHOICES, blank=True)

    class Meta:
        ordering: ClassVar = ["role", "person__name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["incident", "person", "role", "layer"], name="participant_once"),
            models.UniqueConstraint(
                fields=["incident", "layer"], condition=Q(role="layer_lead"), name="one_lead_per_layer"
            ),
            models.CheckConstraint(
                condition=(Q(role="layer_lead") & ~Q(layer="")) | (~Q(role="layer_lead") & Q(layer="")),
                name="layer_goes_with_layer_lead",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person} as {self.role}"


class TimelineEntry(models.Model):
    """A note on the timeline. Changes and incident times are joined in when it is read."""

    class Kind(models.TextChoices):
        NOTE = "note", "Note"
        ALERT = "alert", "Alert"
        REPORT = "report", "Report by a user"
        RESPONSE = "response", "Response"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.NOTE)
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="timeline_entries")
    at = models.DateTimeField()
    text = models.TextField()
    written_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    written_at = models.DateTimeField(default=timezone.now)
    hidden = models.BooleanField(default=False)
    pinned = models.BooleanField(default=False)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["at", "id"]
        verbose_name_plural = "timeline entries"

    def __str__(self) -> str:
        return self.text[:60]


class TimelineMark(models.Model):
    """What people did to an assembled entry, by its key ("change.12"): pinned, hidden, or corrected in time or words.

    What it was assembled from stays as it is.
    """

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="timeline_marks")
    key = models.CharField(max_length=80)
    pinned = models.BooleanField(default=False)
    hidden = models.BooleanField(default=False)
    at = models.DateTimeField(null=True, blank=True)
    text = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["incident", "key"], name="timeline_mark_once"),
            models.CheckConstraint(condition=~Q(key=""), name="timeline_mark_has_key"),
        ]

    def __str__(self) -> str:
        return self.key
