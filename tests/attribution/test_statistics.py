"""The arithmetic against an oracle (statsmodels, scipy) and against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats import proportion, weightstats
from statsmodels.stats.contingency_tables import StratifiedTable

from postmortem.attribution import bayes
from postmortem.attribution.columns import Facet
from postmortem.attribution.intervals import (
    Moments,
    difference_of,
    level_of,
    mean_interval,
    newcombe_difference,
    wilson_interval,
)
from postmortem.attribution.mix import mix_split, split
from postmortem.attribution.onset import find_step
from postmortem.attribution.stratified import cells_of, mean_difference, odds_ratio, risk_difference
from tests.attribution.builders import Written


@pytest.mark.parametrize(("hits", "count"), [(0, 12), (5, 9), (2451, 3092), (40, 40)])
def test_wilson_agrees_with_statsmodels(hits: int, count: int) -> None:
    assert wilson_interval(hits, count) == pytest.approx(
        proportion.proportion_confint(hits, count, method="wilson"), abs=1e-9
    )


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        wilson_interval(0, 0)


@pytest.mark.parametrize("table", [(56, 70, 48, 80), (9, 10, 3, 10), (0, 20, 3, 17)])
def test_newcombe_agrees_with_statsmodels(table: tuple[int, int, int, int]) -> None:
    ours = newcombe_difference(*table)
    theirs = proportion.confint_proportions_2indep(*table, method="newcomb", compare="diff")
    assert ours.interval == pytest.approx(theirs, abs=1e-9)


def test_newcombe_gives_the_published_example() -> None:
    """Newcombe 1998, table II (a): 56/70 − 48/80 is 0.20 (0.0524 to 0.3339)."""
    ours = newcombe_difference(56, 70, 48, 80)
    assert (ours.estimate, *ours.interval) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_means_agree_with_statsmodels() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(2, 1, 41), rng.normal(1.5, 3, 17)
    compared = weightstats.CompareMeans.from_data(one, other)
    ours = difference_of(Moments.of(one), Moments.of(other), binary=False)
    assert ours.interval == pytest.approx(compared.tconfint_diff(usevar="unequal"))
    assert mean_interval(one.mean(), one.var(ddof=1), one.size) == pytest.approx(
        weightstats.DescrStatsW(one).tconfint_mean()
    )
    assert level_of(Moments.of(np.array([1.0, 0.0, 1.0])), binary=True).interval == pytest.approx(wilson_interval(2, 3))


def _strata(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    strata = rng.integers(0, 12, 900)
    exposed = rng.random(900) < 0.2 + 0.05 * (strata % 5)
    values = (rng.random(900) < 0.5 + 0.03 * strata - 0.15 * exposed).astype(float)
    return values, exposed, strata.astype(np.intp)


def _tables(values: np.ndarray, exposed: np.ndarray, strata: np.ndarray) -> StratifiedTable:
    return StratifiedTable(
        [
            np.array([[np.sum(values[(strata == s) & (exposed == e)] == v) for v in (1, 0)] for e in (True, False)])
            for s in np.unique(strata)
        ]
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mantel_haenszel_odds_ratio_agrees_with_statsmodels(seed: int) -> None:
    values, exposed, strata = _strata(seed)
    table = _tables(values, exposed, strata)
    ours = odds_ratio(cells_of(values, exposed, strata))
    assert ours is not None
    assert ours[0] == pytest.approx(table.oddsratio_pooled)
    assert ours[1] == pytest.approx(table.oddsratio_pooled_confint())


def test_mantel_haenszel_risk_difference_is_the_weighted_mean_of_the_strata() -> None:
    values, exposed, strata = _strata(4)
    weights, differences = [], []
    for s in np.unique(strata):
        ones, zeros = values[(strata == s) & exposed], values[(strata == s) & ~exposed]
        weights.append(ones.size * zeros.size / (ones.size + zeros.size))
        differences.append(ones.mean() - zeros.mean())
    ours = risk_difference(cells_of(values, exposed, strata))
    assert ours is not None
    assert ours.difference == pytest.approx(np.average(differences, weights=weights))
    assert ours.exposed_mean - ours.unexposed_mean == pytest.approx(ours.difference)


def test_satos_variance_of_one_stratum_is_close_to_the_two_proportion_one_and_covers() -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(300):
        strata = rng.integers(0, 150, 600).astype(np.intp)  # many small strata
        exposed = rng.random(600) < 0.4
        values = (rng.random(600) < 0.7 - 0.1 * exposed + 0.001 * strata).astype(float)
        ours = risk_difference(cells_of(values, exposed, strata))
        assert ours is not None
        inside += ours.interval[0] <= -0.1 <= ours.interval[1]
    assert 0.91 <= inside / 300 <= 0.985


def test_simpsons_paradox_is_resolved_by_strata() -> None:
    """The exposed do worse in both strata, and better in the crude comparison."""
    strata = np.repeat([0, 1], 100).astype(np.intp)
    exposed = np.concatenate([np.arange(100) < 90, np.arange(100) < 10])
    values = np.concatenate([np.arange(100) % 10 < np.where(exposed[:100], 8, 9), np.arange(100) % 10 < 3]).astype(
        float
    )
    values[100:110] = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert values[exposed].mean() > values[~exposed].mean()
    ours = risk_difference(cells_of(values, exposed, strata))
    assert ours is not None
    assert ours.difference < 0


def test_mean_difference_is_the_regression_with_stratum_effects() -> None:
    rng = np.random.default_rng(6)
    strata = rng.integers(0, 8, 400).astype(np.intp)
    exposed = rng.random(400) < 0.3
    values = rng.normal(strata, 1.0) + 0.5 * exposed
    dummies = np.column_stack([exposed, *(strata == s for s in range(8))]).astype(float)
    coefficient = np.linalg.lstsq(dummies, values, rcond=None)[0][0]
    ours = mean_difference(cells_of(values, exposed, strata))
    assert ours is not None
    assert ours.difference == pytest.approx(coefficient)


def test_strata_without_both_sides_compare_nothing() -> None:
    values = np.array([1.0, 0.0, 1.0])
    cells = cells_of(values, np.array([True, True, False]), np.array([0, 0, 1], dtype=np.intp))
    assert cells.strata == 0
    assert risk_difference(cells) is None
    assert mean_difference(cells) is None


def test_kitagawas_parts_add_up_and_a_pure_mix_shift_has_no_within_part() -> None:
    values = np.array([1.0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    groups = np.array([0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1])
    before, after = np.arange(12) < 4, np.arange(12) >= 4
    mix, within, *_ = split(values, groups, before, after)
    assert mix + within == pytest.approx(values[after].mean() - values[before].mean())
    assert within == pytest.approx(0.0)
    named = mix_split(values, {"segment": Facet(groups.astype(np.int32), ("old", "new"))}, before, after)
    assert named is not None
    assert named.facet == "segment"
    assert {group.value: round(group.share_after, 2) for group in named.groups} == {"new": 0.75, "old": 0.25}


def test_the_step_is_found_within_its_interval_and_noise_has_none() -> None:
    rng = np.random.default_rng(8)
    seconds = np.sort(rng.uniform(0, 8 * 86_400, 3000))
    noise = rng.normal(0, 1, 3000)
    step = find_step(
        seconds, noise + 0.5 * (seconds > 6 * 86_400), np.ones(3000), earliest=3 * 86_400, latest=8 * 86_400
    )
    assert step is not None
    assert step.low <= 6 * 86_400 <= step.high
    assert step.high - step.low < 86_400
    assert find_step(seconds, noise, np.ones(3000), earliest=3 * 86_400, latest=8 * 86_400) is None


def test_a_bayes_factor_favours_harm_only() -> None:
    logs = bayes.log_bayes_factor(np.array([0.5, -0.5, 0.0]), np.full(3, 0.01))
    assert logs[0] > 5
    assert logs[1] < logs[2] < 0
    assert bayes.log_bayes_factor(np.array([0.0]), np.array([np.inf]))[0] == 0.0


def test_a_bayes_factor_is_the_ratio_of_the_integrals_it_stands_for() -> None:
    """Against brute force: the average of N(β̂; β, V′) over a half-normal β, divided by N(β̂; 0, V′)."""
    estimate, variance = 0.3, 0.02
    noise = variance + bayes.SIDE_EFFECT_VARIANCE
    grid = np.linspace(0, 6, 200_001)
    ratios = []
    for spread in bayes.EFFECT_SPREADS:
        prior = 2 * np.exp(-0.5 * (grid / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
        likelihood = np.exp(-0.5 * (estimate - grid) ** 2 / noise + 0.5 * estimate**2 / noise)
        ratios.append(np.trapezoid(prior * likelihood, grid))
    ours = bayes.log_bayes_factor(np.array([estimate]), np.array([variance]))[0]
    assert ours == pytest.approx(np.log(np.mean(ratios)), abs=1e-4)


def test_inflation_is_one_for_standard_scores_and_grows_with_them() -> None:
    scores = np.random.default_rng(9).standard_normal(4000)
    assert bayes.inflation(scores) == pytest.approx(1.0, abs=0.08)
    assert bayes.inflation(3 * scores) == pytest.approx(9.0, rel=0.1)
    assert bayes.inflation(scores[:5] * 3) == 1.0


def test_failures_weigh_as_much_as_the_binomial_says() -> None:
    """Three of four went wrong where 3% was usual: z is 8.4, the likelihood ratio 4 KL(q, p) = e^8.3."""
    before, after, traces = 0.03, 0.75, 4.0
    information, unit = np.array([traces]), np.array([math.sqrt(before * (1 - before))])
    estimate = (after - before) / unit
    stretch = bayes.binomial_stretch(estimate, information, bayes.Rates(np.array([before]), unit, np.ones(1)))
    exact = traces * (after * math.log(after / before) + (1 - after) * math.log((1 - after) / (1 - before)))
    assert 0.5 * estimate[0] ** 2 * traces / stretch[0] == pytest.approx(exact)
    assert exact == pytest.approx(8.3, abs=0.05)


@given(
    st.floats(0.0, 1.0), st.floats(-30, 30), st.floats(0.01, 1e6), st.floats(0.0, 1.0), st.floats(0.01, 100),
)  # fmt: skip
def test_a_variance_never_shrinks_and_what_helps_keeps_it(
    before: float, estimate: float, information: float, unit: float, share: float
) -> None:
    rates = bayes.Rates(np.array([before]), np.array([unit]), np.array([share]))
    (stretch,) = bayes.binomial_stretch(np.array([estimate]), np.array([information]), rates)
    assert math.isfinite(stretch)
    assert stretch >= 1.0
    if estimate <= 0:
        assert stretch == 1.0


def test_a_quarter_of_the_traffic_gains_nothing_on_a_step_of_all_of_it() -> None:
    """A share and a step of one shape say the same of the traces; the side effects of others look larger in a share."""
    rng = np.random.default_rng(5)
    step = np.r_[np.zeros(1500), np.ones(1500)]
    outcome = rng.standard_normal(3000) + 0.6 * step
    columns = np.column_stack([step, 0.25 * step])
    columns, outcome = columns - columns.mean(axis=0), outcome - outcome.mean()
    gram = Written(columns.T @ columns)
    found = bayes.single_effects(
        cross=columns.T @ outcome, gram=gram, overlap=gram, priors=np.full(2, 0.4), null_priors=(0.2,),
        inflation_factor=1.0, reach=np.array([1.0, 0.25]),
    )  # fmt: skip
    assert found.inclusion[0, 0] > 0.9


def test_single_effects_share_what_twins_cannot_tell_apart_and_find_two_causes() -> None:
    rng = np.random.default_rng(10)
    columns = (rng.random((2000, 12)) < 0.3).astype(float)
    columns[:, 1] = columns[:, 0]
    outcome = rng.standard_normal(2000) + 0.5 * columns[:, 0] + 0.4 * columns[:, 7]
    columns, outcome = columns - columns.mean(axis=0), outcome - outcome.mean()
    posterior = bayes.single_effects(
        cross=columns.T @ outcome, gram=Written(columns.T @ columns), overlap=Written(np.zeros((12, 12))),
        priors=np.full(12, 0.05), null_priors=(0.2, 0.9, 0.95), inflation_factor=1.0,
    )  # fmt: skip
    found = 1 - np.prod(1 - posterior.inclusion, axis=0)
    assert found[0] == pytest.approx(found[1])
    assert 0.45 < found[0] < 0.6
    assert found[7] > 0.95
    assert found[[2, 3, 4, 5, 6, 8, 9, 10, 11]].max() < 0.05
