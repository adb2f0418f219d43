"""The targets of low-rank and of block metrics, against closed forms and against BlackJAX."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invmass.adaptation.estimators import (
    COVARIANCE_LOW_RANK,
    FISHER_DIAGONAL,
    FISHER_LOW_RANK,
    POOLED_DENSE,
    WELFORD_BLOCK,
    LowRank,
    geometric_mean,
)
from invmass.errors import UsageError
from invmass.model.catalogue import all_cases
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import load_backend


def correlated(correlation: float) -> np.ndarray:
    """A covariance of two coordinates with standard deviations 0.1 and 5."""
    return np.array([[0.01, 0.5 * correlation], [0.5 * correlation, 25.0]])


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest entry of the whitened difference."""
    inverse = np.linalg.inv(np.linalg.cholesky(expected))
    return float(np.max(np.abs(inverse @ found @ inverse.T - np.eye(len(expected)))))


# -- low rank


@pytest.mark.parametrize("correlation", [0.8, -0.95])
def test_fisher_low_rank_on_a_gaussian_is_its_covariance(correlation: float) -> None:
    """Its eigenvalues are `sqrt((1+ρ)/(1-ρ))` and the inverse of it: 3 and more here."""
    covariance = correlated(correlation)
    found = FISHER_LOW_RANK.target(covariance, np.linalg.inv(covariance))
    np.testing.assert_allclose(found, covariance, rtol=1e-12)


def test_fisher_low_rank_leaves_a_weak_correlation_alone_by_design() -> None:
    """1.36 and its inverse lie within the cutoff: what is left is the diagonal of the rule."""
    covariance = correlated(0.3)
    precision = np.linalg.inv(covariance)
    found = FISHER_LOW_RANK.target(covariance, precision)
    np.testing.assert_allclose(found, np.diag(FISHER_DIAGONAL.target(covariance, precision)))


def test_an_eigenvalue_near_the_cutoff_has_no_target() -> None:
    covariance = correlated(0.6)
    with pytest.raises(UsageError, match=r"an eigenvalue of (2|0\.5) is so near the cutoff 2"):
        FISHER_LOW_RANK.target(covariance, np.linalg.inv(covariance))


def test_cov_low_rank_of_up_to_ten_coordinates_is_the_covariance() -> None:
    """A correlation of 0.01 is kept: there is no cutoff."""
    root = np.random.default_rng(0).normal(size=(10, 10))
    for covariance in (correlated(0.01), root @ root.T):
        np.testing.assert_allclose(COVARIANCE_LOW_RANK.target(covariance), covariance, rtol=1e-10)


def test_cov_low_rank_keeps_the_eigenvalues_farthest_from_one() -> None:
    """Of correlations 0.8 and 0.1, with rank 2, the first only."""
    covariance = np.zeros((4, 4))
    covariance[:2, :2], covariance[2:, 2:] = correlated(0.8), correlated(0.1)
    found = replace(COVARIANCE_LOW_RANK, low_rank=LowRank(2, 1.0)).target(covariance)
    covariance[2:, 2:] = correlated(0.0)
    np.testing.assert_allclose(found, covariance, atol=1e-12)


def test_the_geometric_mean_solves_its_equation() -> None:
    """`X P X = C`, which has one positive definite solution."""
    random = np.random.default_rng(0)
    c, p = (root @ root.T for root in random.normal(size=(2, 4, 4)))
    found = geometric_mean(c, p)
    np.testing.assert_allclose(found @ p @ found, c, rtol=1e-8)
    assert np.min(np.linalg.eigvalsh(found)) > 0


