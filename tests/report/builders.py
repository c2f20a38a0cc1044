"""A whole incident, ready to publish: the encoder upgrade that left the index behind. Made up, numbers and all."""

import math
from datetime import date, timedelta
from typing import Any

from postmortem.accounts.models import Person, Role
from postmortem.attribution.models import Finding
from postmortem.attribution.selectors import inputs_sha256
from postmortem.incidents.models import Incident, ParticipantRole
from postmortem.lib.clock import format_moment, parse_moment
from postmortem.lib.layers import Layer
from postmortem.review.checklist import load_checklist
from postmortem.review.content import layer_content_hash
from postmortem.review.models import CausalEdge, ChecklistAnswer, ContributingFactor, Evidence, SignOff, Verdict
from postmortem.traces.models import EvidenceBlob, EvidenceImport
from tests.builders import (
    make_action,
    make_change,
    make_feature,
    make_incident,
    make_participant,
    make_person,
    make_team,
    make_trace,
)

START = parse_moment("2026-03-01T00:00:00Z")
ONSET = parse_moment("2026-03-09T09:40:00Z")
DETECTED = parse_moment("2026-03-11T15:25:00Z")
MITIGATED = parse_moment("2026-03-12T16:40:00Z")
SECOND_REGION = parse_moment("2026-03-11T06:40:00Z")
CAUSE = "retrieval-3"
# id, layer, summary, days since START, hours of rollout, probability, more
_CHANGES: list[tuple[str, str, str, float, float, float, dict[str, Any]]] = [
    ("model-1", "model", "Alias support-chat → 2026-02-18", 4.4, 0, 0.002, {}),
    ("model-2", "model", "Temperature 0.3 → 0.2", 9.5, 20, 0.012, {"rollout": "canary", "canary_share": 0.25}),
    ("prompt-1", "prompt", "Answer prompt v41 → v42", 2.45, 0, 0.003, {}),
    ("prompt-2", "prompt", "Refund examples v42 → v43", 8.31, 0, 0.04, {}),
    ("prompt-3", "prompt", "order_lookup schema +1 field", 10.4, 0, 0.004, {}),
    ("retrieval-1", "retrieval", "4,812 documents added", 5.1, 2, 0.006, {}),
    ("retrieval-2", "retrieval", "Reranker top-k 8 → 6", 9.7, 0, 0.009, {}),
    (CAUSE, "retrieval", "Query encoder helix-2 → helix-3", 8.39, 45.3, 0.97,
     {"rollout": "staged", "stages": {"facet": "region", "order": ["eu-west", "us-east"]}, "facet": "encoder",
      "from_version": "helix-2", "to_version": "helix-3"}),
    ("retrieval-4", "retrieval", "Encoder rolled back", 11.69, 0, 0.001,
     {"is_rollback": True, "facet": "encoder", "from_version": "helix-3", "to_version": "helix-2"}),
    ("retrieval-5", "retrieval", "Filter acl-9", 11.95, 0, 0.0, {}),
    ("infrastructure-1", "infrastructure", "Re-embed job set to manual", 3.56, 0, 0.007, {}),
    ("infrastructure-2", "infrastructure", "Release 2026.10.1", 7.83, 18, 0.02, {"rollout": "ramp"}),
    ("infrastructure-3", "infrastructure", "Answer cache lifetime 6 h → 48 h", 6.63, 0, 0.06, {}),
    ("infrastructure-4", "infrastructure", "Judge prompt v7 → v8", 9.38, 0, 0.04, {}),
    ("infrastructure-5", "infrastructure", "Failover config", 12.53, 0, 0.001, {}),
]  # fmt: skip


