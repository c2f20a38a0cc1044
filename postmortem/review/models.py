"""What people decide: answers, evidence, verdicts, contributing factors, the causal graph, signatures."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.traces.models import Trace


class ChecklistAnswer(models.Model):
    """The incident's present answer to one question; earlier answers are in the audit log."""

    class Value(models.TextChoices):
        YES = "yes", "Yes"
        NO = "no", "No"
        CANNOT_TELL = "cannot_tell", "Cannot tell"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="checklist_answers")
    checklist_version = models.CharField(max_length=20)
    layer = models.CharField(max_length=20, choices=LAYER_CHOICES)
    question_id = models.CharField(max_length=60)
    value = models.CharField(max_length=20, choices=Value.choices)
    note = models.TextField(blank=True)
    answered_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    answered_at = models.DateTimeField(default=timezone.now)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["incident", "question_id"], name="one_answer_per_question")
        ]


class ChecklistVersion(models.Model):
    """A version of the questions that an administrator made. Never changed."""

    version = models.CharField(max_length=20, unique=True)
    data = models.JSONField()
    note = models.CharField(max_length=300, blank=True)
    made_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.version


class ChecklistPin(models.Model):
    """The version that an incident was moved to; without one, that of its first answer counts."""

    incident = models.OneToOneField(Incident, on_delete=models.CASCADE, related_name="checklist_pin")
    version = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.version


class Evidence(models.Model):
    """One piece of evidence for or against a cause in a layer."""

    class Direction(models.TextChoices):
        FOR = "for", "For"
        AGAINST = "against", "Against"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="evidence")
    layer = models.CharField(max_length=20, choices=LAYER_CHOICES)
    direction = models.CharField(max_length=10, choices=Direction.choices)
    text = models.TextField()
    question_id = models.CharField(max_length=60, blank=True)
    trace = models.ForeignKey(Trace, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    change = models.ForeignKey(Change, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    finding_number = models.PositiveIntegerField(null=True, blank=True)
    link = models.CharField(max_length=1000, blank=True)
    added_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["added_at", "id"]
        verbose_name_plural = "evidence"
        constraints: ClassVar = [models.CheckConstraint(condition=~Q(text=""), name="evidence_has_text")]


class Verdict(models.Model):
    """What people decided for a layer. One row a layer; earlier verdicts are in the audit log."""

    class Value(models.TextChoices):
        IN = "in", "IN"
        OUT = "out", "OUT"
        INSUFFICIENT = "insufficient", "INSUFFICIENT"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="verdicts")
    layer = models.CharField(max_length=20, choices=LAYER_CHOICES)
    value = models.CharField(max_length=20, choices=Value.choices)
    reason = models.TextField()
    proposed = models.CharField(max_length=20, blank=True)  # what the attribution proposed at that moment
    decided_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(default=timezone.now)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["incident", "layer"], name="one_verdict_per_layer"),
            models.CheckConstraint(condition=~Q(reason=""), name="verdict_has_reason"),
        ]


class Dissent(models.Model):
    """What a reviewer would have decided for a layer instead, by name and with a reason."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="dissents")
    layer = models.CharField(max_length=20, choices=LAYER_CHOICES)
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    value = models.CharField(max_length=20, choices=Verdict.Value.choices)
    reason = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["incident", "layer", "person"], name="one_dissent_per_person_and_layer"),
            models.CheckConstraint(condition=~Q(reason=""), name="dissent_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.person} on {self.layer}"


class ContributingFactor(models.Model):
    """A node of the causal graph."""

    class Kind(models.TextChoices):
        LATENT = "latent_condition", "Latent condition"
        TRIGGER = "trigger", "Trigger"
        AMPLIFIER = "amplifier", "Amplifier"
        MISSING_GUARD = "missing_guard", "Missing guard"
        DETECTION_GAP = "detection_gap", "Detection gap"
        IMPACT = "impact", "Impact"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="factors")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    layer = models.CharField(max_length=20, choices=LAYER_CHOICES, blank=True)  # empty for the impact
    text = models.CharField(max_length=300)
    change = models.ForeignKey(Change, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    risk_accepted_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    risk_accepted_reason = models.TextField(blank=True)
    added_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["added_at", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(text=""), name="factor_has_text"),
            # One sink: every question about paths and cuts has one answer.
            models.UniqueConstraint(fields=["incident"], condition=Q(kind="impact"), name="one_impact_per_incident"),
            models.CheckConstraint(
                condition=(Q(kind="impact") & Q(layer="")) | (~Q(kind="impact") & ~Q(layer="")),
                name="factor_has_layer_unless_impact",
            ),
            models.CheckConstraint(
                condition=Q(risk_accepted_by__isnull=True) | ~Q(risk_accepted_reason=""),
                name="accepted_risk_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.text


class CausalEdge(models.Model):
    """`cause` led to `effect`."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="causal_edges")
    cause = models.ForeignKey(ContributingFactor, on_delete=models.CASCADE, related_name="effects")
    effect = models.ForeignKey(ContributingFactor, on_delete=models.CASCADE, related_name="causes")
    claim = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["cause", "effect"], name="causal_edge_once"),
            models.CheckConstraint(condition=~Q(cause=F("effect")), name="causal_edge_not_to_itself"),
        ]


