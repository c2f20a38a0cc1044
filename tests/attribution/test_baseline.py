"""The controls against their oracle: penalised terms are rows of an ordinary regression (Henderson 1975)."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import special

from postmortem.attribution import bayes
from postmortem.attribution.baseline import Baseline, fit_baseline
from postmortem.attribution.candidates import Design
from postmortem.attribution.columns import Columns, to_columns
from postmortem.attribution.products import BLOCK, information_of
from postmortem.attribution.steps import step_columns
from postmortem.traces.cells import cells_of_records
from tests.attribution.builders import Written, world


@pytest.fixture(scope="module")
def columns() -> Columns:
    return to_columns(cells_of_records(world(count=600, seed=4), "success", bin_seconds=0))


@pytest.fixture(scope="module")
def baseline(columns: Columns) -> Baseline:
    return fit_baseline(columns, worse="lower", moving=frozenset(), quiet=np.arange(columns.seconds.size) < 400)


def exposed(columns: Columns, baseline: Baseline, value: str) -> np.ndarray:
    """Traces of one region in the last third."""
    region = columns.facets["region"]
    late = np.arange(columns.seconds.size) >= 400
    return ((region.codes == region.values.index(value)) & late) * baseline.sensitivity


def test_an_effect_and_its_error_are_those_of_the_penalised_regression(columns: Columns, baseline: Baseline) -> None:
    column = exposed(columns, baseline, "eu")
    controls, weights = baseline.controls.toarray(), baseline.weights
    lower = np.tril(baseline.factor[0])
    penalty = np.diag(lower @ lower.T - controls.T @ (controls * weights[:, None]))
    assert (penalty > 0).all()
    terms = np.column_stack([controls, column])
    rows = np.vstack([terms, np.column_stack([np.diag(np.sqrt(penalty)), np.zeros(penalty.size)])])
    outcome = np.concatenate([baseline.outcome, np.zeros(penalty.size)])
    oracle = sm.WLS(outcome, rows, weights=np.concatenate([weights, np.ones(penalty.size)])).fit()
    information = float(baseline.information(column[:, None])[0])
    estimate = float(column @ baseline.project(baseline.outcome)) / information
    assert estimate == pytest.approx(oracle.params[-1], rel=1e-6)
    assert 1 / information == pytest.approx(oracle.normalized_cov_params[-1, -1], rel=1e-6)


def test_sums_over_slabs_are_those_of_the_columns_written_out(columns: Columns, baseline: Baseline) -> None:
    dense = np.column_stack([exposed(columns, baseline, "eu"), exposed(columns, baseline, "us")])
    starts = columns.seconds[-1] - np.array([1.0, 2.0, 3.0]) * 86_400.0
    groups = [np.ones(columns.seconds.size, dtype=bool), columns.facets["prompt"].codes == 0]
    steps = step_columns(
        seconds=columns.seconds, starts=starts, groups=groups, sensitivity=baseline.sensitivity
    )  # fmt: skip
    written = [(group & (columns.seconds >= start)) * baseline.sensitivity for group in groups for start in starts]
    everything = np.column_stack([dense, *written])
    assert steps.kept.size == len(written)
    projected = np.column_stack([baseline.project(column) for column in everything.T])
    found = information_of(
        dense=dense, steps=steps, weights=baseline.weights, controls=baseline.controls, factor=baseline.factor
    )
    information, overlap = everything.T @ projected, everything.T @ (everything * baseline.weights[:, None])
    for products, oracle in ((found, information), (found.overlap, overlap)):
        units = np.eye(everything.shape[1])
        np.testing.assert_allclose(np.column_stack([products.times(unit) for unit in units]), oracle, atol=1e-3)
        np.testing.assert_allclose(products.diagonal, np.diag(oracle), atol=1e-3)
        np.testing.assert_allclose(products.block(np.array([1, 0])), oracle[:2, :2][::-1, ::-1], atol=1e-3)
    np.testing.assert_allclose(steps.times(baseline.outcome), np.array(written) @ baseline.outcome, rtol=1e-9)


def test_one_effect_alone_is_bayes_theorem_over_the_columns() -> None:
    """With a single effect SuSiE is exact: P ∝ (prior × Bayes factor) ^ SHARPNESS, the null's factor is 1."""
    rng = np.random.default_rng(7)
    exposures = (rng.random((500, 6)) < 0.4).astype(float)
    outcome = exposures[:, 2] * 0.3 + rng.standard_normal(500)
    cross, gram = exposures.T @ outcome, exposures.T @ exposures
    priors = np.array([0.3, 0.1, 0.1, 0.2, 0.2, 0.1])
    found = bayes.single_effects(
        cross=cross, gram=Written(gram), overlap=Written(gram), priors=priors, null_priors=(0.25,), inflation_factor=1.0
    )
    factors = bayes.log_bayes_factor(cross / np.diag(gram), 1 / np.diag(gram))
    exact = special.softmax(bayes.SHARPNESS * np.append(np.log(0.75 * priors) + factors, np.log(0.25)))
    np.testing.assert_allclose(found.inclusion[0], exact[:-1], atol=1e-9)
    assert found.null[0] == pytest.approx(exact[-1])


def test_averages_of_columns_are_those_of_columns_written_out() -> None:
    """More columns than one block, and steps that are running sums."""
    rng = np.random.default_rng(11)
    seconds, dense = np.sort(rng.uniform(0, 100, 400)), rng.random((400, 2 * BLOCK + 7))
    steps = step_columns(
        seconds=seconds, starts=np.array([80.0, 50.0, 20.0]), groups=[rng.random(400) < 0.5, np.ones(400, dtype=bool)],
        sensitivity=rng.uniform(0.5, 2.0, 400),
    )  # fmt: skip
    values, weights = rng.random((400, 2)), rng.uniform(0.5, 2.0, 400)
    first, second, own = Design(dense, steps, (), np.zeros(0)).averages(values, weights)
    one_by_one = np.column_stack([steps.times(np.eye(400)[row]) for row in range(400)]).T
    written = np.concatenate([dense, one_by_one], axis=1)
    total = weights @ written**2
    np.testing.assert_allclose(first, (weights * values[:, 0]) @ written**2 / total)
    np.testing.assert_allclose(second, (weights * values[:, 1]) @ written**2 / total)
    np.testing.assert_allclose(own, weights @ written**3 / total)
