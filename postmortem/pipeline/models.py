"""Background runs: rows that any worker claims by a conditional UPDATE."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident


class Run(models.Model):
    """One piece of background work. A dead worker's run is claimed again when its lease is over."""

    class Kind(models.TextChoices):
        IMPORT_LINK = "import_link", "Import a trace link and its window"
        IMPORT_WINDOW = "import_window", "Import the window"
        IMPORT_FILE = "import_file", "Import a file"
        READ_TEXTS = "read_texts", "Read texts of traces"
        IMPORT_PROMPTS = "import_prompts", "Pull prompt versions"
        ATTRIBUTE = "attribute", "Attribution"
        RENDER = "render", "Document"
        DRAFT = "draft", "Draft by a model"
        PREPARE = "prepare", "Prepare traces for reading"

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=20, choices=State.choices, default=State.QUEUED, db_index=True)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(null=True)
    progress_text = models.CharField(max_length=300, blank=True)
    message = models.TextField(blank=True)  # one clear sentence, at the end or on failure
    cursor = models.JSONField(default=dict)  # where to go on after a break
    attempts = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True)
    not_before = models.DateTimeField(default=timezone.now)
    started_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


class Rendering(models.Model):
    """A document that a run has made; it can be made again, so it is kept for a day."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="rendering")
    filename = models.CharField(max_length=200)
    media_type = models.CharField(max_length=80)
    data = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.filename
