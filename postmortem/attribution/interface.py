"""The one door of attribution: a case in, a result out, and the result's published JSON."""

from typing import Any

from postmortem.attribution.method import METHOD, attribute
from postmortem.attribution.shapes import (
    Arithmetic,
    AttributionCase,
    AttributionResult,
    Estimate,
    EvidenceText,
    ExposedBin,
    Hypothesis,
    LayerFinding,
    Level,
    MixSplit,
    OnsetFinding,
    RecoveryFinding,
    VersionWindow,
    WindowLevel,
)
from postmortem.lib.clock import format_moment

__all__ = ["METHOD", "AttributionCase", "AttributionResult", "attribute", "result_to_json"]

Json = dict[str, Any]


def result_to_json(result: AttributionResult) -> Json:
    """The published form: what `attribute --cases` prints, findings store and pages draw.

    Moments are RFC 3339 in UTC, rates are fractions from 0 to 1.
    """
    signal = result.signal
    return {
        "method": result.method,
        "headline": result.headline,
        "lede": result.lede,
        "signal": {
            "name": signal.name,
            "label": signal.label,
            "worse": signal.worse,
            "kind": signal.kind,
            "unit": signal.unit,
        },
        "windows": {"baseline": _window(result.baseline), "incident": _window(result.incident)},
        "drop": _estimate(result.drop),
        "onset": _onset(result.onset),
        "series": [_window(part) for part in result.series],
        "hypotheses": [_hypothesis(one) for one in result.hypotheses],
        "layers": [_layer(one) for one in result.layers],
        "credible_sets": [list(one.changes) for one in result.credible_sets],
        "told_apart": [
            {
                "changes": list(one.changes),
                "beside": list(one.beside),
                "share": one.share,
                "sentence": one.sentence,
            }
            for one in result.credible_sets
        ],
        "reconciliation": {
            "never_observed": [
                {"change": row.change, "layer": row.layer.value, "reason": row.reason} for row in result.never_observed
            ],
            "never_logged": [
                {
                    "facet": row.facet,
                    "layer": row.layer.value,
                    "from": row.from_version,
                    "to": row.to_version,
                    "at": format_moment(row.at),
                    "count": row.count,
                    "scope": row.scope,
                }
                for row in result.never_logged
            ],
        },
        "mix": _mix(result.mix),
        "settle": [
            {
                "kind": one.kind,
                "change": one.change,
                "layer": one.layer.value,
                "traces": one.traces,
                "hours": one.hours,
                "harm": one.harm,
                "title": one.title,
                "sentence": one.sentence,
            }
            for one in result.experiments
        ],
        "recovery": _recovery(result.recovery),
        "endings": [
            {
                "change": one.change,
                "at": format_moment(one.at),
                "share": _estimate(one.share),
                "during": one.during,
                "after": one.after,
            }
            for one in result.endings
        ],
        "interactions": [
            {
                "changes": list(one.changes),
                "probability": one.probability,
                "effect": _estimate(one.effect),
                "traces": one.traces,
                "sentence": one.sentence,
            }
            for one in result.interactions
        ],
        "versions": [
            {
                "facet": one.facet,
                "layer": one.layer.value,
                "before": _versions(one.before),
                "after": _versions(one.after),
            }
            for one in result.versions
        ],
        "counts": {
            "traces": result.trace_count,
            "with_signal": result.with_signal_count,
            "changes": result.change_count,
        },
    }


def _versions(window: VersionWindow) -> Json:
    return {
        "traces": window.traces,
        "values": [{"value": value, "count": count} for value, count in window.values],
        "more": window.more,
        "unrecorded": window.unrecorded,
    }


def _estimate(estimate: Estimate) -> Json:
    return {"estimate": estimate.estimate, "interval": list(estimate.interval)}


def _level(level: Level) -> Json:
    return {"count": level.count, "mean": level.mean, "interval": list(level.interval)}


def _window(window: WindowLevel) -> Json:
    return {"start": format_moment(window.start), "end": format_moment(window.end), **_level(window.level)}


def _onset(onset: OnsetFinding | None) -> Json | None:
    if onset is None:
        return None
    return {"at": format_moment(onset.at), "interval": [format_moment(moment) for moment in onset.interval]}


def _recovery(found: RecoveryFinding | None) -> Json | None:
    if found is None:
        return None
    return {
        "at": format_moment(found.at),
        "interval": [format_moment(moment) for moment in found.interval],
        "share": _estimate(found.share),
        "during": found.during,
        "after": found.after,
    }


def _hypothesis(one: Hypothesis) -> Json:
    return {
        "kind": one.kind,
        "changes": list(one.changes),
        "layer": one.layer.value if one.layer else None,
        "probability": one.probability,
        "effect": _estimate(one.effect) if one.effect else None,
        "title": one.title,
        "sentence": one.sentence,
        "arithmetic": _arithmetic(one.arithmetic) if one.arithmetic else None,
        "exposed_series": None if one.exposed_series is None else [_bin(part) for part in one.exposed_series],
    }


def _arithmetic(row: Arithmetic) -> Json:
    return {
        "exposed": _level(row.exposed),
        "unexposed": _level(row.unexposed),
        "difference": _estimate(row.difference),
        "strata": row.strata,
        "z": row.z,
        "log_bayes_factor": row.log_bayes_factor,
        "prior": row.prior,
        "inflation": row.inflation,
        "probability": row.probability,
        "basis": {"observed": row.observed, "inferred": row.inferred, "expected": row.expected},
    }


def _bin(part: ExposedBin) -> Json:
    return {
        "start": format_moment(part.start),
        "end": format_moment(part.end),
        "exposed": _level(part.exposed) if part.exposed else None,
        "unexposed": _level(part.unexposed) if part.unexposed else None,
    }


def _layer(one: LayerFinding) -> Json:
    return {
        "layer": one.layer.value,
        "probability": one.probability,
        "verdict": one.verdict,
        "largest_hidden_harm": one.largest_hidden_harm,
        "for": [_evidence(text) for text in one.evidence_for],
        "against": [_evidence(text) for text in one.evidence_against],
    }


def _evidence(text: EvidenceText) -> Json:
    return {"text": text.text, "change": text.change}


def _mix(mix: MixSplit | None) -> Json | None:
    if mix is None:
        return None
    return {
        "total": mix.total,
        "mix": mix.mix.estimate,
        "mix_interval": list(mix.mix.interval),
        "within": mix.within.estimate,
        "within_interval": list(mix.within.interval),
        "facet": mix.facet,
        "groups": [
            {
                "value": group.value,
                "share_before": group.share_before,
                "share_after": group.share_after,
                "mean_before": group.mean_before,
                "mean_after": group.mean_after,
                "count_before": group.count_before,
                "count_after": group.count_after,
            }
            for group in mix.groups
        ],
    }
