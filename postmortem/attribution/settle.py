"""What would settle it: when the data cannot tell which change did it, the experiment that would, and its size. Pure.

Sizes are for a two-sided test at 5 % with 90 % power: n = (z₀.₉₇₅ + z₀.₉)² (v₁ + v₀/r) / δ², with v the variances of
the two sides, r the unexposed traces for each exposed one and δ the harm to be seen (Fleiss 1981, chapter 3).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from postmortem.attribution.explain import Explained
from postmortem.attribution.fit import Fit
from postmortem.attribution.shapes import Experiment, Hypothesis, SignalFacts
from postmortem.attribution.windows import Windows
from postmortem.attribution.wording import amount, change_title
from postmortem.changes.exposure import OUTSIDE
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer

Masks = npt.NDArray[np.bool_]

SURE, SUSPECT = 0.9, 0.05
POWER_CONSTANT = (1.959964 + 1.281552) ** 2
CANARY_SHARE = 0.1
FLIPS_BY_ITSELF = 0.1  # share of failing answers that a replay mends without any change
LONGEST_HOURS = 14 * 24.0
_FEWEST_REPLAYS = 20
_MOST_SUSPECTS, _MOST_EXPERIMENTS = 2, 4
_REPLAYABLE = (Layer.MODEL, Layer.PROMPT, Layer.RETRIEVAL)
_PLACES = ("region", "tenant", "segment", "environment")


@dataclass(frozen=True, slots=True)
class _Traffic:
    """Traces an hour that a suspect touches, the variances of the signal on both sides, and the harm to be seen."""

    rows: Masks
    per_hour: float
    variance: float
    harm: float
    failing: float  # share of failing traces, None-like 0 for continuous signals


def experiments(fit: Fit, windows: Windows, explained: Explained, signal: SignalFacts) -> tuple[Experiment, ...]:
    """The experiments that would tell the suspects apart, the quickest of each suspect first; none if it is clear."""
    top = explained.hypotheses[0]
    if top.probability >= SURE:
        return ()
    suspects = [one for one in explained.hypotheses if one.kind == "change" and one.probability >= SUSPECT]
    found: list[Experiment] = []
    for one in suspects[:_MOST_SUSPECTS]:
        change = next(change for change in fit.case.changes if change.id == one.changes[0])
        traffic = _traffic(fit, windows, one)
        if traffic is not None:
            found += _designs(fit, change, traffic, signal)
    return tuple(found[:_MOST_EXPERIMENTS])


def traces_needed(*, variance_1: float, variance_0: float, harm: float, ratio: float = 1.0) -> int:
    """Traces on the smaller side, with `ratio` times as many on the other. Raises ValueError for no harm."""
    if harm <= 0:
        raise ValueError("No harm can be seen with any number of traces.")
    return max(math.ceil(POWER_CONSTANT * (variance_1 + variance_0 / ratio) / harm**2), 10)


def _traffic(fit: Fit, windows: Windows, one: Hypothesis) -> _Traffic | None:
    position = next(i for i, change in enumerate(fit.case.changes) if change.id == one.changes[0])
    inside = fit.exposures.basis[:, position] != OUTSIDE
    rows = np.asarray(inside & windows.after)
    count = float(fit.columns.count[rows].sum())
    hours = (windows.incident.end - windows.incident.start).total_seconds() / 3600.0
    sign = -1.0 if fit.case.worse == "lower" else 1.0
    shares = fit.exposures.shares[:, position]
    weights = fit.columns.count[windows.after]
    reach = float(weights @ shares[windows.after] / max(weights.sum(), 1.0))
    harm = sign * windows.drop.estimate / max(reach, 0.05)
    if one.effect is not None and sign * one.effect.estimate > 0:
        # Of two readings of the harm the smaller one is planned for.
        harm = min(harm, sign * one.effect.estimate) if harm > 0 else sign * one.effect.estimate
    if harm <= 0 or count < 2 or hours <= 0:
        return None
    moments = fit.columns.moments(rows)
    failing = 1.0 - moments.mean if fit.case.worse == "lower" else moments.mean
    return _Traffic(rows, count / hours, moments.variance, harm, failing if fit.columns.is_binary else 0.0)


def _designs(fit: Fit, change: ChangeRecord, traffic: _Traffic, signal: SignalFacts) -> list[Experiment]:
    title = change_title(change)
    sight = f"a harm of {amount(traffic.harm, signal)} shows with 90% power"
    found = []
    if change.layer in _REPLAYABLE and traffic.failing > 0:
        replays = _replays(traffic)
        found.append(
            Experiment(
                "replay", change.id, change.layer, replays, None, traffic.harm,
                f"Replay {replays:,} failing traces without “{title}”",
                f"Replay {replays:,} failing traces twice, with “{title}” and with the version before. If it did it, "
                f"the share that turns good differs enough to show with 90% power; "
                f"{100 * FLIPS_BY_ITSELF:.0f}% are taken to turn good by themselves.",
            )
        )  # fmt: skip
    small = traces_needed(
        variance_1=traffic.variance, variance_0=traffic.variance, harm=traffic.harm,
        ratio=(1 - CANARY_SHARE) / CANARY_SHARE,
    )  # fmt: skip
    hours = small / max(CANARY_SHARE * traffic.per_hour, 1e-9)
    if hours <= LONGEST_HOURS:
        found.append(
            Experiment(
                "canary", change.id, change.layer, small, hours, traffic.harm,
                f"Take “{title}” back for 10% of its traffic for {_hours(hours)}",
                f"Take “{title}” back for 10% of the traffic that it touches: {small:,} traces without it, "
                f"{_hours(hours)} at the traffic of the incident, and {sight}.",
            )
        )  # fmt: skip
    place = _place(fit, change, traffic)
    if place is not None:
        facet, value, share, needed, hours = place
        found.append(
            Experiment(
                "rollback", change.id, change.layer, needed, hours, traffic.harm,
                f"Roll back “{title}” for {facet} {value} for {_hours(hours)}",
                f"Roll back “{title}” for {facet} {value} ({100 * share:.0f}% of its traffic) and compare with the "
                f"rest at the same time: {needed:,} traces without it, {_hours(hours)}, and {sight}.",
            )
        )  # fmt: skip
    return found


def _replays(traffic: _Traffic) -> int:
    """Failing traces to replay: the change accounts for harm/failing of them, the rest flip by themselves at most."""
    mended = min(traffic.harm / traffic.failing, 1.0)
    good_1, good_0 = FLIPS_BY_ITSELF + (1 - FLIPS_BY_ITSELF) * mended, FLIPS_BY_ITSELF
    needed = traces_needed(
        variance_1=good_1 * (1 - good_1), variance_0=good_0 * (1 - good_0), harm=good_1 - good_0
    )  # fmt: skip
    return max(needed, _FEWEST_REPLAYS)


def _place(fit: Fit, change: ChangeRecord, traffic: _Traffic) -> tuple[str, str, float, int, float] | None:
    """The smallest group of the traffic in which a rollback would tell within a day, else the quickest one."""
    count = fit.columns.count[traffic.rows]
    total = float(count.sum())
    best: tuple[bool, float, tuple[str, str, float, int, float]] | None = None
    for facet in _PLACES:
        group = fit.baseline.groups.get(facet)
        if group is None or facet in change.scope:
            continue
        sums = np.bincount(group.codes[traffic.rows] + 1, count, minlength=len(group.values) + 1)[1:]
        for value, traces in zip(group.values, sums, strict=True):
            share = float(traces) / total
            if not 0.02 <= share <= 0.6:
                continue
            needed = traces_needed(
                variance_1=traffic.variance, variance_0=traffic.variance, harm=traffic.harm, ratio=(1 - share) / share
            )
            hours = needed / (share * traffic.per_hour)
            if hours > LONGEST_HOURS:
                continue
            rank = (hours > 24.0, share if hours <= 24.0 else hours, (facet, value, share, needed, hours))
            best = min(best, rank) if best else rank
    return best[2] if best else None


def _hours(hours: float) -> str:
    if hours < 1.5:
        return "about an hour"
    if hours < 36:
        return f"about {math.ceil(hours)} hours"
    return f"about {math.ceil(hours / 24)} days"
