"""What is read from stored bytes after they are in: words for the search, facets of the house.

Small imports are read at once, large ones by idle workers, one blob after another; a worker that dies leaves its blob
to be read again. Reading twice changes nothing.
"""

from collections import Counter
from dataclasses import dataclass, field

from django.db import transaction

from postmortem.lib.errors import UserError
from postmortem.traces import redaction
from postmortem.traces.bulk import insert_rows
from postmortem.traces.facet_rules import Rule, apply_rules
from postmortem.traces.models import EvidenceBlob, EvidenceImport, ReadBlob, Trace, TraceText
from postmortem.traces.own_facets import active_rules, give_facets
from postmortem.traces.redaction import HousePattern
from postmortem.traces.rows import rows_of
from postmortem.traces.texts import MAX_TEXT, house_patterns, joined, read_blob, words_of
from postmortem.traces.values import long_text, short_text

AT_ONCE_BYTES = 1_000_000  # of one import: what somebody uploaded to be read can be searched at once
_MAX_PIECE = 4_000
_CHUNK = 1_000
_FIELDS = ("name", "input", "output", "statusMessage", "userId", "sessionId", "user_id", "session_id")


@dataclass(slots=True)
class _Parts:
    """What rows of one trace hold so far."""

    texts: list[str] = field(default_factory=list)
    facets: dict[str, str] = field(default_factory=dict)


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


def read_words(key: str) -> None:
    """Put the words of one blob's traces into the index, and note that it was read."""
    blob = EvidenceBlob.objects.get(pk=key)
    house, rules = house_patterns(), active_rules()
    waiting: dict[str, _Parts] = {}
    try:
        for row in rows_of(read_blob(blob), blob.sha256[:12], skip_faults=True):
            if row.kind == "score" or not row.trace_id:
                continue
            pieces = [long_text(row.value.get(name), _MAX_PIECE) for name in _FIELDS if row.value.get(name)]
            parts = waiting.setdefault(row.trace_id, _Parts())
            parts.texts += pieces
            apply_rules(rules, row.value, parts.facets)
            if len(waiting) >= _CHUNK:
                _store(blob, waiting, house, rules)
                waiting = {}
    except UserError:
        pass  # a page of another kind, e.g. prompts, or damaged bytes: reading a trace says which
    _store(blob, waiting, house, rules)
    ReadBlob.objects.get_or_create(blob=blob)


def _store(
    blob: EvidenceBlob, pieces: dict[str, _Parts], house: tuple[HousePattern, ...], rules: tuple[Rule, ...]
) -> None:
    if not pieces:
        return
    masked = {identifier: _masked(identifier, parts.texts, house) for identifier, parts in pieces.items()}
    with transaction.atomic():
        give_facets(blob, {identifier: parts.facets for identifier, parts in pieces.items()}, rules)
        traces = list(
            Trace.objects.filter(external_id__in=masked, trace_blobs__blob=blob).values_list("pk", "external_id")
        )
        stored = TraceText.objects.filter(pk__in=[pk for pk, _ in traces]).values_list("pk", "text", "kinds")
        known = {pk: (text, kinds) for pk, text, kinds in stored}
        rows = []
        for pk, identifier in traces:
            words, kinds = masked[identifier]
            text, before = known.get(pk, ("", {}))
            # What another part of the trace told stays; the larger count, so that reading twice changes nothing.
            merged = {kind: max(kinds.get(kind, 0), before.get(kind, 0)) for kind in {**before, **kinds}}
            rows.append((pk, joined([*text.split(), *words]), merged))
        insert_rows(TraceText, ("trace", "text", "kinds"), rows, unique=("trace",))


def _masked(identifier: str, pieces: list[str], house: tuple[HousePattern, ...]) -> tuple[list[str], dict[str, int]]:
    text = "\n".join(dict.fromkeys([short_text(identifier, 800), *pieces]))[:MAX_TEXT]
    spans = redaction.find(text, house)
    return words_of(redaction.without(text, spans)), dict(Counter(span.kind for span in spans))
