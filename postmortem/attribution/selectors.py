"""Reads of the attribution room: findings, whether they are stale, and the case that an incident makes."""

from collections.abc import Hashable, Sequence
from functools import lru_cache, partial
from typing import Any

from django.db.models import Max, QuerySet

from postmortem.attribution.calendar.selectors import retirement_moments
from postmortem.attribution.cases import case_edges
from postmortem.attribution.models import Finding
from postmortem.attribution.patterns.shapes import PatternInput
from postmortem.attribution.shapes import AttributionCase
from postmortem.attribution.symptoms import Symptoms, comparable_facets, find_symptoms
from postmortem.attribution.telling import case_facets
from postmortem.changes.selectors import change_records, changes_for_incident
from postmortem.incidents.models import Incident
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import canonical_json, sha256_hex
from postmortem.lib.layers import Layer
from postmortem.traces.cells import Cells
from postmortem.traces.counts import EvidenceState, evidence_state
from postmortem.traces.labelling import label_state
from postmortem.traces.models import EvidenceBlob, EvidenceImport
from postmortem.traces.records import TraceRecord
from postmortem.traces.selectors import evidence_counts, score_count, signals
from postmortem.traces.signals import LABEL
from postmortem.traces.stored_cells import signal_cells

MOST_SIGNALS = 24  # that the symptom finder compares
_WHOLE = 100 * 366 * 86_400  # seconds: one bin, but for the edges


def findings(incident: Incident) -> QuerySet[Finding]:
    """All runs of the incident, the newest first, with who ran them."""
    return Finding.objects.filter(incident=incident).select_related("run_by").order_by("-number")


def run_facts(finding: Finding) -> dict[str, Any]:
    """What `compare_runs` reads of a run."""
    return {
        "result": finding.result,
        "parameters": finding.parameters,
        "code_version": finding.code_version,
        "inputs_sha256": finding.inputs_sha256,
    }


def latest_finding(incident: Incident) -> Finding | None:
    """The newest run, None before the first."""
    return findings(incident).first()


def finding_is_stale(incident: Incident, finding: Finding) -> bool:
    """Whether evidence, changes, signal or windows changed since the run. A few queries, however many traces.

    A run on a window that a server grouped rests on those cells, whatever was imported since.
    """
    through = (finding.parameters or {}).get("through")
    if through:
        return sha256_hex(canonical_json(grouped_inputs(incident, through))) != finding.inputs_sha256
    return inputs_sha256(incident) != finding.inputs_sha256


def grouped_inputs(incident: Incident, through: dict[str, Any]) -> dict[str, Any]:
    """What an attribution of a grouped window rests on: its cells' hash (in `through`), the log and the questions."""
    return _asked(incident) | {"through": through}


def case_inputs(incident: Incident) -> dict[str, Any]:
    """What an attribution of this incident rests on, as plain JSON.

    Evidence and changes stand there by the SHA-256 of their content: evidence bytes are never edited,
    so their hashes and the counts tell whether anything came or went.
    """
    blobs = EvidenceBlob.objects.filter(imports__incident=incident).distinct().order_by("sha256")
    return {
        **_asked(incident),
        "evidence": list(blobs.values_list("sha256", flat=True)),
        "traces": evidence_counts(incident).traces,
        "scores": score_count(incident, incident.signal),
        **_labels(incident),
        **_facets_read(incident),
    }


def _asked(incident: Incident) -> dict[str, Any]:
    """The signal, the windows and the change logs."""
    moments = {
        name: format_moment(value) if (value := getattr(incident, name)) else None
        for name in ("baseline_start", "baseline_end", "incident_start", "incident_end", "detected_at")
    }
    log = changes_for_incident(incident).values_list("external_id", "content_sha256", "revision")
    return {"signal": incident.signal, "worse": incident.worse, **moments, "changes": sorted([*row] for row in log)}


def _labels(incident: Incident) -> dict[str, Any]:
    """Labels, unlike evidence, may be given and taken back without a change of their number."""
    if incident.signal != LABEL:
        return {}
    count, given, withdrawn = label_state(incident)
    return {"labels": [count, *(format_moment(moment) if moment else None for moment in (given, withdrawn))]}


