"""The words of traces for full-text search, read from the stored bytes in the background and masked first.

Search must not tell what a page would not show, so what is masked is in no index. Small imports are read at once,
large ones by idle workers, one blob after another; a worker that dies leaves its blob to be read again.
"""

import re
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from django.db import connection

from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.traces.models import EvidenceBlob, RedactionPattern, Trace, TraceText
from postmortem.traces.redaction import HousePattern

MAX_TEXT = 20_000  # characters of one trace
_MAX_WORD = 100
_WORD = re.compile(r"[^\W_]+")


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


def keys_with_words(words: Sequence[str], span: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Keys from span[0] to span[1] of the traces that hold every word, each as the beginning of a word, in order."""
    if connection.vendor == "postgresql":
        statement = "SELECT trace_id FROM traces_tracetext WHERE search @@ %s::tsquery AND trace_id BETWEEN %s AND %s"
        query = " & ".join(f"'{word}':*" for word in words)
    else:
        statement = "SELECT rowid FROM traces_words WHERE traces_words MATCH %s AND rowid BETWEEN %s AND %s"
        query = " ".join(f'"{word}"*' for word in words)
    with connection.cursor() as cursor:
        cursor.execute(statement, [query, *span])
        return np.sort(np.fromiter((row[0] for row in cursor.fetchall()), dtype=np.int64))


def holds_words(text: str, words: Iterable[str]) -> bool:
    """Whether every word begins a word of an indexed text: what the index answers, for one text."""
    padded = f" {text}"
    return all(f" {word}" in padded for word in words)


def masked_kinds(trace: Trace) -> dict[str, int]:
    """What was found and masked in the trace when its bytes were read for the search: {kind: how often}."""
    return TraceText.objects.filter(pk=trace.pk).values_list("kinds", flat=True).first() or {}


def unread_count(incident: Incident) -> int:
    """How many stored parts of the incident's evidence are not in the index yet."""
    return EvidenceBlob.objects.filter(imports__incident=incident, read=None).distinct().count()


def words_of(text: str) -> list[str]:
    """Parted and lowered here and not by a database, whose idea of a letter depends on its locale."""
    return [word[:_MAX_WORD] for word in _WORD.findall(text.lower())]


def joined(words: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(words))
