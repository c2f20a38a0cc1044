"""Credible sets: the explanations of one harm that these traces cannot tell apart. Pure."""

import numpy as np
import numpy.typing as npt

from postmortem.attribution.fit import Fit
from postmortem.attribution.shapes import CredibleSet, HypothesisKind
from postmortem.attribution.wording import change_title, probability_text

# Shares err on the careful side: over 2,500 simulated incidents the fewest explanations that hold 0.9 of a harm held
# its cause 995 times in 1,000. Those that hold nearest to this do so 986 times, and are a sixth fewer.
CREDIBLE = 0.85
_TOLD = 0.9  # a share from here on leaves no rival worth naming
_THERE = 0.5  # a further harm gets a set when it is more likely than not


def credible_sets(fit: Fit) -> tuple[CredibleSet, ...]:
    """For each harm that is there, the fewest explanations whose share of it comes nearest CREDIBLE.

    The first harm's set is always given if a logged change is in it; a set of the same changes is given once.
    """
    found: list[CredibleSet] = []
    for rank, effect in enumerate(np.argsort(fit.effect_nulls, kind="stable")):
        if rank and fit.effect_nulls[effect] > _THERE:
            continue
        weights = np.append(fit.effects[effect], fit.effect_nulls[effect])
        places, share = _nearest(weights / weights.sum())
        logged = len(fit.case.changes)
        changes = tuple(fit.case.changes[place].id for place in places if place < logged)
        if changes and all(changes != one.changes for one in found):
            beside = tuple(_beside(place - logged) for place in places if place >= logged)
            sentence = _sentence([_title(fit, place, first=not rank) for place in places], share, first=not rank)
            found.append(CredibleSet(changes, beside, share, sentence))
    return tuple(found)


def _nearest(shares: npt.NDArray[np.float64]) -> tuple[list[int], float]:
    """The largest shares, as many as bring their sum nearest CREDIBLE, and that sum."""
    order = np.argsort(-shares, kind="stable")
    sums = np.cumsum(shares[order])
    count = int(np.argmin(np.abs(sums - CREDIBLE))) + 1
    return [int(place) for place in order[:count]], float(min(sums[count - 1], 1.0))


def _beside(number: int) -> HypothesisKind:
    return "none" if number else "unlogged"


def _title(fit: Fit, place: int, *, first: bool) -> str:
    logged = len(fit.case.changes)
    if place < logged:
        return f"“{change_title(fit.case.changes[place])}”"
    if place == logged:
        return "a step that no log mentions"
    return "no change at all" if first else "no second harm"


def _sentence(titles: list[str], share: float, *, first: bool) -> str:
    lead = "" if first else "A second harm: "
    if len(titles) == 1:
        rest = "these traces tell it from all others" if share >= _TOLD else "its rivals share the rest"
        return f"{lead}{titles[0]} alone holds {probability_text(share)}; {rest}."
    *others, last = titles
    which = f"{', '.join(others)} and {last}"
    begin = "These" if first else "these"
    return f"{lead}{begin} traces cannot tell apart {which}; together they hold {probability_text(share)}."