def finding_result(**replaced: Any) -> dict[str, Any]:
    """A finding's JSON in the full shape of the contract; keyword arguments replace parts."""
    hypotheses = [_hypothesis(*row[:6]) for row in _CHANGES]
    hypotheses += [
        {"kind": "unlogged", "changes": [], "layer": None, "probability": 0.03, "effect": _estimate(-0.126, 0.018),
         "title": "An unlogged step in eu-west on 9 March", "sentence": "Something that no log mentions.",
         "arithmetic": None, "exposed_series": None},
        {"kind": "mix", "changes": [], "layer": None, "probability": 0.004, "effect": None, "title": "Traffic mix",
         "sentence": "The mix explains −0.3 of −10.1 points.", "arithmetic": None, "exposed_series": None},
        {"kind": "none", "changes": [], "layer": None, "probability": 0.001, "effect": None, "title": "Nothing",
         "sentence": "Chance alone.", "arithmetic": None, "exposed_series": None},
    ]  # fmt: skip
    layers = [("model", 0.014, "ruled_out", 0.009), ("prompt", 0.045, "open", 0.026),
              ("retrieval", 0.97, "ruled_in", None), ("infrastructure", 0.09, "open", 0.019)]  # fmt: skip
    result = {
        "method": "stratified-mh-1",
        "headline": "One change explains the drop: Query encoder helix-2 → helix-3, P 0.97",
        "lede": "Grounded answers fell by 10.1 points (9.3 to 10.9). At the same time, traces on the new encoder "
        "did 13.0 points worse than the others (11.2 to 14.7).",
        "signal": {"name": "grounded", "label": "Grounded answer rate", "worse": "lower", "kind": "binary",
                   "unit": "share"},
        "windows": {"baseline": _window("2026-03-02T00:00:00.000Z", "2026-03-09T00:00:00.000Z", 21729, 0.922, 0.0035),
                    "incident": _window(format_moment(ONSET), format_moment(MITIGATED), 11146, 0.821, 0.007)},
        "drop": {"estimate": -0.101, "interval": [-0.109, -0.093]},
        "onset": {"at": "2026-03-09T09:20:00.000Z",
                  "interval": ["2026-03-09T08:00:00.000Z", "2026-03-09T11:00:00.000Z"]},
        "series": _series(),
        "hypotheses": sorted(hypotheses, key=lambda one: -one["probability"]),
        "layers": [
            {"layer": name, "probability": p, "verdict": verdict, "largest_hidden_harm": harm,
             "for": [{"text": f"{name}: moved near the onset.", "change": None}], "against": []}
            for name, p, verdict, harm in layers
        ],
        "credible_sets": [[CAUSE]],
        "reconciliation": {
            "never_observed": [{"change": "retrieval-5", "layer": "retrieval", "reason": "0 of 43,509 traces."}],
            "never_logged": [
                {"facet": "judge_version", "layer": "infrastructure", "from": "v8", "to": "v8.1",
                 "at": "2026-03-10T13:04:00.000Z", "count": 2310, "scope": "everything"},
            ],
        },
        "mix": {"total": -0.101, "mix": -0.003, "within": -0.098, "facet": "intent",
                "groups": [{"value": "refund", "share_before": 0.21, "share_after": 0.24, "mean_before": 0.91,
                            "mean_after": 0.74},
                           {"value": "delivery", "share_before": 0.79, "share_after": 0.76, "mean_before": 0.925,
                            "mean_after": 0.846}]},
        "counts": {"traces": 43509, "with_signal": 43120, "changes": len(_CHANGES)},
    }  # fmt: skip
    return result | replaced


