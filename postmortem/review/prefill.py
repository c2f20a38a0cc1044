"""What is already known about a question, in real numbers from the join and the attribution. No Django here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import sqrt
from typing import Any

from postmortem.attribution.wording import probability_digits, probability_text
from postmortem.lib.clock import describe_duration, parse_moment
from postmortem.lib.layers import Layer
from postmortem.review.facts import ChangeFact, ReviewFacts

_NEAR_ONSET = timedelta(hours=12)  # logs are late by hours
_UNITS = {"share": " points", "s": " s", "USD": " USD"}  # of a difference
_UNRECORDED = "not recorded in these traces; log this facet"
_SHOWN = 3  # longest list in a prefill; the rest is counted


@dataclass(frozen=True, slots=True)
class Prefill:
    """What is known: (label, value) pairs, where it comes from, the answer it suggests if any.

    `missing` names the facets that traces would have to record for a better answer.
    """

    known: tuple[tuple[str, str], ...]
    source: str = ""
    suggested: str | None = None
    missing: tuple[str, ...] = ()


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927), as fractions; (0, 1) when `total` is 0."""
    if total <= 0:
        return 0.0, 1.0
    z = 1.959964
    share, denominator = count / total, 1 + z * z / total
    centre = (share + z * z / (2 * total)) / denominator
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / denominator
    return max(0.0, centre - half), min(1.0, centre + half)


def share_text(count: int, total: int) -> str:
    """A share with interval and count: "79.3% (77.8 to 80.7), n 3,092"."""
    low, high = wilson_interval(count, total)
    return f"{100 * count / total:.1f}% ({100 * low:.1f} to {100 * high:.1f}), n {total:,}" if total else "no traces"


def moment_text(moment: datetime) -> str:
    """ "6 Mar 05:10", UTC."""
    return f"{moment.day} {moment:%b %H:%M}"


def prefill_for(key: str, layer: Layer, facts: ReviewFacts) -> Prefill:
    """Run the prefill `key` ("name" or "name:facet,facet"). Raises KeyError for an unknown name."""
    name, _, rest = key.partition(":")
    names = tuple(part for part in rest.split(",") if part)
    return _PREFILLS[name](layer, facts, names)


def _run(facts: ReviewFacts) -> str:
    return f"run {facts.finding_number}" if facts.finding_number else "the join"


def _not_run() -> Prefill:
    return Prefill((("Attribution", "not run yet; it fills this in"),))


def _not_recorded(names: tuple[str, ...]) -> Prefill:
    text = f"not recorded in these traces; log the facet {' and '.join(names)}"
    return Prefill((("Known", text),), "the traces", "cannot_tell", names)


def _number(value: float, unit: str) -> str:
    if unit == "share":
        return f"{100 * value:.1f}"
    return f"{value:.2f}"


def _estimate(row: Mapping[str, Any] | None, unit: str) -> str:
    """ "−8.0 (−10.0 to −6.0) points", in the unit of the signal."""
    if not row or row.get("estimate") is None:
        return "not estimated"
    low, high = row.get("interval") or (row["estimate"], row["estimate"])
    text = f"{_number(row['estimate'], unit)} ({_number(low, unit)} to {_number(high, unit)}){_UNITS.get(unit, '')}"
    return text.replace("-", "−")


def _size(value: float, unit: str) -> str:
    return _number(value, unit) + _UNITS.get(unit, "")


def _unit(facts: ReviewFacts) -> str:
    return str(((facts.finding or {}).get("signal") or {}).get("unit", "score"))


def _mean(row: Mapping[str, Any] | None, unit: str) -> str:
    if not row or row.get("mean") is None:
        return "no traces"
    low, high = row.get("interval") or (row["mean"], row["mean"])
    sign = "%" if unit == "share" else {"s": " s", "USD": " USD"}.get(unit, "")
    count = f", n {row['count']:,}" if row.get("count") else ""
    return f"{_number(row['mean'], unit)}{sign} ({_number(low, unit)} to {_number(high, unit)}){count}"


def _title(change_id: str, facts: ReviewFacts) -> str:
    return next((change.summary for change in facts.changes if change.id == change_id), change_id)