def sites(random: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
    """Six logarithms of exponential variates, logistic and log half-normal ones, two of each.

    Draws and scores, (count, 6), and the variances of both: METHOD §2 has the closed forms.
    """
    exponential = np.log(random.exponential(size=(count, 2)))
    logistic = random.logistic(size=(count, 2))
    half_normal = np.log(np.abs(random.normal(size=(count, 2))))
    draws = np.hstack([exponential, logistic, half_normal])
    scores = [1 - np.exp(exponential), -np.tanh(logistic / 2), 1 - np.exp(2 * half_normal)]
    variances = np.repeat(np.pi**2 * np.array([1 / 6, 1 / 3, 1 / 8]), 2)
    return draws, np.hstack(scores), variances, np.repeat([1.0, 1 / 3, 2.0], 2)


@pytest.mark.parametrize("rank", [2, 10])
def test_targets_are_what_blackjax_makes_of_very_many_draws(rank: int) -> None:
    """Of skewed and heavy-tailed coordinates, mixed linearly; within 1%."""
    recipes = pytest.importorskip("blackjax.adaptation.metric_estimators")
    y, score, variances, score_variances = sites(np.random.default_rng(0), 400_000)
    random = np.random.default_rng(33)  # a mixing with eigenvalues far from the cutoff
    mixing = np.exp(random.normal(size=(6, 1))) * (random.normal(size=(6, 6)) + 2 * np.eye(6))
    unmixing = np.linalg.inv(mixing)
    z, scores = y @ mixing.T, score @ unmixing
    covariance = mixing @ np.diag(variances) @ mixing.T
    score_covariance = unmixing.T @ np.diag(score_variances) @ unmixing

    def matrix(sigma: jax.Array, vectors: jax.Array, values: jax.Array) -> np.ndarray:
        core = np.eye(6) + (vectors * (values - 1)) @ vectors.T
        return np.asarray(sigma[:, None] * core * sigma)

    with jax.enable_x64(True):
        draws, gradients = jnp.asarray(z), jnp.asarray(scores)
        diagonal = recipes.fisher_score_diagonal(draws, gradients)
        fisher = matrix(*recipes.fisher_score_low_rank(draws, gradients, rank))
        centred = draws - draws.mean(axis=0)
        cov = matrix(
            *recipes.sample_covariance_eigh_low_rank(centred.T @ centred, len(z), min(rank, 6))
        )
    expected = FISHER_DIAGONAL.target(covariance, score_covariance)
    np.testing.assert_allclose(np.asarray(diagonal), expected, rtol=0.01)
    fisher_rank, cov_rank = LowRank(rank, 2.0), LowRank(rank, 1.0)
    target = replace(FISHER_LOW_RANK, low_rank=fisher_rank).target(covariance, score_covariance)
    assert relative_error(fisher, target) < 0.01
    target = replace(COVARIANCE_LOW_RANK, low_rank=cov_rank).target(covariance)
    assert relative_error(cov, target) < 0.01


# -- blocks

SLICES = {"a": slice(0, 1), "b": slice(1, 3), "c": slice(3, 4), "d": slice(4, 5)}


def test_a_block_holds_every_other_site_and_otherwise_the_diagonal() -> None:
    matrix = np.arange(1.0, 26.0).reshape(5, 5)
    expected = np.diag(np.diag(matrix))
    expected[0, 3], expected[3, 0] = matrix[0, 3], matrix[3, 0]
    estimator = WELFORD_BLOCK.for_layout(SLICES)
    np.testing.assert_array_equal(estimator.restrict(matrix), expected)
    np.testing.assert_array_equal(estimator.target(matrix), expected)


def test_regularisation_of_a_block_leaves_zeros_alone() -> None:
    estimator = WELFORD_BLOCK.for_layout(SLICES)
    metric = estimator.restrict(np.eye(5) + 0.5)
    found = estimator.regularised(metric, 500)
    np.testing.assert_array_equal(found == 0, metric == 0)
    np.testing.assert_allclose(found[0, 3], 0.5 * 500 / 505)


def test_a_site_alone_is_a_block() -> None:
    matrix = np.arange(1.0, 10.0).reshape(3, 3)
    estimator = WELFORD_BLOCK.for_layout({"a": slice(0, 3)})
    np.testing.assert_array_equal(estimator.restrict(matrix), matrix)


def test_a_block_metric_without_its_sites_is_refused() -> None:
    with pytest.raises(UsageError, match="call for_layout first"):
        WELFORD_BLOCK.target(np.eye(3))


@pytest.mark.parametrize(("draws", "size"), [(500, 3), (40, 12), (2000, 50)])
def test_oracle_shrinkage_is_the_expectation_of_what_is_estimated(draws: int, size: int) -> None:
    """By Monte Carlo, with the estimate of scikit-learn's formula on correlations."""
    lags = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    scale = np.geomspace(0.1, 10.0, size)
    covariance = 0.6**lags * np.outer(scale, scale)
    generator, found = np.random.default_rng(size), []
    for _ in range(200):
        sample = np.cov(generator.multivariate_normal(np.zeros(size), covariance, draws).T)
        spread = np.sqrt(np.diag(sample))
        squares = np.sum((sample / np.outer(spread, spread)) ** 2)
        weight = ((1 - 2 / size) * squares + size**2) / ((draws + 1 - 2 / size) * (squares - size))
        found.append(np.where(np.eye(size), sample, (1 - min(weight, 1)) * sample))
    expected = POOLED_DENSE.regularised(covariance, draws)
    units = np.outer(scale, scale)
    error = 5 * np.std(found, axis=0) / np.sqrt(200) / units
    assert np.all(np.abs(np.mean(found, axis=0) - expected) / units < error + 0.01)
    assert np.max(np.abs(expected - covariance) / units) > 2 / draws
    np.testing.assert_array_equal(np.diag(expected), np.diag(covariance))


def test_oracle_shrinkage_of_one_coordinate_or_of_nothing_is_none() -> None:
    for matrix in (np.array([[4.0]]), np.zeros((2, 2))):
        np.testing.assert_array_equal(POOLED_DENSE.regularised(matrix, 500), matrix)


@pytest.mark.parametrize("name", ["hmc", "numpyro", "tfp"])
@pytest.mark.parametrize("num_warmup", [20, 200])
def test_dense_metric_of_few_draws_is_diagonal_where_its_estimator_says_so(
    name: str, num_warmup: int
) -> None:
    """Of 2 draws or of 100, for ten coordinates."""
    backend = load_backend(name)
    if reason := backend.why_unavailable():
        pytest.skip(reason)
    case = all_cases()["scaling-10-1e2"]
    experiment = Experiment(case, backend, "dense", Settings(num_warmup=num_warmup), chains=2)
    tuned = experiment.tuned(2)
    expected = experiment.estimator.regularised(experiment.target, tuned.window)
    diagonal = np.eye(10, dtype=bool)
    of_few = name != "numpyro" and num_warmup == 20
    for matrix in (expected, *tuned.inverse_mass_matrix):
        assert np.all((matrix == 0) == (of_few & ~diagonal))