def make_publishable(number: str = "INC-2026-0007", **fields: Any) -> Incident:
    """An incident for which every rule of the gate is met."""
    search, platform, quality, prompts = (make_team(name) for name in ("Search", "Platform", "Quality", "Prompts"))
    helen = make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org", team=quality)
    leads = {
        "model": make_person("Jun Sato", team=platform),
        "prompt": make_person("Amara Obi", team=prompts),
        "retrieval": make_person("Priya Nair", team=search),
        "infrastructure": make_person("Tomasz Wilk", team=platform),
    }
    incident = make_incident(
        number, by=helen, feature=make_feature(team=search),
        **{**_words(), **_times(), "severity": "sev2", "signal": "grounded", "status": "in_review", **fields},
    )  # fmt: skip
    make_participant(incident, helen, ParticipantRole.FACILITATOR)
    for layer, person in leads.items():
        make_participant(incident, person, ParticipantRole.LAYER_LEAD, layer)
    changes = {
        external_id: make_change(
            external_id, feature=incident.feature, layer=layer, summary=summary, at=START + timedelta(days=days),
            until=START + timedelta(days=days, hours=hours), **more,
        )
        for external_id, layer, summary, days, hours, _, more in _CHANGES
    }  # fmt: skip
    _add_traces(incident, helen)
    finding = Finding.objects.create(
        incident=incident, number=1, method="stratified-mh-1", code_version="0.1.0", inputs_sha256="0" * 64,
        result=finding_result(), run_by=helen, run_at=parse_moment("2026-03-16T09:12:00Z"),
    )  # fmt: skip
    _add_review(incident, leads, changes)
    _add_graph_and_actions(incident, leads, helen, make_person("Dana Levi", team=quality), changes)
    for layer in ("retrieval", "infrastructure"):
        SignOff.objects.create(
            incident=incident, layer=layer, signed_by=leads[layer], content_sha256=layer_content_hash(incident, layer)
        )
    SignOff.objects.create(
        incident=incident, layer="", signed_by=helen, content_sha256=layer_content_hash(incident, "")
    )
    Finding.objects.filter(pk=finding.pk).update(inputs_sha256=inputs_sha256(incident))
    return incident


def _words() -> dict[str, str]:
    return {
        "title": "Refund answers went stale after an encoder upgrade left the index behind",
        "summary": "From 9 to 12 March 2026 the Help Centre Assistant searched its documents with a new encoder "
        "while the documents were still indexed with the old one. It found the wrong passages and answered with "
        "outdated refund rules. Nothing failed and nothing alerted; the support desk noticed after two days.",
        "impact": "About **1,120 wrong answers** (1,030 to 1,210) reached customers in eu-west and, from 11 March, "
        "in us-east.\n\n- 412 customers had to be contacted\n- 23 refunds were refused against current rules",
        "decisions_requested": "1. **Give Search and Platform 9 engineer days** before 10 April for A-1, A-2 and "
        "A-4.\n2. **Decide whether the 23 refused refunds are paid** without a new request. Cost: 1,840 EUR.\n"
        "3. **Make recall a release condition** for every assistant that searches documents (four today).",
        "detection_gap": "No alert reads recall or groundedness. The support desk counted complaints by hand and "
        "told the team on 11 March at 15:25, 2 d 5 h after the onset.",
        "lessons": "Two regions had the new encoder at different times, which is why the cause could be told apart. "
        "That was luck: a global rollout would have hidden it.",
    }  # fmt: skip


def _times() -> dict[str, Any]:
    return {
        "latent_since": parse_moment("2026-03-04T13:30:00Z"), "onset_at": ONSET, "detected_at": DETECTED,
        "mitigated_at": MITIGATED, "recovered_at": parse_moment("2026-03-12T19:00:00Z"),
        "users_recovered_at": parse_moment("2026-03-14T09:00:00Z"), "affected_people": 412,
        "baseline_start": parse_moment("2026-03-02T00:00:00Z"), "baseline_end": parse_moment("2026-03-09T00:00:00Z"),
        "incident_start": ONSET, "incident_end": MITIGATED,
    }  # fmt: skip


def _add_traces(incident: Incident, person: Person) -> None:
    for place in range(4):
        make_trace(
            incident, f"trace-{place}", timestamp=START + timedelta(days=7 + place),
            facets={"encoder": "helix-3" if place > 1 else "helix-2", "region": "eu-west"},
        )  # fmt: skip
    evidence_import = EvidenceImport.objects.get(incident=incident)
    EvidenceImport.objects.filter(pk=evidence_import.pk).update(imported_by=person, finished=True, trace_count=4)
    blob = EvidenceBlob.objects.create(sha256="ab" * 32, size_bytes=48_211, compressed=b"")
    evidence_import.blobs.add(blob)


