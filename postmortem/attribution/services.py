"""Writes of the attribution room: run the method over an incident and keep what it said."""

from functools import cache
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Max

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.attribution.calendar.selectors import calendar_sha256
from postmortem.attribution.interface import METHOD, attribute, result_to_json
from postmortem.attribution.models import Finding
from postmortem.attribution.patterns.detectors import detect_patterns
from postmortem.attribution.patterns.shapes import finding_to_json
from postmortem.attribution.selectors import (
    attribution_case,
    case_inputs,
    grouped_case,
    grouped_inputs,
    pattern_input,
)
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.hashing import canonical_json, sha256_hex
from postmortem.traces.grouped import cells_of_grouped
from postmortem.traces.models import GroupedCells
from postmortem.traces.selectors import evidence_counts, trace_records

MOST_PATTERN_TRACES = 100_000  # the detectors read single traces; beyond this each n-th of them


def run_attribution(*, incident: Incident, by: Person) -> Finding:
    """Run the attribution and add a finding, numbered from 1 within the incident.

    Earlier findings stay. Raises PermissionDenied, or UserError when the signal, a window or traces are missing.
    """
    require(by, Capability.REVIEW, incident)
    inputs = case_inputs(incident)  # as they were before: what comes in meanwhile makes the run stale
    result, every = attributed(incident)
    return _kept(incident, by, result, inputs, {"patterns_read_every": every})


def run_grouped_attribution(*, incident: Incident, by: Person, grouped: GroupedCells) -> Finding:
    """`run_attribution` on a window that a server grouped; the failure patterns read what traces are imported.

    Raises PermissionDenied, or UserError when the signal or a window is missing or there is too little to compare.
    """
    require(by, Capability.REVIEW, incident)
    result = result_to_json(attribute(grouped_case(incident, cells_of_grouped(grouped))))
    count = evidence_counts(incident).traces
    every = max(1, -(-count // MOST_PATTERN_TRACES))
    result["patterns"] = _patterns(incident, every) if count else []
    through = {
        "connection": grouped.origin, "granularity": grouped.granularity, "cells": grouped.cell_count,
        "sha256": grouped.sha256, "traces": grouped.trace_count,
    }  # fmt: skip
    more = {"patterns_read_every": every, "through": through}
    return _kept(incident, by, result, grouped_inputs(incident, through), more)


def _kept(
    incident: Incident, by: Person, result: dict[str, Any], inputs: dict[str, Any], parameters: dict[str, Any]
) -> Finding:
    digest = sha256_hex(canonical_json(inputs))
    with transaction.atomic():
        # The lock keeps two runs that end together from taking one number.
        Incident.objects.select_for_update().get(pk=incident.pk)
        last = Finding.objects.filter(incident=incident).aggregate(last=Max("number"))["last"] or 0
        finding = Finding.objects.create(
            incident=incident,
            number=last + 1,
            method=METHOD,
            code_version=code_version(),
            inputs_sha256=digest,
            parameters={
                "signal": incident.signal,
                "worse": incident.worse,
                "windows": result["windows"],
                "retirements": calendar_sha256(),
                "inputs": inputs,
                **parameters,
            },
            result=result,
            run_by=by,
        )
        audit.record(
            person=by,
            action="attribution run",
            subject=f"run {finding.number}",
            incident_number=incident.number,
            after={"headline": result["headline"], "inputs": digest},
        )
    return finding


def attributed(incident: Incident) -> tuple[dict[str, Any], int]:
    """What a run over the stored evidence says, patterns included, without storing it; they read each n-th trace.

    Returns the result and n. Raises UserError when the signal, a window or traces are missing.
    """
    case = attribution_case(incident)
    result = result_to_json(attribute(case))
    every = max(1, -(-case.trace_count // MOST_PATTERN_TRACES))
    result["patterns"] = _patterns(incident, every)
    return result, every


def _patterns(incident: Incident, every: int) -> list[dict[str, Any]]:
    given = pattern_input(incident, trace_records(incident, every=every))
    return [finding_to_json(found, number) for number, found in detect_patterns(given)]


@cache
def code_version() -> str:
    """Short hash of the method's own source: equal code has an equal version, with or without a checkout."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    return sha256_hex(b"\0".join(source.read_bytes() for source in sources))[:12]
