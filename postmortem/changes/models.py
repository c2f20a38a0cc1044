"""The four change logs of a feature, and the feeds that may write to them."""

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.incidents.models import Feature
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.traces.models import Connection, EvidenceBlob


class Change(models.Model):
    """One entry of a change log, as the log says it; moments are UTC and may be wrong by hours."""

    class Rollout(models.TextChoices):
        INSTANT = "instant", "Instant"
        CANARY = "canary", "Canary"
        RAMP = "ramp", "Ramp"
        STAGED = "staged", "Staged"

    class Source(models.TextChoices):
        FILE = "file", "File"
        LANGFUSE = "langfuse", "Langfuse prompts"
        HAND = "hand", "Typed by hand"
        WEBHOOK = "webhook", "Webhook"
        MANIFEST = "manifest", "Manifest"
        PULLED = "pulled", "Pulled feed"
        EXAMPLE = "example", "Simulated example"

    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="changes")
    external_id = models.CharField(max_length=200)
    layer = models.CharField(max_length=20, choices=LAYER_CHOICES)
    summary = models.CharField(max_length=300)
    at = models.DateTimeField()
    until = models.DateTimeField()
    rollout = models.CharField(max_length=10, choices=Rollout.choices, default=Rollout.INSTANT)
    canary_share = models.FloatField(null=True, blank=True)
    stages = models.JSONField(default=dict, blank=True)  # {"facet": ..., "order": [...]}
    scope = models.JSONField(default=dict, blank=True)  # {facet: value or [values]}
    facet = models.CharField(max_length=80, blank=True)
    from_version = models.CharField(max_length=200, blank=True)
    to_version = models.CharField(max_length=200, blank=True)
    actor = models.CharField(max_length=200, blank=True)
    link = models.CharField(max_length=1000, blank=True)
    is_rollback = models.BooleanField(default=False)
    details = models.JSONField(default=dict, blank=True)  # what manifests and feeds tell besides
    source = models.CharField(max_length=20, choices=Source.choices)
    origin = models.CharField(max_length=400, blank=True)  # file name or connection
    feed = models.ForeignKey(
        "ChangeFeed", null=True, blank=True, on_delete=models.SET_NULL, related_name="changes"
    )  # which brought it; `origin` keeps its name
    raw = models.ForeignKey(EvidenceBlob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    content_sha256 = models.CharField(max_length=64)  # of what the log said, whatever people corrected since
    revision = models.PositiveIntegerField(default=1)
    merged_into = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="duplicates"
    )  # the entry that tells the same change
    added_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["feature", "external_id"], name="change_once_per_feature"),
            models.CheckConstraint(condition=Q(until__gte=F("at")), name="change_until_not_before_at"),
            models.CheckConstraint(condition=~Q(external_id="") & ~Q(summary=""), name="change_is_named"),
        ]
        indexes: ClassVar = [models.Index(fields=["feature", "at"], name="change_feature_time")]

    def __str__(self) -> str:
        return f"{self.external_id}: {self.summary}"


class ChangeRevision(models.Model):
    """One correction of a change by a person: what it was before, what it is after, and why."""

    change = models.ForeignKey(Change, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()  # the change's revision after it
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.CharField(max_length=1000)
    by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["change", "number"], name="change_revision_once"),
            models.CheckConstraint(condition=~Q(reason=""), name="change_revision_has_reason"),
        ]

    def __str__(self) -> str:
        return f"correction {self.number} of {self.change_id}"