def _add_review(incident: Incident, leads: dict[str, Person], changes: dict[str, Any]) -> None:
    pieces = {
        "retrieval": (
            "Queries used helix-3, the index helix-2. Exposed 79.3% (n 3,092), not exposed 92.3% (n 2,828) in the "
            "same hours: −13.0 points (−14.7 to −11.2).",
            "Rate stays 2.9 points low for 13 h after the rollback.",
        ),
        "infrastructure": (
            "A 48 h answer cache kept stale answers alive after mitigation: 611 of 702 complaints.",
            "No infrastructure change moves the rate at onset.",
        ),
        "prompt": ("Refund examples v43 went live 1 h 50 min earlier.", "us-east had v43 and did not fall."),
        "model": ("Temperature canary overlaps the incident.", "Canary 0.1 points (−0.8 to 1.0, n 6,114)."),
    }
    verdicts = {
        "retrieval": ("in", "The encoder moved and the index did not.", "in"),
        "infrastructure": ("in", "The cache kept stale answers alive, and no alert reads recall.", "insufficient"),
        "prompt": ("insufficient", "The example set is not on the trace, so v42 and v43 cannot be told apart.",
                   "insufficient"),
        "model": ("out", "The canary shows no difference and no more than 0.9 points could hide.", "out"),
    }  # fmt: skip
    for layer, (speaks_for, against) in pieces.items():
        for direction, text in (("for", speaks_for), ("against", against)):
            Evidence.objects.create(
                incident=incident, layer=layer, direction=direction, text=text, added_by=leads[layer],
                finding_number=1 if direction == "for" else None,
                change=changes[CAUSE] if layer == "retrieval" and direction == "for" else None,
            )  # fmt: skip
        value, reason, proposed = verdicts[layer]
        Verdict.objects.create(
            incident=incident, layer=layer, value=value, reason=reason, proposed=proposed, decided_by=leads[layer],
            decided_at=parse_moment("2026-03-16T14:00:00Z"),
        )  # fmt: skip
    ChecklistAnswer.objects.create(
        incident=incident, checklist_version="2026-1", layer="retrieval",
        question_id=load_checklist().sections[Layer.RETRIEVAL][0].id,
        value="no", note="Encoder helix-3, index helix-2.", answered_by=leads["retrieval"],
    )  # fmt: skip


def _add_graph_and_actions(
    incident: Incident, leads: dict[str, Person], helen: Person, dana: Person, changes: dict[str, Any]
) -> None:
    def factor(kind: str, layer: str, text: str, **more: Any) -> ContributingFactor:
        return ContributingFactor.objects.create(
            incident=incident, kind=kind, layer=layer, text=text, added_by=helen, **more
        )

    manual = factor("latent_condition", "infrastructure", "Re-embedding was set to manual and nobody owned it")
    trigger = factor(
        "trigger", "retrieval", "Query encoder moved to helix-3, the index stayed on helix-2", change=changes[CAUSE]
    )
    guard = factor("missing_guard", "retrieval", "Nothing compares the encoder of queries with that of the index")
    cache = factor("amplifier", "infrastructure", "The answer cache kept stale answers for 48 h")
    gap = factor(
        "detection_gap", "infrastructure", "No alert reads recall", risk_accepted_by=helen,
        risk_accepted_reason="Until A-3 is verified, the support desk counts complaints daily.",
    )  # fmt: skip
    impact = factor("impact", "", "1,120 wrong refund answers reached customers")
    for cause, effect in (
        (manual, trigger), (guard, trigger), (trigger, impact), (trigger, cache), (cache, impact), (gap, impact),
    ):  # fmt: skip
        CausalEdge.objects.create(incident=incident, cause=cause, effect=effect)
    items: list[tuple[str, str, str, Person, date, str, ContributingFactor | None]] = [
        ("Refuse to start when index and query encoder ids differ", "retrieval", "prevent", leads["retrieval"],
         date(2026, 3, 27), "Staging start with mixed ids fails; 0 mixed traces in 14 days", trigger),
        ("Start re-embedding from the encoder release, not by hand", "infrastructure", "prevent",
         leads["infrastructure"], date(2026, 4, 10), "Next encoder change: index ready first", manual),
        ("Hourly known-item recall alert, page under 0.85", "infrastructure", "detect", dana, date(2026, 4, 3),
         "Replay of 9 March pages within 2 h", gap),
        ("Empty the answer cache on every encoder or index change", "infrastructure", "mitigate",
         leads["infrastructure"], date(2026, 4, 3), "0 cached answers older than the index, 14 days", cache),
        ("Log the example-set hash on every trace", "prompt", "instrument", leads["prompt"], date(2026, 4, 17),
         "At least 99% of traces carry it, 7 days", None),
    ]  # fmt: skip
    for number, (title, layer, kind, owner, due_on, verification, cuts) in enumerate(items, 1):
        make_action(
            incident, owner, number, title=title, layer=layer, kind=kind, due_on=due_on, verification=verification,
            cuts_factor=cuts,
        )  # fmt: skip


