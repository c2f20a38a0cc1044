"""Did the requests change, or the answers? Kitagawa's split of the change in the mean. Pure.

Kitagawa 1955, "Components of a difference between two rates": with shares s and means m of the groups before (0) and
after (1), mix = Σ (s₁−s₀)(m₀+m₁)/2 and within = Σ (m₁−m₀)(s₀+s₁)/2; they add up to the whole change.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from postmortem.attribution.columns import Columns, Facet
from postmortem.attribution.shapes import Estimate, Interval, MixGroup, MixSplit

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]
_MAX_GROUPS = 12
_DRAWS, _DICE = 400, 20_260  # the same dice each time: a run repeated says the same


def split(
    values: Floats, groups: npt.NDArray[np.integer], before: Masks, after: Masks, each: Floats | None = None
) -> tuple[float, float, Floats, Floats, Floats, Floats]:
    """Mix part, within part, and the groups' shares and means before and after; a row stands for `each` traces.

    A group that is absent on one side keeps the other side's mean, so its whole part is mix.
    """
    size = int(groups.max(initial=-1)) + 1
    sides = []
    for mask in (before, after):
        of_row = np.ones(values.size) if each is None else each
        count = np.bincount(groups[mask], weights=of_row[mask], minlength=size)
        sums = np.bincount(groups[mask], weights=(of_row * values)[mask], minlength=size)
        sides.append((count, np.divide(sums, count, out=np.full(size, np.nan), where=count > 0)))
    (count_0, mean_0), (count_1, mean_1) = sides
    share_0, share_1 = count_0 / max(count_0.sum(), 1), count_1 / max(count_1.sum(), 1)
    filled_0 = np.nan_to_num(np.where(np.isnan(mean_0), mean_1, mean_0))
    filled_1 = np.nan_to_num(np.where(np.isnan(mean_1), mean_0, mean_1))
    mix = float(((share_1 - share_0) * (filled_0 + filled_1) / 2).sum())
    within = float(((filled_1 - filled_0) * (share_0 + share_1) / 2).sum())
    return mix, within, share_0, share_1, mean_0, mean_1


def part_intervals(
    values: Floats,
    groups: npt.NDArray[np.integer],
    before: Masks,
    after: Masks,
    *,
    each: Floats | None = None,
    squares: Floats | None = None,
) -> tuple[Interval, Interval]:
    """95 % intervals of the mix part and the within part of `split`, of rows with Σy² `squares`.

    A parametric bootstrap: shares are Dirichlet draws of the counts, means normal draws with the pooled spread.
    """
    size = int(groups.max(initial=-1)) + 1
    of_row = np.ones(values.size) if each is None else each
    squared = values * values if squares is None else squares
    counts, means, errors = [], [], []
    for mask in (before, after):
        count = np.bincount(groups[mask], weights=of_row[mask], minlength=size)
        total = np.bincount(groups[mask], weights=(of_row * values)[mask], minlength=size)
        square = np.bincount(groups[mask], weights=squared[mask], minlength=size)
        mean = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
        left = np.maximum(square - np.nan_to_num(total * mean), 0.0).sum()
        counts.append(count)
        means.append(mean)
        errors.append(np.sqrt(left / max(float(count.sum()) - size, 1.0) / np.maximum(count, 1)))
    dice = np.random.default_rng(_DICE)
    shares = [dice.dirichlet(count + 1e-3, _DRAWS) for count in counts]
    drawn = []
    for side, other in ((0, 1), (1, 0)):
        known = counts[side] > 0
        level = np.nan_to_num(np.where(known, means[side], means[other]))
        error = np.where(known, errors[side], errors[other])
        drawn.append(level + dice.standard_normal((_DRAWS, size)) * error)
    mix = ((shares[1] - shares[0]) * (drawn[0] + drawn[1]) / 2).sum(axis=1)
    within = ((drawn[1] - drawn[0]) * (shares[0] + shares[1]) / 2).sum(axis=1)
    return _middle(mix), _middle(within)


def _middle(draws: Floats) -> Interval:
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


def mix_share(columns: Columns, groups: npt.NDArray[np.integer], before: Masks, after: Masks, *, worse: str) -> float:
    """Share of the harm between two windows that the mix accounts for, 0 to 1, times how surely there is a harm."""
    first, second = columns.moments(before), columns.moments(after)
    if min(first.count, second.count) < 2:
        return 0.0
    mix, within, *_ = split(columns.signal, groups, before, after, columns.count)
    sign = -1.0 if worse == "lower" else 1.0
    harm = sign * (mix + within)
    if harm <= 0 or mix * sign <= 0:
        return 0.0
    error = math.sqrt(first.variance / first.count + second.variance / second.count)
    certainty = math.erf(harm / max(error, 1e-12) / math.sqrt(2))
    return min(mix * sign / harm, 1.0) * certainty


def mix_split(
    values: Floats,
    facets: Mapping[str, Facet],
    before: Masks,
    after: Masks,
    *,
    each: Floats | None = None,
    squares: Floats | None = None,
) -> MixSplit | None:
    """The split by the facet whose mix part is largest; None without such facets or with an empty window."""
    if not before.any() or not after.any() or not facets:
        return None
    coded = {name: np.where(facet.codes < 0, len(facet.values), facet.codes) for name, facet in facets.items()}
    parts = {name: split(values, codes, before, after, each) for name, codes in coded.items()}
    name = max(parts, key=lambda one: abs(parts[one][0]))
    mix, within, share_0, share_1, mean_0, mean_1 = parts[name]
    mix_interval, within_interval = part_intervals(values, coded[name], before, after, each=each, squares=squares)
    of_row = np.ones(values.size) if each is None else each
    sizes = [float(of_row[mask].sum()) for mask in (before, after)]
    labels = [*facets[name].values, "other or not recorded"]
    order = np.argsort(-np.maximum(share_0, share_1), kind="stable")[:_MAX_GROUPS]
    groups = tuple(
        MixGroup(
            labels[i], float(share_0[i]), float(share_1[i]),
            None if np.isnan(mean_0[i]) else float(mean_0[i]),
            None if np.isnan(mean_1[i]) else float(mean_1[i]),
            round(float(share_0[i]) * sizes[0]), round(float(share_1[i]) * sizes[1]),
        )
        for i in order
        if share_0[i] or share_1[i]
    )  # fmt: skip
    return MixSplit(mix + within, Estimate(mix, mix_interval), Estimate(within, within_interval), name, groups)