class ChangeFeed(models.Model):
    """Something outside that tells changes of a feature: it sends them signed, or is pulled on a schedule."""

    class Kind(models.TextChoices):
        STANDARD = "standard", "Anything that signs (Standard Webhooks, CloudEvents, CDEvents)"
        LANGFUSE = "langfuse", "Langfuse prompt webhook"
        GITHUB = "github", "GitHub webhook"
        GITLAB = "gitlab", "GitLab webhook"
        MLFLOW = "mlflow", "MLflow registry webhook"
        PULL_LANGFUSE = "pull_langfuse", "Langfuse prompt versions"
        PULL_GITHUB = "pull_github", "GitHub repository"
        PULL_GITLAB = "pull_gitlab", "GitLab project"
        PULL_MLFLOW = "pull_mlflow", "MLflow model registry"

    PULLED: ClassVar = (Kind.PULL_LANGFUSE, Kind.PULL_GITHUB, Kind.PULL_GITLAB, Kind.PULL_MLFLOW)

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="change_feeds")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    secret_encrypted = models.BinaryField()  # of the webhook, or the token that a pull reads with
    options = models.JSONField(default=dict, blank=True)  # project, paths, …: feed_options.FeedOptions
    paused = models.BooleanField(default=False)
    received = models.PositiveIntegerField(default=0)  # deliveries or pulls
    last_received_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    made_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)

    # Of pulled feeds. Reads go to this address or connection and to no other.
    base_url = models.URLField(max_length=400, blank=True)
    connection = models.ForeignKey(Connection, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    interval_minutes = models.PositiveIntegerField(default=30)
    lookback_days = models.PositiveIntegerField(default=30)  # how far back the first pull reads
    cursor = models.JSONField(default=dict)  # where the next pull goes on
    next_due = models.DateTimeField(null=True, db_index=True)
    last_outcome = models.CharField(max_length=300, blank=True)
    failures = models.PositiveIntegerField(default=0)  # in a row
    attempts = models.PositiveIntegerField(default=0)  # of workers that took it and were not heard of again
    worker = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["feature", "name"], name="feed_name_once_per_feature"),
            models.CheckConstraint(
                condition=Q(interval_minutes__gte=5) & Q(lookback_days__gte=1), name="feed_is_not_asked_too_often"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.feature.name}"

    @property
    def is_pulled(self) -> bool:
        """Whether it is read on a schedule, else it sends."""
        return self.kind in self.PULLED


class ChangeDelivery(models.Model):
    """One delivery that a feed took, so that it counts once."""

    feed = models.ForeignKey(ChangeFeed, on_delete=models.CASCADE, related_name="deliveries")
    delivery = models.CharField(max_length=300)
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["feed", "delivery"], name="delivery_counts_once")]

    def __str__(self) -> str:
        return self.delivery


class Manifest(models.Model):
    """What an index or a training set was made of at one version; the entries themselves are in the bytes."""

    class Kind(models.TextChoices):
        CORPUS = "corpus", "Corpus and index"
        TRAINING = "training", "Training data"

    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="manifests")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=120)  # of the index or the data set
    version = models.CharField(max_length=200)
    at = models.DateTimeField()
    source = models.CharField(max_length=1000, blank=True)
    settings = models.JSONField(default=dict)  # flat: encoder, chunking.size
    entry_count = models.PositiveIntegerField()
    keep_good = models.BooleanField(default=False)  # how it was read, to read it so again
    given = models.JSONField(default=dict)  # what the person said besides the file
    fault_count = models.PositiveIntegerField(default=0)
    faults = models.JSONField(default=list)  # the first of them: [line, sentence]
    filename = models.CharField(max_length=200)
    raw = models.ForeignKey(EvidenceBlob, on_delete=models.PROTECT, related_name="+")
    compared_with = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    change = models.ForeignKey(Change, null=True, on_delete=models.SET_NULL, related_name="manifests")
    added_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["kind", "name", "-at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["feature", "kind", "name", "version"], name="manifest_once_per_version"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def is_logged(self) -> bool:
        """Whether its change stands in the ledger and still rests on it: a correction may have been taken back."""
        if self.change is None:
            return False
        details = self.change.details
        records = (details, details.get("provenance") or {})
        return any(record.get("manifests", {}).get("to") == self.raw_id for record in records)
