"""Evidence from trace sources: connections, immutable bytes, trace facts and scores."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.incidents.models import Feature, Incident


class Connection(models.Model):
    """A project of a trace server that an administrator allowed. Reads go to no other address."""

    class Kind(models.TextChoices):
        LANGFUSE = "langfuse", "Langfuse"
        PHOENIX = "phoenix", "Arize Phoenix"
        MLFLOW = "mlflow", "MLflow"

    class Api(models.TextChoices):
        UNKNOWN = "unknown", "Not asked yet"
        V4 = "v4", "v4: observations v2 and scores v3"
        V3 = "v3", "v3: traces and scores v2"
        PHOENIX = "phoenix", "REST v1"
        MLFLOW = "mlflow", "REST 3.0"

    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.LANGFUSE)

    name = models.CharField(max_length=120, unique=True)
    base_url = models.URLField(max_length=400)
    # Phoenix's project or MLflow's experiment, by name or id; the keys of Langfuse tell theirs.
    project = models.CharField(max_length=200, blank=True)
    project_id = models.CharField(max_length=200, blank=True)
    project_name = models.CharField(max_length=200, blank=True)
    public_key = models.CharField(max_length=200, blank=True)  # Phoenix, MLflow: a user name, where there is one
    secret_key_encrypted = models.BinaryField()
    api = models.CharField(max_length=10, choices=Api.choices, default=Api.UNKNOWN)
    server_version = models.CharField(max_length=40, blank=True)
    feature = models.ForeignKey(Feature, null=True, blank=True, on_delete=models.SET_NULL, related_name="connections")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class EvidenceBlob(models.Model):
    """Imported bytes, kept once, named by their SHA-256. Never edited: the database refuses it."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    size_bytes = models.PositiveBigIntegerField()
    media_type = models.CharField(max_length=100, default="application/json")
    compressed = models.BinaryField()  # zlib
    stored_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.sha256[:12]


class EvidenceImport(models.Model):
    """Where evidence came from: which link or file, by whom, when, and the bytes it brought."""

    class Kind(models.TextChoices):
        LINK = "link", "Trace link"
        SESSION = "session", "Session link"
        WINDOW = "window", "Window around a trace"
        QUERY = "query", "Filtered window"
        FILE = "file", "File"
        EXAMPLE = "example", "Simulated example"

    FROM_SERVERS: ClassVar = (Kind.LINK, Kind.SESSION, Kind.WINDOW, Kind.QUERY)

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="evidence_imports")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    origin = models.CharField(max_length=1000)
    connection = models.ForeignKey(Connection, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    imported_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    imported_at = models.DateTimeField(default=timezone.now)
    blobs = models.ManyToManyField(EvidenceBlob, related_name="imports")
    trace_count = models.PositiveIntegerField(default=0)
    score_count = models.PositiveIntegerField(default=0)
    truncated_at_cap = models.BooleanField(default=False)
    finished = models.BooleanField(default=False)
    facets_read_at = models.DateTimeField(null=True)  # when rules last changed facets of its traces
    written_at = models.DateTimeField(null=True)  # when traces or scores were last stored for it
    asked = models.JSONField(default=dict)  # windows: filters, start, end (null: up to now)
    # Files: as they came, packed or not.
    file_sha256 = models.CharField(max_length=64, blank=True)
    file_bytes = models.PositiveBigIntegerField(null=True)
    notes = models.JSONField(default=list)  # sentences: what was read in a way that people should know of
    left_out = models.PositiveIntegerField(default=0)  # rows that could not be read
    faults = models.JSONField(default=list)  # the first of them: [line, sentence]
    # A window that was read to its end: another pull need not read [from, to) again.
    covered_from = models.DateTimeField(null=True)
    covered_to = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["imported_at", "id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.origin}"


class Trace(models.Model):
    """Facts of one trace as its source held it. The full text is in the blobs."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="traces")
    evidence_import = models.ForeignKey(EvidenceImport, on_delete=models.CASCADE, related_name="traces")
    external_id = models.CharField(max_length=800)
    name = models.CharField(max_length=400, blank=True)
    timestamp = models.DateTimeField()
    environment = models.CharField(max_length=120, blank=True)
    session_id = models.CharField(max_length=400, blank=True)
    user_id = models.CharField(max_length=400, blank=True)
    latency_seconds = models.FloatField(null=True)
    time_to_first_token_seconds = models.FloatField(null=True)
    cost_usd = models.FloatField(null=True)
    input_tokens = models.PositiveIntegerField(null=True)
    has_error = models.BooleanField(default=False)
    facets = models.JSONField(default=dict)
    input_preview = models.CharField(max_length=300, blank=True)
    output_preview = models.CharField(max_length=300, blank=True)
    is_anchor = models.BooleanField(default=False)  # the trace that somebody pasted or uploaded to be read

    class Meta:
        ordering: ClassVar = ["timestamp", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["incident", "external_id"], name="trace_once_per_incident"),
            models.CheckConstraint(condition=~Q(external_id=""), name="trace_has_external_id"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["incident", "timestamp"], name="trace_incident_time"),
            models.Index(fields=["incident", "latency_seconds"], name="trace_incident_latency"),
        ]

    def __str__(self) -> str:
        return self.external_id


class ColumnSegment(models.Model):
    """Some thousands of an incident's traces, by their keys, whose facts are kept once more as columns.

    Columns are what the join, the attribution and the filters read. They are made from the rows and made again
    whenever one of these changes: nothing but speed is lost with them.
    """

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="column_segments")
    low = models.BigIntegerField()  # keys from low to high, both included
    high = models.BigIntegerField()
    built = models.BooleanField(default=False)  # not while somebody reads the rows
    begun_at = models.DateTimeField(default=timezone.now)
    summary = models.JSONField(default=dict)  # counts, so that they need no look into the columns

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["incident", "low"], name="segment_once"),
            models.CheckConstraint(condition=Q(low__lte=F("high")), name="segment_low_to_high"),
        ]

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


class GroupedCells(models.Model):
    """A window that a server grouped without its traces being imported: evidence of counts and sums. Never edited."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="grouped_cells")
    connection = models.ForeignKey(Connection, null=True, on_delete=models.SET_NULL, related_name="+")
    origin = models.CharField(max_length=120)  # the connection's name when it was read
    signal = models.CharField(max_length=200)
    granularity = models.CharField(max_length=10)
    trace_count = models.PositiveBigIntegerField()
    cell_count = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)  # of the cells, before they are compressed
    compressed = models.BinaryField()  # zlib
    read_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    read_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.origin} {self.signal}"


