"""Findings: what one attribution run said, so that it can be run again and compared."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident


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
