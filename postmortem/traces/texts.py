"""The words of traces for full-text search, read from the stored bytes in the background and masked first.

Search must not tell what a page would not show, so what is masked is in no index. Small imports are read at once,
large ones by idle workers, one blob after another; a worker that dies leaves its blob to be read again.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.expressions import RawSQL

from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.traces import redaction
from postmortem.traces.models import EvidenceBlob, EvidenceImport, ReadBlob, RedactionPattern, Trace, TraceText
from postmortem.traces.redaction import HousePattern
from postmortem.traces.rows import rows_of
from postmortem.traces.values import long_text, short_text

AT_ONCE_BYTES = 1_000_000  # of one import: what somebody uploaded to be read can be searched at once
MAX_TEXT = 20_000  # characters of one trace
_MAX_PIECE = 4_000
_MAX_WORD = 100
_MAX_WORDS = 12
_CHUNK = 1_000
_WORD = re.compile(r"[^\W_]+")
_FIELDS = ("name", "input", "output", "statusMessage", "userId", "sessionId", "user_id", "session_id")


def read_blob(blob: EvidenceBlob) -> bytes:
    """The bytes as they came. Raises UserError when they no longer match their name."""
    try:
        data = zlib.decompress(bytes(blob.compressed))
    except zlib.error:
        data = b""
    if sha256_hex(data) != blob.sha256:
        raise UserError(
            f"The stored bytes {blob.sha256[:12]} do not match their SHA-256; restore the database from a backup."
        )
    return data


def house_patterns() -> tuple[HousePattern, ...]:
    """The administrator's patterns that are in force."""
    rows = RedactionPattern.objects.filter(retired_at=None).order_by("pk").values_list("kind", "pattern")
    return tuple(HousePattern(kind, pattern) for kind, pattern in rows)


def words_filter(text: str) -> Q | None:
    """Traces that hold every word of `text`, each as the beginning of a word; None when there is no word in it."""
    words = _words(text)[:_MAX_WORDS]
    if not words:
        return None
    if connection.vendor == "postgresql":
        query = " & ".join(f"'{word}':*" for word in words)
        found = RawSQL("SELECT trace_id FROM traces_tracetext WHERE search @@ %s::tsquery", [query])
    else:
        query = " ".join(f'"{word}"*' for word in words)
        found = RawSQL("SELECT rowid FROM traces_words WHERE traces_words MATCH %s", [query])
    return Q(pk__in=found)


def unread_count(incident: Incident) -> int:
    """How many stored parts of the incident's evidence are not in the index yet."""
    return EvidenceBlob.objects.filter(imports__incident=incident, read=None).distinct().count()


def read_small_blobs(evidence_import: EvidenceImport) -> None:
    """Read what a small import brought, so that it can be searched at once."""
    waiting = evidence_import.blobs.filter(read=None)
    sizes = list(waiting.values_list("pk", "size_bytes"))
    if sum(size for _, size in sizes) <= AT_ONCE_BYTES:
        for key, _ in sizes:
            read_words(key)


def read_next_blob() -> bool:
    """Read the next stored part that no index knows; False when there is none."""
    finished = EvidenceBlob.objects.filter(read=None, imports__finished=True)
    key = finished.order_by("stored_at").values_list("pk", flat=True).first()
    if key is None:
        return False
    read_words(key)
    return True


def read_again(keys: Iterable[str] | None = None) -> None:
    """Let workers read stored parts anew, e.g. after a pattern was added."""
    read = ReadBlob.objects.all() if keys is None else ReadBlob.objects.filter(blob__in=keys)
    read.delete()


def read_words(key: str) -> None:
    """Put the words of one blob's traces into the index, and note that it was read."""
    blob = EvidenceBlob.objects.get(pk=key)
    house = house_patterns()
    waiting: dict[str, list[str]] = {}
    try:
        for row in rows_of(read_blob(blob), blob.sha256[:12]):
            if row.kind == "score" or not row.trace_id:
                continue
            pieces = [long_text(row.value.get(name), _MAX_PIECE) for name in _FIELDS if row.value.get(name)]
            waiting.setdefault(row.trace_id, []).extend(pieces)
            if len(waiting) >= _CHUNK:
                _store(blob, waiting, house)
                waiting = {}
    except UserError:
        pass  # a page of another kind, e.g. prompts, or damaged bytes: reading a trace says which
    _store(blob, waiting, house)
    ReadBlob.objects.get_or_create(blob=blob)


def _store(blob: EvidenceBlob, pieces: dict[str, list[str]], house: tuple[HousePattern, ...]) -> None:
    if not pieces:
        return
    masked = {identifier: _masked(identifier, texts, house) for identifier, texts in pieces.items()}
    with transaction.atomic():
        traces = list(
            Trace.objects.filter(external_id__in=masked, trace_blobs__blob=blob).values_list("pk", "external_id")
        )
        known = dict(TraceText.objects.filter(pk__in=[pk for pk, _ in traces]).values_list("pk", "text"))
        rows = []
        for pk, identifier in traces:
            words, kinds = masked[identifier]
            rows.append(TraceText(trace_id=pk, text=_joined([*known.get(pk, "").split(), *words]), kinds=kinds))
        TraceText.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["trace"], update_fields=["text", "kinds"], batch_size=200
        )


def _masked(identifier: str, pieces: list[str], house: tuple[HousePattern, ...]) -> tuple[list[str], dict[str, int]]:
    text = "\n".join(dict.fromkeys([short_text(identifier, 800), *pieces]))[:MAX_TEXT]
    spans = redaction.find(text, house)
    return _words(redaction.without(text, spans)), dict(Counter(span.kind for span in spans))


def _words(text: str) -> list[str]:
    """Parted and lowered here and not by a database, whose idea of a letter depends on its locale."""
    return [word[:_MAX_WORD] for word in _WORD.findall(text.lower())]


def _joined(words: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(words))
