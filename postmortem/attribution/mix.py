"""Did the requests change, or the answers? Kitagawa's split of the change in the mean. Pure.

Kitagawa 1955, "Components of a difference between two rates": with shares s and means m of the groups before (0) and
after (1), mix = Σ (s₁−s₀)(m₀+m₁)/2 and within = Σ (m₁−m₀)(s₀+s₁)/2; they add up to the whole change.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from postmortem.attribution.columns import Columns, Facet
from postmortem.attribution.shapes import MixGroup, MixSplit

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]
_MAX_GROUPS = 12


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
    values: Floats, facets: Mapping[str, Facet], before: Masks, after: Masks, each: Floats | None = None
) -> MixSplit | None:
    """The split by the facet whose mix part is largest; None without such facets or with an empty window."""
    if not before.any() or not after.any() or not facets:
        return None
    best: MixSplit | None = None
    for name, facet in facets.items():
        codes = np.where(facet.codes < 0, len(facet.values), facet.codes)
        mix, within, share_0, share_1, mean_0, mean_1 = split(values, codes, before, after, each)
        if best is not None and abs(mix) <= abs(best.mix):
            continue
        labels = [*facet.values, "other or not recorded"]
        order = np.argsort(-np.maximum(share_0, share_1), kind="stable")[:_MAX_GROUPS]
        best = MixSplit(
            total=mix + within, mix=mix, within=within, facet=name,
            groups=tuple(
                MixGroup(
                    labels[i], float(share_0[i]), float(share_1[i]),
                    None if np.isnan(mean_0[i]) else float(mean_0[i]),
                    None if np.isnan(mean_1[i]) else float(mean_1[i]),
                )
                for i in order
                if share_0[i] or share_1[i]
            ),
        )  # fmt: skip
    return best
