"""Published reports: frozen, hashed, never changed."""

from typing import ClassVar
from urllib.parse import urlsplit

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


class ShareLink(models.Model):
    """A link that opens one view of one published version without sign-in, until it expires or is revoked.

    Only the SHA-256 of its token is stored: who reads the database cannot open it.
    """

    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="share_links")
    view = models.CharField(max_length=20)
    audience = models.CharField(max_length=20)
    token_sha256 = models.CharField(max_length=64, unique=True)
    note = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField()
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True)
    opened = models.PositiveIntegerField(default=0)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.report} {self.view} until {self.expires_at:%Y-%m-%d}"


class DeliverySettings(models.Model):
    """What an administrator allows: one row. Nothing leaves the product before it exists."""

    sharing_allowed = models.BooleanField(default=False)
    most_days = models.PositiveIntegerField(default=30)
    webhook_url = models.CharField(max_length=500, blank=True)
    webhook_hosts = models.TextField(blank=True)  # host or host:port, one a line
    webhook_secret = models.BinaryField(blank=True, default=b"")  # encrypted under SECRET_KEY
    revision = models.PositiveIntegerField(default=0)
    updated_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return "delivery"


class Delivery(models.Model):
    """An e-mail or a webhook call that the background worker makes, again and again until it is taken."""

    class Kind(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="deliveries")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    target = models.CharField(max_length=500)
    audience = models.CharField(max_length=20, default="internal")
    note = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING, db_index=True)
    attempts = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(default=timezone.now)
    message = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"

    @property
    def destination(self) -> str:
        """Where it goes, without the path of a webhook: that may hold a token."""
        return self.target if self.kind == self.Kind.EMAIL else f"https://{urlsplit(self.target).netloc}"


class DraftingSettings(models.Model):
    """The endpoint that writes drafts: one row, off until an administrator turns it on."""

    enabled = models.BooleanField(default=False)
    base_url = models.CharField(max_length=500, blank=True)
    model = models.CharField(max_length=200, blank=True)
    api_key = models.BinaryField(blank=True, default=b"")  # encrypted under SECRET_KEY
    revision = models.PositiveIntegerField(default=0)
    updated_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return "drafting"


class MachineDraft(models.Model):
    """A draft that a model wrote for one text of an incident, with exactly what it was given. It is in no record."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="machine_drafts")
    field = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    sent = models.JSONField()  # the facts, as they left
    sentences = models.JSONField()  # text, places, doubt
    asked_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    accepted_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.incident_id} {self.field}"