def _leading(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """The layer's most probable change: probability, exposure, difference."""
    row = facts.layer_finding(layer)
    if row is None:
        return _not_run()
    verdict = row.get("verdict")
    suggested = {"ruled_in": "yes", "ruled_out": "no"}.get(str(verdict), "cannot_tell")
    top = next(iter(facts.hypotheses(layer)), None)
    if top is None:
        return Prefill((("Changes of this layer", "none logged"),), _run(facts), suggested)
    unit = _unit(facts)
    name = _title(str((top.get("changes") or [""])[0]), facts)
    known = [("Most probable here", f"{name}, {probability_text(float(top['probability']))}")]
    arithmetic = top.get("arithmetic") or {}
    if arithmetic:
        known.append(("Exposed", _mean(arithmetic.get("exposed"), unit)))
        known.append(("Not exposed", _mean(arithmetic.get("unexposed"), unit)))
        known.append(("Difference", _estimate(arithmetic.get("difference"), unit)))
    return Prefill(tuple(known), _run(facts), suggested)


def _exposure(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """How much of the traffic each change of the layer reached."""
    changes = sorted(facts.of_layer(layer), key=lambda change: -change.exposed_count)
    if not facts.trace_count:
        return Prefill((("Traces", "none imported yet"),))
    if not changes:
        return Prefill((("Changes of this layer", "none logged"),), "the change log", "no")
    known = [
        (change.summary[:80], f"Exposed {share_text(change.exposed_count, facts.trace_count)}, {change.state}")
        for change in changes[:_SHOWN]
        if change.exposed_count
    ]
    missing = [change for change in changes if change.id in facts.never_observed]
    if missing:
        noun = "change" if len(changes) == 1 else "changes"
        known.append(("Logged, not observed", f"{len(missing)} of {len(changes)} {noun} reached no trace"))
        known += [(change.summary[:80], facts.never_observed[change.id]) for change in missing[:_SHOWN]]
    reached = any(change.exposed_count and change.id not in facts.never_observed for change in changes)
    return Prefill(tuple(known), "the join", "yes" if reached else "no")


def _never_logged(layer: Layer, facts: ReviewFacts, names: tuple[str, ...]) -> Prefill:
    """Versions that moved in the traces and are in no log; `names` are the facets that would show it."""
    if not facts.trace_count:
        return Prefill((("Traces", "none imported yet"),))
    moves = [move for move in facts.moves if move.layer == layer]
    if moves:
        known = [
            (
                f"{move.facet} moved",
                f"{move.from_version} → {move.to_version} on {moment_text(move.at)}, no log, "
                f"{move.trace_count:,} traces" + (f", {move.scope}" if move.scope else ""),
            )
            for move in moves[:_SHOWN]
        ]
        return Prefill(tuple(known), "the join", "yes")
    unseen = tuple(name for name in names if name not in facts.facets)
    if names and len(unseen) == len(names):
        return _not_recorded(names)
    known = [("Moves without a log entry", f"none in {facts.trace_count:,} traces")]
    if unseen:
        known.append(("Not recorded", f"{', '.join(unseen)}: a move there would not show"))
    return Prefill(tuple(known), "the join", None if unseen else "no", unseen)


def _moves(layer: Layer, facts: ReviewFacts, names: tuple[str, ...]) -> Prefill:
    """Did one of the facets move, by a log or in the traces alone?"""
    logged = [change for change in facts.changes if change.facet in names and change.to_version]
    unlogged = [move for move in facts.moves if move.facet in names]
    if not facts.trace_count and not logged:
        return Prefill((("Traces", "none imported yet"),))
    known = [
        (
            f"{change.facet}, logged",
            f"{_from_to(change)} from {moment_text(change.at)}, {change.exposed_count:,} traces",
        )
        for change in sorted(logged, key=lambda change: -change.exposed_count)[:_SHOWN]
    ]
    known += [
        (f"{move.facet}, not logged", f"{move.from_version} → {move.to_version} on {moment_text(move.at)}")
        for move in unlogged[:_SHOWN]
    ]
    seen = [facts.facets[name] for name in names if name in facts.facets]
    if not known and not seen:
        return _not_recorded(names)
    known += [(facet.name, _values(facet.values, facet.count, facts.trace_count)) for facet in seen]
    moved = bool(unlogged) or any(change.exposed_count for change in logged)
    unseen = tuple(name for name in names if name not in facts.facets)
    return Prefill(tuple(known), "the join", "yes" if moved else (None if unseen else "no"), unseen)


def _from_to(change: ChangeFact) -> str:
    return f"{change.from_version} → {change.to_version}" if change.from_version else f"→ {change.to_version}"


def _values(values: tuple[tuple[str, int], ...], count: int, total: int) -> str:
    shown = ", ".join(f"{value} {100 * n / count:.0f}%" for value, n in values[:_SHOWN] if count)
    more = len(values) - _SHOWN
    return f"{shown}{f' and {more} more' if more > 0 else ''}; recorded in {count:,} of {total:,} traces"


def _facet(layer: Layer, facts: ReviewFacts, names: tuple[str, ...]) -> Prefill:
    """Which values of the facets the traces hold; suggests nothing: values alone decide nothing."""
    seen = [facts.facets[name] for name in names if name in facts.facets]
    if not seen:
        return _not_recorded(names) if facts.trace_count else Prefill((("Traces", "none imported yet"),))
    unseen = tuple(name for name in names if name not in facts.facets)
    known = [(facet.name, _values(facet.values, facet.count, facts.trace_count)) for facet in seen]
    known += [(name, _UNRECORDED) for name in unseen]
    return Prefill(tuple(known), "the traces", None, unseen)


def _agreement(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """Encoder against index: an encoder that moved while the index stayed speaks for disagreement."""
    moved = {name: _moves(layer, facts, (name,)) for name in ("encoder", "index_version")}
    missing = tuple(name for name in moved if name not in facts.facets)
    known = tuple(
        (name, _UNRECORDED) if label == "Known" else (label, value)
        for name, found in moved.items()
        for label, value in found.known
    )
    if moved["encoder"].suggested == "cannot_tell":
        return Prefill(known, "the traces", "cannot_tell", missing)
    encoder, index = moved["encoder"].suggested, moved["index_version"].suggested
    suggested = {("yes", "no"): "no", ("no", "no"): "yes"}.get((str(encoder), str(index)))
    return Prefill(known, "the join", suggested, missing)


def _may_have_moved(layer: Layer, facts: ReviewFacts, names: tuple[str, ...]) -> Prefill:
    """As `_moves`, where a move alone says too little to suggest yes."""
    found = _moves(layer, facts, names)
    return replace(found, suggested=None) if found.suggested == "yes" else found


def _changes_near_onset(layer: Layer, facts: ReviewFacts, names: tuple[str, ...]) -> Prefill:
    """As `_near_onset`, where the time alone suggests nothing."""
    return replace(_near_onset(layer, facts, names), suggested=None)


def _near_onset(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """Which changes of the layer began near the onset; logs are late, so 12 h either side count."""
    onset, source = facts.onset_at, "the incident's times"
    if onset is None and (estimate := (facts.finding or {}).get("onset")):
        onset, source = parse_moment(estimate["at"]), _run(facts)
    if onset is None:
        return Prefill((("Onset", "not known yet; run the attribution or set it on the Overview"),))
    changes = facts.of_layer(layer)
    near = [change for change in changes if change.at - _NEAR_ONSET <= onset <= change.until + _NEAR_ONSET]
    known = [("Onset", moment_text(onset)), ("Began within 12 h", f"{len(near)} of {len(changes)} changes")]
    for change in sorted(near, key=lambda change: abs(change.at - onset))[:_SHOWN]:
        known.append((change.summary[:80], moment_text(change.at)))
    return Prefill(tuple(known), source, "yes" if near else "no")


def _rollback(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """Rollbacks that were logged, and whether they reached traces."""
    rollbacks = [change for change in facts.changes if change.is_rollback]
    mitigated = moment_text(facts.mitigated_at) if facts.mitigated_at else "not recorded; set it on the Overview"
    known = [("Mitigated", mitigated)]
    if not rollbacks:
        return Prefill((*known, ("Rollbacks logged", "none")), "the change log")
    known += [
        (change.summary[:80], f"{moment_text(change.at)}, {change.exposed_count:,} traces")
        for change in rollbacks[:_SHOWN]
    ]
    return Prefill(tuple(known), "the join")


def _rollout(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """How the layer's changes were rolled out: two versions at the same time are the best comparison."""
    changes = facts.of_layer(layer)
    if not changes:
        return Prefill((("Changes of this layer", "none logged"),), "the change log")
    gradual = [change for change in changes if change.rollout != "instant"]
    known = [("Rolled out gradually", f"{len(gradual)} of {len(changes)} changes")]
    for change in gradual[:_SHOWN]:
        share = f" {100 * change.canary_share:.0f}%" if change.canary_share is not None else ""
        span = describe_duration(change.until - change.at)
        known.append((change.summary[:80], f"{change.rollout}{share}, {moment_text(change.at)} for {span}"))
    return Prefill(tuple(known), "the change log")


def _hidden_harm(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """The largest harm that the layer's changes could still hide."""
    row = facts.layer_finding(layer)
    if row is None:
        return _not_run()
    unit = _unit(facts)
    known = [("Probability of this layer", probability_digits(float(row.get("probability") or 0)))]
    harm, drop = row.get("largest_hidden_harm"), (facts.finding or {}).get("drop") or {}
    known.append(("Harm it could still hide", "not estimated" if harm is None else _size(abs(harm), unit)))
    known.append(("The incident's drop", _estimate(drop, unit)))
    suggested = "cannot_tell"
    if harm is not None and drop.get("estimate") is not None:
        suggested = "yes" if abs(harm) >= abs(drop["estimate"]) / 4 else "no"
    return Prefill(tuple(known), _run(facts), suggested)


def _others(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """What else could explain the drop: the other layers, an unlogged step, the traffic mix."""
    own = facts.layer_finding(layer)
    if own is None:
        return _not_run()
    rest = [row for row in (facts.finding or {}).get("layers") or [] if row.get("layer") != layer.value]
    known = [(str(row["layer"]).capitalize(), probability_text(float(row.get("probability") or 0))) for row in rest]
    for kind, label in (("unlogged", "A step that no log mentions"), ("mix", "A shift of the traffic mix")):
        known += [
            (label, probability_text(float(row.get("probability") or 0))) for row in facts.hypotheses(kind=kind)[:1]
        ]
    if own.get("verdict") == "ruled_in":
        return Prefill(tuple(known), _run(facts), "no")
    likely = own.get("verdict") == "ruled_out" or any(row.get("verdict") == "ruled_in" for row in rest)
    return Prefill(tuple(known), _run(facts), "yes" if likely else None)


def _mix(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """The drop split into traffic mix and within-group parts (Kitagawa 1955)."""
    if facts.finding is None:
        return _not_run()
    mix = facts.finding.get("mix")
    if not mix:
        return Prefill((("Traffic mix", "not split; traces record no segment, intent or tenant"),), _run(facts))
    unit = _unit(facts)
    total, part = float(mix["total"]), float(mix["mix"])
    known = [
        (f"From the mix of {mix['facet']}", _size(part, unit).replace("-", "−")),
        ("Within groups", _size(float(mix["within"]), unit).replace("-", "−")),
        ("Whole change", _size(total, unit).replace("-", "−")),
    ]
    grown = max(mix.get("groups") or [], key=lambda group: group["share_after"] - group["share_before"], default=None)
    if grown:
        text = f"{100 * grown['share_before']:.1f}% → {100 * grown['share_after']:.1f}% of traces"
        known.append((f"Grew most: {grown['value']}", text))
    return Prefill(tuple(known), _run(facts), "yes" if total and part / total > 0.5 else "no")


def _windows(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """Errors, input length and latency, baseline against incident: what changed besides the signal."""
    before, after = facts.baseline, facts.incident
    if before is None or after is None or not before.count or not after.count:
        return Prefill((("Windows", "no traces in both windows yet; set them on the Overview"),))
    known = [
        ("Failed, baseline", share_text(before.errors, before.count)),
        ("Failed, incident", share_text(after.errors, after.count)),
    ]
    pairs = (("Input tokens, mean", "input_tokens", ".0f", ""), ("Latency, mean", "latency_seconds", ".2f", " s"))
    for label, name, form, unit in pairs:
        old, new = getattr(before, name), getattr(after, name)
        if old is None or new is None:
            known.append((label, "not recorded in these traces"))
        else:
            known.append((label, f"{old:{form}} → {new:{form}}{unit}"))
    return Prefill(tuple(known), "the traces")


def _detection(layer: Layer, facts: ReviewFacts, _: tuple[str, ...]) -> Prefill:
    """How long the drop stood before somebody was told."""
    onset, label = facts.onset_at, "Onset"
    if onset is None and (estimate := (facts.finding or {}).get("onset")):
        onset, label = parse_moment(estimate["at"]), "Onset, estimated"
    known = [(label, moment_text(onset) if onset else "not known yet; run the attribution")]
    known.append(("Detected", moment_text(facts.detected_at) if facts.detected_at else "not set on the Overview"))
    if onset and facts.detected_at:
        known.append(("Undetected for", describe_duration(facts.detected_at - onset)))
    return Prefill(tuple(known), "the incident's times")


_PREFILLS: dict[str, Callable[[Layer, ReviewFacts, tuple[str, ...]], Prefill]] = {
    "leading": _leading,
    "exposure": _exposure,
    "never_logged": _never_logged,
    "moves": _moves,
    "facet": _facet,
    "agreement": _agreement,
    "may_have_moved": _may_have_moved,
    "near_onset": _near_onset,
    "changes_near_onset": _changes_near_onset,
    "others": _others,
    "rollback": _rollback,
    "rollout": _rollout,
    "hidden_harm": _hidden_harm,
    "mix": _mix,
    "windows": _windows,
    "detection": _detection,
}
KNOWN_KEYS = frozenset(_PREFILLS)
