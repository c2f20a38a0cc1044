"""Facets of the house: rules that an administrator adds, and their values on stored traces."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice

from django.db import IntegrityError, transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.counts import EvidenceState, evidence_state
from postmortem.traces.facet_rules import Rule, check_rule, places_of, value_at
from postmortem.traces.models import EvidenceBlob, EvidenceImport, FacetRule, OwnFacets, ReadBlob, Trace
from postmortem.traces.rows import Row, rows_of
from postmortem.traces.stored_columns import forget_columns
from postmortem.traces.texts import read_blob

_SAMPLE_BLOBS = 4
_SAMPLE_BYTES = 20_000_000
_SAMPLE_ROWS = 400  # of one blob


@dataclass(frozen=True, slots=True)
class FacetPlace:
    """Where a facet was found, and in what share (0 to 1) of the sampled traces."""

    facet: str
    place: str
    share: float


def rules_in_force() -> list[FacetRule]:
    """The rules that apply, by name."""
    return list(FacetRule.objects.filter(retired_at=None).select_related("added_by").order_by("name"))


def add_rule(*, by: Person, name: str, path: str) -> FacetRule:
    """Add a facet; workers then read it from all stored bytes. Raises UserError for a bad or second one."""
    require(by, Capability.CONFIGURE)
    name, path = name.strip(), path.strip()
    check_rule(name, path)
    try:
        with transaction.atomic():
            rule = FacetRule.objects.create(name=name, path=path, added_by=by)
            audit.record(person=by, action="add facet", subject=name, after={"path": path})
            ReadBlob.objects.all().delete()
    except IntegrityError as error:
        raise UserError(f"There is a rule for {name} already; retire it before you add another.") from error
    return rule


def retire_rule(*, rule: FacetRule, by: Person) -> None:
    """Stop reading a facet; workers then take back what the rule gave to stored traces."""
    require(by, Capability.CONFIGURE)
    with transaction.atomic():
        if FacetRule.objects.filter(pk=rule.pk, retired_at=None).update(retired_at=utc_now()):
            audit.record(person=by, action="retire facet", subject=rule.name, before={"path": rule.path})
            ReadBlob.objects.all().delete()


def active_rules() -> tuple[Rule, ...]:
    """The rules in force as the reader of bytes wants them."""
    return tuple(Rule(rule.name, rule.path) for rule in FacetRule.objects.filter(retired_at=None).order_by("name"))


def give_facets(blob: EvidenceBlob, found: Mapping[str, Mapping[str, str]], rules: Iterable[Rule]) -> None:
    """Bring the facets of a blob's traces in line with the rules; `found` holds what they find, by external id.

    What a source says itself is never replaced. What another part of the same trace gave under the same rule stays.
    """
    paths = {rule.name: rule.path for rule in rules}
    traces = Trace.objects.filter(trace_blobs__blob=blob, external_id__in=found).select_related("own_facets")
    changed, owned = [], []
    for trace in traces:
        before = trace.own_facets.given if hasattr(trace, "own_facets") else {}
        base = {
            name: value for name, value in trace.facets.items() if not (name in before and before[name][1] == value)
        }
        given = {name: pair for name, pair in before.items() if paths.get(name) == pair[0]}
        given |= {name: [paths[name], value] for name, value in found[trace.external_id].items() if name not in given}
        given = {name: pair for name, pair in given.items() if name not in base}
        facets = base | {name: pair[1] for name, pair in given.items()}
        if facets != trace.facets or given != before:
            trace.facets = facets
            changed.append(trace)
            owned.append(OwnFacets(trace=trace, given=given))
    if changed:
        Trace.objects.bulk_update(changed, ["facets"], batch_size=200)
        OwnFacets.objects.bulk_create(
            owned, update_conflicts=True, unique_fields=["trace"], update_fields=["given"], batch_size=200
        )
        EvidenceImport.objects.filter(blobs=blob).update(facets_read_at=utc_now())
        for incident_id, changed_of_incident in groupby(
            sorted(changed, key=lambda trace: trace.incident_id), key=lambda trace: trace.incident_id
        ):
            forget_columns(incident_id, [trace.pk for trace in changed_of_incident])


def facet_places(incident: Incident) -> list[FacetPlace]:
    """Where the sampled traces hold each facet, the most frequent place first; once for a state of the evidence."""
    return _facet_places(evidence_state(incident))


@lru_cache(maxsize=16)
def _facet_places(state: EvidenceState) -> list[FacetPlace]:
    counts: Counter[tuple[str, str]] = Counter()
    traces: set[str] = set()
    seen: set[tuple[str, str]] = set()
    for row in sample_rows(state.incident_id):
        traces.add(row.trace_id)
        for facet, place in places_of(row.value).items():
            if (row.trace_id, facet) not in seen:
                seen.add((row.trace_id, facet))
                counts[(facet, place)] += 1
    return [FacetPlace(facet, place, count / len(traces)) for (facet, place), count in counts.most_common()]


def try_path(incident: Incident, path: str) -> tuple[int, int, list[tuple[str, int]]]:
    """(sampled traces with a value at `path`, sampled traces, the most frequent values).

    Raises UserError for a bad path.
    """
    check_rule("any", path)
    values: dict[str, str] = {}
    traces: set[str] = set()
    for row in sample_rows(incident.pk):
        traces.add(row.trace_id)
        if row.trace_id not in values and (value := value_at(row.value, path)):
            values[row.trace_id] = value
    return len(values), len(traces), Counter(values.values()).most_common(8)


def sample_rows(incident_id: int) -> list[Row]:
    """Some rows of the incident's newest stored parts, as their source sent them."""
    blobs = EvidenceBlob.objects.filter(imports__incident=incident_id, size_bytes__lte=_SAMPLE_BYTES)
    blobs = blobs.filter(media_type="application/json")
    found: list[Row] = []
    for blob in blobs.distinct().order_by("-stored_at", "sha256")[:_SAMPLE_BLOBS]:
        try:
            rows = (
                row
                for row in rows_of(read_blob(blob), blob.sha256[:12], skip_faults=True)
                if row.kind != "score" and row.trace_id
            )
            found += islice(rows, _SAMPLE_ROWS)
        except UserError:
            continue
    return found