def _facets_read(incident: Incident) -> dict[str, Any]:
    """Rules of the house may change facets of stored traces."""
    read = EvidenceImport.objects.filter(incident=incident).aggregate(at=Max("facets_read_at"))["at"]
    return {"facets_read_at": format_moment(read)} if read else {}


def inputs_sha256(incident: Incident) -> str:
    """Hash of `case_inputs`: equal inputs have equal hashes."""
    return sha256_hex(canonical_json(case_inputs(incident)))


def check_question(incident: Incident) -> None:
    """Raise UserError that says which of signal and windows is still to be entered."""
    if not incident.signal:
        raise UserError("No signal is chosen; choose on the incident's edit page what got worse.")
    if not (incident.baseline_start and incident.baseline_end and incident.incident_start and incident.incident_end):
        raise UserError("The baseline or the incident window is missing; enter both on the incident's edit page.")


def grouped_case(incident: Incident, cells: Cells) -> AttributionCase:
    """The incident as a case of cells that a server grouped. Raises UserError for what is still to be entered."""
    check_question(incident)
    return AttributionCase(
        signal=incident.signal,
        worse=incident.worse,
        detected_at=incident.detected_at or incident.incident_end,
        cells=cells,
        trace_count=cells.trace_count,
        changes=change_records(incident),
        baseline=(incident.baseline_start, incident.baseline_end),
        incident=(incident.incident_start, incident.incident_end),
    )


def attribution_case(incident: Incident) -> AttributionCase:
    """The incident as a case. Raises UserError that says what is still to be entered or imported."""
    check_question(incident)
    count = evidence_counts(incident).traces
    if not count:
        raise UserError("There are no traces; import evidence before you run the attribution.")
    changes = change_records(incident)
    detected = incident.detected_at or incident.incident_end
    baseline = (incident.baseline_start, incident.baseline_end)
    window = (incident.incident_start, incident.incident_end)
    return AttributionCase(
        signal=incident.signal,
        worse=incident.worse,
        detected_at=detected,
        cells=signal_cells(
            incident,
            incident.signal,
            case_edges(changes, detected, baseline, window),
            narrow=partial(case_facets, changes),
        ),
        trace_count=count,
        changes=changes,
        baseline=baseline,
        incident=window,
    )


def pattern_input(incident: Incident, traces: Sequence[TraceRecord]) -> PatternInput:
    """The incident as the failure-pattern detectors read it. Its signal and windows must be set."""
    return PatternInput(
        traces=traces,
        changes=change_records(incident),
        signal=incident.signal,
        worse=incident.worse,
        baseline=(incident.baseline_start, incident.baseline_end),
        incident=(incident.incident_start, incident.incident_end),
        mitigated_at=incident.mitigated_at,
        suspected=Layer(incident.suspected_layer) if incident.suspected_layer else None,
        retirements=retirement_moments(),
    )


def symptoms(incident: Incident) -> Symptoms:
    """What moved between the incident's windows. Computed once for a state of the evidence, labels and windows.

    Raises UserError while a window is missing.
    """
    edges = (incident.baseline_start, incident.baseline_end, incident.incident_start, incident.incident_end)
    if None in edges:
        raise UserError("Set the baseline and the incident window first; then it shows what moved between them.")
    moments = tuple(edge.timestamp() for edge in edges if edge)
    return _symptoms(incident, evidence_state(incident), label_state(incident), moments)


@lru_cache(maxsize=16)
def _symptoms(
    incident: Incident, _evidence: EvidenceState, _labels: tuple[Hashable, ...], moments: tuple[float, ...]
) -> Symptoms:
    """The second and third are only what the answer is known by."""
    names = [choice.name for choice in signals(incident)][:MOST_SIGNALS]
    # The windows are all that it asks of time.
    cells = {
        name: signal_cells(incident, name, edges=moments, narrow=comparable_facets, bin_seconds=_WHOLE)
        for name in names
    }
    return find_symptoms(cells, (moments[0], moments[1]), (moments[2], moments[3]))
