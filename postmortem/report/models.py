"""Published reports: frozen, hashed, never changed."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident


class Report(models.Model):
    """One published version. The database refuses to change or delete it."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="reports")
    version = models.PositiveIntegerField()
    record = models.BinaryField()  # canonical JSON bytes
    sha256 = models.CharField(max_length=64)
    correction_reason = models.TextField(blank=True)
    published_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    published_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-version"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["incident", "version"], name="report_version_once")]

    def __str__(self) -> str:
        return f"{self.incident_id} version {self.version}"


class AnnexRevision(models.Model):
    """One saved state of the Article 73 annex's extra fields. Rows are only added, so they are its history."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="annex_revisions")
    revision = models.PositiveIntegerField()
    values = models.JSONField(default=dict)
    edited_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    edited_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-revision"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["incident", "revision"], name="annex_revision_once")]

    def __str__(self) -> str:
        return f"{self.incident_id} annex {self.revision}"


class Branding(models.Model):
    """The organisation on its reports: one row."""

    name = models.CharField(max_length=80, blank=True)
    colour = models.CharField(max_length=7)
    logo = models.BinaryField(blank=True, default=b"")  # PNG, drawn anew from the upload
    revision = models.PositiveIntegerField(default=0)
    updated_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name
