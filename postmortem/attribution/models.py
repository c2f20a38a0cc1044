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
