"""Findings, so that a run can be made again and compared, and what replays said."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident
from postmortem.traces.models import EvidenceBlob


class Finding(models.Model):
    """One attribution run over an incident's evidence. Rows are only ever added."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="findings")
    number = models.PositiveIntegerField()  # run 1, 2, 3 of this incident
    method = models.CharField(max_length=60)
    code_version = models.CharField(max_length=40)
    inputs_sha256 = models.CharField(max_length=64)
    parameters = models.JSONField(default=dict)
    result = models.JSONField()  # the contract of `attribute --cases`, plus what the pages draw
    run_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    run_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["incident", "number"], name="finding_number_once")]

    def __str__(self) -> str:
        return f"run {self.number}"


class ReplayResult(models.Model):
    """What a replay of failing traces with and without a change said, with the bytes it was read from."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="replay_results")
    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="replay_results")
    blob = models.ForeignKey(EvidenceBlob, on_delete=models.PROTECT, related_name="+")
    result = models.JSONField()
    added_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-added_at", "-id"]

    def __str__(self) -> str:
        return f"replay of {self.change_id}"


class ModelRetirement(models.Model):
    """An entry that people added to the calendar of model retirements; it wins over the one that is shipped."""

    model = models.CharField(max_length=200, unique=True)
    retires_on = models.DateField()
    source = models.CharField(max_length=1000)
    replacement = models.CharField(max_length=200, blank=True)
    withdrawn = models.BooleanField(default=False)
    revision = models.PositiveIntegerField(default=1)
    added_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["retires_on", "model"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~models.Q(model="") & ~models.Q(source=""), name="retirement_has_source"),
        ]

    def __str__(self) -> str:
        return f"{self.model} on {self.retires_on}"


class ModelRetirementRevision(models.Model):
    """What an entry said from then on, and who said so; the first one is how it was added."""

    retirement = models.ForeignKey(ModelRetirement, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    fields = models.JSONField()
    by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["retirement", "number"], name="retirement_revision_once"),
        ]

    def __str__(self) -> str:
        return f"revision {self.number} of {self.retirement_id}"
