"""Builders of what the review reads: traces, a finding, a layer lead."""

from datetime import timedelta
from typing import Any

from postmortem.accounts.models import Person
from postmortem.attribution.models import Finding
from postmortem.incidents.models import Incident, Participant
from postmortem.lib.clock import parse_moment
from postmortem.traces.models import EvidenceImport, Trace

START = parse_moment("2026-03-09T00:00:00Z")


def make_lead(incident: Incident, person: Person, layer: str) -> Person:
    Participant.objects.create(incident=incident, person=person, role="layer_lead", layer=layer)
    return person


def make_traces(incident: Incident, count: int, **facets: str) -> list[Trace]:
    """One trace a minute from START on, all with these facets."""
    source = EvidenceImport.objects.create(incident=incident, kind="file", origin="traces.jsonl", finished=True)
    there = incident.traces.count()
    return Trace.objects.bulk_create(
        Trace(
            incident=incident,
            evidence_import=source,
            external_id=f"trace-{there + index}",
            timestamp=START + timedelta(minutes=index),
            facets=facets,
        )
        for index in range(count)
    )


def finding_result(**replaced: Any) -> dict[str, Any]:
    """A result in the shape that the attribution stores: retrieval is to blame, the others are not."""

    def layer(name: str, probability: float, verdict: str, harm: float | None) -> dict[str, Any]:
        text = {"text": f"{name}: exposed traces do worse", "change": "retrieval-1"}
        reverse = {"text": f"{name}: no difference", "change": None}
        return {
            "layer": name, "probability": probability, "verdict": verdict, "largest_hidden_harm": harm,
            "for": [text] if verdict == "ruled_in" else [], "against": [] if verdict == "ruled_in" else [reverse],
        }  # fmt: skip

    result = {
        "signal": {"name": "grounded", "label": "Grounded", "worse": "lower", "kind": "binary", "unit": "share"},
        "drop": {"estimate": -0.08, "interval": [-0.1, -0.06]},
        "onset": {
            "at": "2026-03-09T09:20:00.000Z", "interval": ["2026-03-09T08:00:00.000Z", "2026-03-09T10:00:00.000Z"],
        },
        "hypotheses": [
            {
                "kind": "change", "changes": ["retrieval-1"], "layer": "retrieval", "probability": 0.97,
                "effect": {"estimate": -0.09, "interval": [-0.11, -0.07]}, "title": "", "sentence": "",
                "arithmetic": {
                    "exposed": {"count": 3092, "mean": 0.793, "interval": [0.778, 0.807]},
                    "unexposed": {"count": 2908, "mean": 0.881, "interval": [0.869, 0.892]},
                    "difference": {"estimate": -0.088, "interval": [-0.107, -0.069]},
                },
            },
            {"kind": "unlogged", "changes": [], "layer": None, "probability": 0.02},
            {"kind": "mix", "changes": [], "layer": None, "probability": 0.0},
            {"kind": "none", "changes": [], "layer": None, "probability": 0.01},
        ],
        "layers": [
            layer("model", 0.01, "ruled_out", 0.005),
            layer("prompt", 0.01, "open", 0.03),
            layer("retrieval", 0.97, "ruled_in", None),
            layer("infrastructure", 0.01, "ruled_out", 0.01),
        ],
        "mix": {
            "total": -0.08, "mix": -0.01, "within": -0.07, "facet": "segment",
            "groups": [
                {"value": "trial", "share_before": 0.2, "share_after": 0.31, "mean_before": 0.8, "mean_after": 0.7},
            ],
        },
    }  # fmt: skip
    return result | replaced


def make_finding(incident: Incident, *, number: int = 1, result: dict[str, Any] | None = None) -> Finding:
    return Finding.objects.create(
        incident=incident, number=number, method="stratified-mh-1", code_version="0.1.0", inputs_sha256="0" * 64,
        result=finding_result() if result is None else result,
    )  # fmt: skip
