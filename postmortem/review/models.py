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
