"""Reads of the changes room: the ledger of an incident and its reconciliation with the traces."""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Literal, get_args

from django.db.models import QuerySet

from postmortem.changes.as_observed import as_observed
from postmortem.changes.duplicates import likely_duplicates
from postmortem.changes.exposure import BASES, Basis, ExposureTotals, exposure_totals
from postmortem.changes.models import Change, ChangeFeed, ChangeRevision
from postmortem.changes.reconcile import NeverObserved, Reconciliation, never_logged, never_observed_of
from postmortem.changes.records import ChangeRecord
from postmortem.changes.stored import record_of
from postmortem.changes.telling import telling_facets
from postmortem.incidents.models import Incident
from postmortem.traces.counts import EvidenceState, evidence_state
from postmortem.traces.grouped import cells_of_grouped
from postmortem.traces.models import GroupedCells
from postmortem.traces.stored_cells import trace_cells

# A cause may be older than the baseline, and the log that mends it comes after the incident.
BEFORE_BASELINE = timedelta(days=14)
AFTER_INCIDENT = timedelta(days=2)

State = Literal["observed", "inferred", "never observed", "no traces yet"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One change joined with the incident's traces.

    `exposed_count` is the expected number of traces on it (canaries count their share), `exposed_share`
    that number as a fraction of all traces; `basis` is how most of them are known.
    """

    change: Change
    exposed_count: int
    exposed_share: float
    basis: Basis
    state: State


@dataclass(frozen=True, slots=True)
class Join:
    """Everything the join says about an incident: the ledger in order of time, and both reconciliation lists."""

    ledger: list[LedgerRow]
    reconciliation: Reconciliation


def changes_for_incident(incident: Incident) -> QuerySet[Change]:
    """The feature's changes that can matter, in order of time: all of them while there is no window.

    Else those from BEFORE_BASELINE before the baseline to AFTER_INCIDENT after the incident window.
    """
    changes = Change.objects.filter(feature_id=incident.feature_id, merged_into=None).select_related("added_by")
    if start := incident.baseline_start or incident.incident_start:
        changes = changes.filter(until__gte=start - BEFORE_BASELINE)
    if incident.incident_end:
        changes = changes.filter(at__lte=incident.incident_end + AFTER_INCIDENT)
    return changes.order_by("at", "id")


def change_records(incident: Incident) -> list[ChangeRecord]:
    """`changes_for_incident` as records; what merged entries tell besides fills what an entry does not tell itself."""
    changes = list(changes_for_incident(incident))
    merged = merged_changes(incident, changes)
    records = []
    for change in changes:
        record = record_of(change)
        told = {name: value for other in merged.get(change.pk, []) for name, value in other.details.items()}
        records.append(replace(record, details={**told, **record.details}) if told else record)
    return records


def version_records(incident: Incident) -> list[ChangeRecord]:
    """Those of `changes_for_incident` that bring a version: all that a trace's version tuple can come from."""
    moving = changes_for_incident(incident).exclude(facet="").exclude(to_version="").select_related(None)
    return [record_of(change) for change in moving]


def read_join(incident: Incident, grouped: GroupedCells | None = None) -> Join:
    """Join the incident's changes with its traces, or with a window that a server `grouped`.

    Computed once for a state of the evidence and of the change log: pages ask for it again and again, and neither
    changes once it is stored. Two queries, two more the first time, whatever their number.
    """
    log = tuple(changes_for_incident(incident).values_list("pk", "content_sha256", "revision", "added_at"))
    return _join(incident, evidence_state(incident), log, grouped)


@lru_cache(maxsize=16)
def _join(
    incident: Incident, evidence: EvidenceState, _log: tuple[Hashable, ...], grouped: GroupedCells | None
) -> Join:
    """The log is only what the answer is known by."""
    changes = list(changes_for_incident(incident))
    records = [record_of(change) for change in changes]
    moments = [moment.timestamp() for record in records for moment in (record.at, record.until)]
    if grouped is None:
        cells = trace_cells(incident, moments, state=evidence, narrow=partial(telling_facets, records))
    else:
        cells = cells_of_grouped(grouped)
    records = as_observed(records, cells)
    rows: list[LedgerRow] = []
    missing: list[NeverObserved] = []
    total = cells.trace_count
    for change, record, totals in zip(changes, records, exposure_totals(records, cells), strict=True):
        unseen = never_observed_of(record, cells, totals) if total else None
        missing += [unseen] if unseen else []
        rows.append(_ledger_row(change, total, totals, is_missing=unseen is not None))
    moves = never_logged(records, cells) if total else []
    return Join(rows, Reconciliation(missing, moves))


def merged_changes(incident: Incident, changes: Collection[Change]) -> dict[int, list[Change]]:
    """The entries that were merged into each of `changes`, by its key; one query."""
    found: dict[int, list[Change]] = {}
    rows = Change.objects.filter(feature_id=incident.feature_id, merged_into__in=[change.pk for change in changes])
    for row in rows.order_by("at", "id"):
        found.setdefault(row.merged_into_id, []).append(row)
    return found


def corrections_of(changes: Collection[Change]) -> dict[int, list[ChangeRevision]]:
    """The corrections of each of `changes`, the newest first; one query."""
    found: dict[int, list[ChangeRevision]] = {}
    rows = ChangeRevision.objects.filter(change__in=[change.pk for change in changes]).select_related("by")
    for row in rows.order_by("-number"):
        found.setdefault(row.change_id, []).append(row)
    return found


def duplicate_pairs(rows: Sequence["LedgerRow"]) -> list[tuple[Change, Change, str, bool]]:
    """Entries of the ledger that look like one change told by two feeds, the reason, and whether it is a sure one."""
    changes = {row.change.external_id: row.change for row in rows}
    origins = [f"{row.change.source} {row.change.origin}" for row in rows]
    pairs = likely_duplicates([record_of(row.change) for row in rows], origins)
    return [(changes[pair.first], changes[pair.second], pair.reason, pair.is_sure) for pair in pairs]


def feeds_in(rows: Sequence["LedgerRow"]) -> list[tuple[int, str]]:
    """(key, name) of the feeds that brought entries of the ledger, by name; one query."""
    keys = {row.change.feed_id for row in rows} - {None}
    return list(ChangeFeed.objects.filter(pk__in=keys).order_by("name").values_list("pk", "name")) if keys else []


def ledger(incident: Incident, grouped: GroupedCells | None = None) -> list[LedgerRow]:
    """The change ledger with exposure; see `read_join` when the reconciliation is needed as well."""
    return read_join(incident, grouped).ledger


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """What narrows the ledger; empty parts narrow nothing. `start` and `end` (UTC) keep what ran between them."""

    text: str = ""
    layer: str = ""
    state: str = ""
    source: str = ""
    feed: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    by_exposure: bool = False  # the most exposed first, else in order of time

    @property
    def narrows(self) -> bool:
        """Whether any row could be left out."""
        return any((self.text, self.layer, self.state, self.source, self.feed, self.start, self.end))


def narrowed(rows: Sequence[LedgerRow], wanted: LedgerFilter) -> list[LedgerRow]:
    """The rows that fit, in the order asked for."""
    text = wanted.text.strip().lower()

    def fits(row: LedgerRow) -> bool:
        change = row.change
        scope = (str(value) for values in change.scope.values() for value in values)
        words = (
            change.summary, change.external_id, change.actor, change.facet, change.from_version, change.to_version,
            change.origin, *scope,
        )  # fmt: skip
        return (
            wanted.layer in ("", change.layer)
            and wanted.state in ("", row.state)
            and wanted.source in ("", change.source)
            and wanted.feed in (None, change.feed_id)
            and (wanted.start is None or change.until >= wanted.start)
            and (wanted.end is None or change.at < wanted.end)
            and (not text or any(text in part.lower() for part in words))
        )

    found = [row for row in rows if fits(row)]
    return sorted(found, key=lambda row: -row.exposed_share) if wanted.by_exposure else found


def reconciliation(incident: Incident) -> Reconciliation:
    """What was logged but never observed, and observed but never logged."""
    return read_join(incident).reconciliation


def _ledger_row(change: Change, total: int, totals: ExposureTotals, *, is_missing: bool) -> LedgerRow:
    # How most of the exposed traces are known; of those in scope when none is exposed.
    counted = totals.exposed if totals.exposed.any() else totals.in_scope
    basis = BASES[int(counted.argmax())] if counted.any() else "outside"
    state: State = "observed" if basis == "observed" else "inferred"
    if not total:
        state = "no traces yet"
    elif is_missing:
        state = "never observed"
    return LedgerRow(change, round(totals.expected), totals.expected / total if total else 0.0, basis, state)