class ColumnData(models.Model):
    """One column of a segment, packed (traces.columns): `traces`, `facets`, a number, or `score:` and its name."""

    segment = models.ForeignKey(ColumnSegment, on_delete=models.CASCADE, related_name="columns")
    name = models.CharField(max_length=220)
    data = models.BinaryField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["segment", "name"], name="column_once")]

    def __str__(self) -> str:
        return self.name


class SavedMapping(models.Model):
    """How a table of an application's own make is read, by a name, to be used again."""

    name = models.CharField(max_length=120, unique=True)
    mapping = models.JSONField(default=dict)
    made_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Upload(models.Model):
    """An uploaded file that waits for its mapping, or for a worker to import it. No evidence yet; kept for a day."""

    class Awaits(models.TextChoices):
        MAPPING = "mapping", "Its mapping"
        IMPORT = "import", "A worker"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    filename = models.CharField(max_length=200)
    awaits = models.CharField(max_length=10, choices=Awaits.choices)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)  # empty while it comes in
    made_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.filename


class UploadPart(models.Model):
    """A piece of an uploaded file; all but the last are of one size (traces.kept_uploads)."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    compressed = models.BinaryField()  # Zstandard

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["upload", "number"], name="upload_part_once")]

    def __str__(self) -> str:
        return f"{self.upload_id}/{self.number}"


class TraceBlob(models.Model):
    """Which stored bytes tell about a trace."""

    trace = models.ForeignKey(Trace, on_delete=models.CASCADE, related_name="trace_blobs")
    blob = models.ForeignKey(EvidenceBlob, on_delete=models.PROTECT, related_name="trace_blobs")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["trace", "blob"], name="trace_blob_once")]


class TraceLabel(models.Model):
    """What a reviewer said of a trace after reading it. The newest that nobody took back counts; all are kept."""

    class Value(models.TextChoices):
        FAIL = "fail", "Failing"
        FINE = "fine", "Fine"

    trace = models.ForeignKey(Trace, on_delete=models.CASCADE, related_name="labels")
    value = models.CharField(max_length=10, choices=Value.choices)
    by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["at", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(value__in=["fail", "fine"]), name="label_is_fail_or_fine"),
        ]
        indexes: ClassVar = [models.Index(fields=["trace", "at"], name="label_trace_time")]

    def __str__(self) -> str:
        return self.value


class TraceText(models.Model):
    """What full-text search reads: a trace's words in lower case, each once, none of what is masked.

    A migration adds the index of either database.
    """

    trace = models.OneToOneField(Trace, on_delete=models.CASCADE, primary_key=True, related_name="words")
    text = models.TextField()
    kinds = models.JSONField(default=dict)  # what was masked: {kind: how often}

    def __str__(self) -> str:
        return self.text[:60]


class ReadBlob(models.Model):
    """Stored bytes whose words are in the index. What has no row here is still to be read."""

    blob = models.OneToOneField(EvidenceBlob, on_delete=models.PROTECT, primary_key=True, related_name="read")
    read_at = models.DateTimeField(default=timezone.now)


class FacetRule(models.Model):
    """A facet of the house: where its value lies in what sources send. Retired rules are kept."""

    name = models.CharField(max_length=40)
    path = models.CharField(max_length=300)
    added_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["name", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name"], condition=Q(retired_at=None), name="one_rule_a_facet"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.path}"


class OwnFacets(models.Model):
    """Which facets of a trace came from rules, so that a retired rule takes back what it gave and no more."""

    trace = models.OneToOneField(Trace, on_delete=models.CASCADE, primary_key=True, related_name="own_facets")
    given = models.JSONField(default=dict)  # {facet: [path, value]}


class RedactionPattern(models.Model):
    """Something of the house that is masked besides the patterns that come along. Retired ones are kept."""

    kind = models.CharField(max_length=60)
    pattern = models.CharField(max_length=300)  # RE2 syntax
    added_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["kind", "id"]

    def __str__(self) -> str:
        return self.kind


class Score(models.Model):
    """One score on a trace. `value` is null for text scores."""

    trace = models.ForeignKey(Trace, on_delete=models.CASCADE, related_name="scores")
    external_id = models.CharField(max_length=400)
    observation_id = models.CharField(max_length=800, blank=True)  # empty: on the whole trace
    name = models.CharField(max_length=200)
    value = models.FloatField(null=True)
    text_value = models.CharField(max_length=500, blank=True)
    source = models.CharField(max_length=40, blank=True)
    timestamp = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["trace", "external_id"], name="score_once_per_trace")]
        indexes: ClassVar = [models.Index(fields=["name", "trace"], name="score_name_trace")]

    def __str__(self) -> str:
        return f"{self.name} {self.value}"