class SignOff(models.Model):
    """A layer lead's or (layer empty) the facilitator's signature on exact content."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="sign_offs")
    layer = models.CharField(max_length=20, choices=LAYER_CHOICES, blank=True)
    signed_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    signed_at = models.DateTimeField(default=timezone.now)
    content_sha256 = models.CharField(max_length=64)  # of what was signed; a different hash now means withdrawn

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["incident", "layer"], name="one_sign_off_per_layer")]


class SharedText(models.Model):
    """A text that several people write together, by key (see shared_text.py); revision counts its saves."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="shared_texts")
    key = models.CharField(max_length=80)
    text = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=1)
    applied = models.TextField(blank=True)  # ids of the latest saves, so that one sent twice counts once
    updated_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["incident", "key"], name="shared_text_once")]

    def __str__(self) -> str:
        return self.key


class TextVersion(models.Model):
    """What a shared text said before; saves of one person within a minute are one version.

    Where many write at once, ten seconds of all of them are one: `written_by` began it, `together` names the others.
    """

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="text_versions")
    key = models.CharField(max_length=80)
    text = models.TextField(blank=True)
    written_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    together = models.JSONField(default=list, blank=True)
    begun_at = models.DateTimeField(default=timezone.now)
    written_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["begun_at", "id"]
        indexes: ClassVar = [models.Index(fields=["incident", "key", "begun_at"], name="text_version_of_key")]

    def __str__(self) -> str:
        return f"{self.key} {self.begun_at:%Y-%m-%d %H:%M}"


class Presence(models.Model):
    """A page of the incident that somebody has open; forgotten when it has not been seen for half a minute."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="presences")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    tab = models.CharField(max_length=40)
    place = models.CharField(max_length=60, blank=True)
    field = models.CharField(max_length=80, blank=True)  # key of the text that has the cursor
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["incident", "tab"], name="presence_once_per_tab")]


class Meeting(models.Model):
    """A review meeting: its agenda, the item under discussion and since when."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="meetings")
    started_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    agenda = models.JSONField(default=list)  # [{"key", "label", "minutes", "spent_seconds"}]
    position = models.PositiveIntegerField(default=0)
    position_since = models.DateTimeField(default=timezone.now)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["-started_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["incident"], condition=Q(ended_at__isnull=True), name="one_open_meeting_per_incident"
            )
        ]

    def __str__(self) -> str:
        return f"{self.incident} {self.started_at:%Y-%m-%d %H:%M}"


class MeetingNote(models.Model):
    """A decision that fell in a meeting, or a concern that somebody raised quietly."""

    class Kind(models.TextChoices):
        DECISION = "decision", "Decision"
        CONCERN = "concern", "Concern"

    meeting = models.ForeignKey(Meeting, on_delete=models.CASCADE, related_name="notes")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    item = models.CharField(max_length=80, blank=True)  # the agenda item under discussion
    text = models.CharField(max_length=600)
    written_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    written_at = models.DateTimeField(default=timezone.now)
    settled_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["written_at", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(text=""), name="meeting_note_has_text"),
            # A concern may be raised without a name, a decision may not.
            models.CheckConstraint(
                condition=Q(kind="concern") | Q(written_by__isnull=False), name="decision_has_a_writer"
            ),
        ]
