"""One trace as people may read it: masked by default, in clear for those who may, each look recorded."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces import redaction
from postmortem.traces.models import ReadBlob, RedactionPattern, Score, Trace, TraceText
from postmortem.traces.records import TraceRecord
from postmortem.traces.redaction import HousePattern
from postmortem.traces.selectors import TraceReading, trace_reading
from postmortem.traces.texts import house_patterns
from postmortem.traces.tree import ObservationNode, flatten

_TRACE_TEXTS = ("name", "session_id", "user_id", "input_preview", "output_preview")
_OBSERVATION_TEXTS = ("name", "status_message", "session_id", "user_id", "trace_name", "input", "output")


def masked_reading(trace: Trace, places: range | None = None) -> TraceReading:
    """The trace read from its bytes with everything masked. Raises UserError when the bytes were tampered with.

    With `places` (positions in the flattened tree) only those observations keep their texts, and the last output of
    all: a page of a large trace searches no more than it shows.
    """
    return _masked(trace_reading(trace), house_patterns(), places)


def clear_reading(*, trace: Trace, by: Person, place: str = "") -> TraceReading:
    """The trace in clear. `place` says which part is looked at. Writes who looked at what into the audit log.

    Raises PermissionDenied without the capability, UserError when the bytes were tampered with.
    """
    require(by, Capability.REVEAL, trace.incident)
    reading = trace_reading(trace)
    with transaction.atomic():
        audit.record(
            person=by, action="see in clear", subject=trace.external_id, incident_number=trace.incident.number,
            after={"place": place or "trace", "kinds": kinds_in(reading)},
        )  # fmt: skip
    return reading


def kinds_in(reading: TraceReading, house: tuple[HousePattern, ...] | None = None) -> dict[str, int]:
    """What is masked in a trace's own text and its observations' input and output: {kind: how often}."""
    house = house_patterns() if house is None else house
    texts = [reading.input, reading.output]
    for node in flatten(reading.roots):
        texts += [node.observation.input, node.observation.output]
    # An input travels through many observations; it is searched once and counted once.
    return dict(Counter(span.kind for text in dict.fromkeys(texts) for span in redaction.find(text, house)))


def mask_traces(traces: Iterable[Trace], house: tuple[HousePattern, ...] | None = None) -> list[Trace]:
    """The rows as they may be shown; not to be saved."""
    house = house_patterns() if house is None else house
    return [_masked_trace(trace, house) for trace in traces]


def mask_record(record: TraceRecord, house: tuple[HousePattern, ...]) -> TraceRecord:
    """What a record that is not stored yet may show."""
    texts = {name: redaction.mask(getattr(record, name), house) for name in _TRACE_TEXTS}
    return replace(record, facets=redaction.mask_value(record.facets, house), **texts)


def patterns_in_force() -> list[RedactionPattern]:
    """The administrator's patterns with who added them."""
    return list(RedactionPattern.objects.filter(retired_at=None).select_related("added_by").order_by("kind", "pk"))


def add_pattern(*, by: Person, kind: str, pattern: str) -> RedactionPattern:
    """Mask something of the house from now on, in what is stored already too. Raises UserError for a bad pattern."""
    require(by, Capability.CONFIGURE)
    kind, pattern = kind.strip(), pattern.strip()
    if not 1 <= len(kind) <= 60:
        raise UserError("Name what the pattern finds in at most 60 characters, for example customer number.")
    redaction.check_pattern(pattern)
    with transaction.atomic():
        row = RedactionPattern.objects.create(kind=kind, pattern=pattern, added_by=by)
        audit.record(person=by, action="add redaction pattern", subject=kind, after={"pattern": pattern})
        TraceText.objects.all().delete()  # what it finds must not stay searchable
        ReadBlob.objects.all().delete()
    return row


def retire_pattern(*, row: RedactionPattern, by: Person) -> None:
    """Stop masking by this pattern; the row stays as history."""
    require(by, Capability.CONFIGURE)
    with transaction.atomic():
        RedactionPattern.objects.filter(pk=row.pk, retired_at=None).update(retired_at=utc_now())
        audit.record(person=by, action="retire redaction pattern", subject=row.kind, before={"pattern": row.pattern})


def _masked(reading: TraceReading, house: tuple[HousePattern, ...], places: range | None) -> TraceReading:
    known: dict[str, str] = {}

    def mask(text: str) -> str:
        if text not in known:
            known[text] = redaction.mask(text, house)
        return known[text]

    return replace(
        reading,
        trace=_masked_trace(reading.trace, house),
        roots=_masked_roots(reading.roots, house, mask, places),
        scores=[_masked_score(score, house) for score in reading.scores],
        input=mask(reading.input),
        output=mask(reading.output),
        metadata=redaction.mask_value(reading.metadata, house) if reading.metadata is not None else None,
    )


def _masked_roots(
    roots: list[ObservationNode],
    house: tuple[HousePattern, ...],
    mask: Callable[[str], str],
    places: range | None,
) -> list[ObservationNode]:
    """Rebuilt from the leaves up without recursion: agents nest thousands of steps deep."""
    order = list(flatten(roots))
    answer = next((place for place in reversed(range(len(order))) if order[place].observation.output), -1)
    built: dict[int, ObservationNode] = {}
    for place, node in reversed(list(enumerate(order))):
        found = node.observation
        if places is None or place in places:
            observation = replace(
                found,
                **{name: mask(getattr(found, name)) for name in _OBSERVATION_TEXTS},
                tags=tuple(mask(tag) for tag in found.tags),
                metadata=redaction.mask_value(dict(found.metadata), house),
                model_parameters=redaction.mask_value(dict(found.model_parameters), house),
            )
        else:
            texts = dict.fromkeys(_OBSERVATION_TEXTS, "")
            if place == answer:
                texts["output"] = mask(found.output)
            observation = replace(found, **texts, tags=(), metadata={}, model_parameters={})
        built[id(node)] = ObservationNode(observation, node.depth, tuple(built[id(child)] for child in node.children))
    return [built[id(root)] for root in roots]


def _masked_trace(trace: Trace, house: tuple[HousePattern, ...]) -> Trace:
    for name in _TRACE_TEXTS:
        setattr(trace, name, redaction.mask(getattr(trace, name), house))
    trace.facets = redaction.mask_value(trace.facets, house)
    return trace


def _masked_score(score: Score, house: tuple[HousePattern, ...]) -> Score:
    score.text_value = redaction.mask(score.text_value, house)
    return score