def _rate(day: float) -> float:
    """The made-up rate: 92 percent, lower in one region from the onset and in both from the second stage on."""
    moment = START + timedelta(days=day)
    wobble = 0.012 * math.sin(day * 5.3) + 0.007 * math.sin(day * 17.1)
    if moment < ONSET or moment > MITIGATED + timedelta(hours=8):
        return 0.922 + wobble
    return (0.855 if moment < SECOND_REGION else 0.765) + wobble


def _series() -> list[dict[str, Any]]:
    bins = []
    for place in range(56):
        start = START + timedelta(hours=6 * place)
        day = (place + 0.5) / 4
        night = 1.6 if place % 4 in (0, 3) else 1
        bins.append(_window(format_moment(start), format_moment(start + timedelta(hours=6)),
                            int(780 / night), _rate(day), 0.019 * night))  # fmt: skip
    return bins


def _hypothesis(
    external_id: str, layer: str, summary: str, days: float, hours: float, probability: float
) -> dict[str, Any]:
    is_cause = external_id == CAUSE
    exposed, unexposed = (0.793, 0.923) if is_cause else (0.9, 0.905)
    series = [
        {
            "start": format_moment(START + timedelta(days=6, hours=6 * place)),
            "end": format_moment(START + timedelta(days=6, hours=6 * place + 6)),
            "exposed": _level(320, 0.79 + 0.012 * math.sin(place), 0.03) if 13 <= place < 27 else None,
            "unexposed": _level(410, 0.922 + 0.01 * math.sin(place * 2), 0.025) if place < 21 or place > 27 else None,
        }
        for place in range(32)
    ]
    return {
        "kind": "change", "changes": [external_id], "layer": layer, "probability": probability,
        "effect": _estimate(-0.13 if is_cause else -0.005, 0.017), "title": summary,
        "sentence": "For 45 hours one region had the new encoder and the other did not. On the same questions the "
        "first answered 79.3% well, the second 92.3%." if is_cause else "Exposed traces did as well as the others.",
        "arithmetic": {
            "exposed": _level(3092, exposed, 0.0145), "unexposed": _level(2828, unexposed, 0.01),
            "difference": _estimate(exposed - unexposed, 0.0175), "strata": 38, "z": -14.6 if is_cause else -0.6,
            "log_bayes_factor": 37.1 if is_cause else -1.2, "prior": 0.058, "probability": probability,
            "basis": {"observed": 3092, "inferred": 0, "expected": 0},
        },
        "exposed_series": series if probability >= 0.04 else None,
    }  # fmt: skip


def _window(start: str, end: str, count: int, mean: float, half: float) -> dict[str, Any]:
    return {"start": start, "end": end, **_level(count, mean, half)}


def _level(count: int, mean: float, half: float) -> dict[str, Any]:
    return {"count": count, "mean": mean, "interval": [round(mean - half, 4), round(mean + half, 4)]}


def _estimate(value: float, half: float) -> dict[str, Any]:
    return {"estimate": round(value, 4), "interval": [round(value - half, 4), round(value + half, 4)]}
