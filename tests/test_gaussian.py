"""Closed forms of posteriors that are normal, outright or given a few coordinates."""

import math
from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from invmass.adaptation.estimators import (
    COVARIANCE_LOW_RANK,
    FISHER_LOW_RANK,
    WELFORD_DIAGONAL,
)
from invmass.errors import InvmassError
from invmass.model.case import Truth
from invmass.model.catalogue import all_cases
from invmass.model.conditional_gaussian import ConditionallyGaussian, Gaussian
from invmass.model.distributions import Array
from invmass.model.precision import float64

SCHOOLS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


@pytest.fixture(autouse=True, scope="module")
def double_precision() -> Iterator[None]:
    """Once for all, so that nothing is compiled twice."""
    with float64():
        yield


def truth_of(name: str) -> Truth:
    """The answers in our own unconstrained space."""
    case = all_cases()[name]
    return case.truth_in_own_space


def mixture(
    conditional: Callable[[float], tuple[float, np.ndarray, np.ndarray]], low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of (u, w) from `u -> log density, mean and covariance of w given u`."""
    nodes = np.linspace(low, high, 600)  # of the trapezoidal rule; nothing is left at the ends
    parts = [conditional(u) for u in nodes]
    weights = np.exp([log_density - max(p[0] for p in parts) for log_density, _, _ in parts])
    weights /= weights.sum()
    rows = np.column_stack([nodes, [mean for _, mean, _ in parts]])
    covariance = np.cov(rows.T, aweights=weights, bias=True)
    covariance[1:, 1:] += np.einsum("n,nij->ij", weights, [part[2] for part in parts])
    return weights @ rows, covariance


def between(logit: float, low: float, high: float) -> tuple[float, float]:
    """A number between bounds, and the logarithm of its slope, which is left without a constant."""
    share = scipy.special.expit(logit)
    return low + (high - low) * share, np.log(share) + np.log1p(-share)


@pytest.mark.parametrize("name", ["stack_loss", "interest_rates"])
def test_linear_regression_is_the_conjugate_one_given_its_scale(name: str) -> None:
    """By least squares with a prior as further rows; squaring the design would lose its digits."""
    (observation,) = all_cases()[name].observations.values()
    (design,), y = observation.constants, observation.data

    def given(logit_spread: float) -> tuple[float, np.ndarray, np.ndarray]:
        spread, log_slope = between(logit_spread, 0.5, 50.0)
        size = design.shape[1]
        rows = np.concatenate([design / spread, np.eye(size) / 100.0])
        values = np.append(y / spread, np.zeros(size))
        orthogonal, triangle = np.linalg.qr(rows)
        mean = np.linalg.solve(triangle, orthogonal.T @ values)
        inverse = np.linalg.inv(triangle)
        evidence = -0.5 * np.sum((values - rows @ mean) ** 2) - len(y) * np.log(spread)
        evidence -= np.sum(np.log(np.abs(np.diag(triangle))))
        prior = scipy.stats.norm.logpdf(spread, 0.0, 20.0) + log_slope
        return evidence + prior, mean, inverse @ inverse.T

    mean, covariance = mixture(given, -8.0, 4.0)
    moments = truth_of(name).moments
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((moments.mean - mean) / scale, 0.0, atol=1e-5)
    np.testing.assert_allclose(
        moments.covariance / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=1e-5
    )


def test_floor_of_regularisation_dominates_a_slope_that_is_not_standardised() -> None:
    variance = truth_of("interest_rates").moments.covariance[2, 2]
    inflation = WELFORD_DIAGONAL.regularised(np.array([variance]), 500)[0] / variance
    assert np.sqrt(variance) < 1e-3
    assert inflation > 10


def schools(logit_spread: float) -> tuple[float, np.ndarray, np.ndarray]:
    """μ and θ given τ, by the formulas of Gelman et al., *Bayesian Data Analysis*, §5.4."""
    spread, log_slope = between(logit_spread, 1.0, 30.0)
    total = spread**2 + ERRORS**2
    variance_mean = 1.0 / (np.sum(1.0 / total) + 1.0 / 400.0)
    mean = variance_mean * np.sum(SCHOOLS / total)
    shrink = spread**2 / total
    weights = np.append(1.0, 1.0 - shrink)
    effects = mean + shrink * (SCHOOLS - mean)
    covariance = variance_mean * np.outer(weights, weights)
    covariance[1:, 1:] += np.diag(shrink * ERRORS**2)
    evidence = scipy.stats.multivariate_normal(np.zeros(8), np.diag(total) + 400.0).logpdf(SCHOOLS)
    prior = scipy.stats.norm.logpdf(spread, 10.0, 1.5) + log_slope
    return evidence + prior, np.append(mean, effects), covariance


@pytest.mark.parametrize("form", ["centred", "noncentred"])
def test_eight_schools_are_those_of_the_textbook(form: str) -> None:
    mean, covariance = mixture(schools, -12.0, 6.0)
    case = all_cases()[f"eight_schools-{form}"]
    points = case.reference.points.copy()
    if form == "noncentred":  # θ = μ + τ η
        spread = 1.0 + 29.0 * scipy.special.expit(points[:, :1])
        points[:, 2:] = points[:, 1:2] + spread * points[:, 2:]
    moments = case.reference.moments(points)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((moments.mean - mean) / scale, 0.0, atol=1e-5)
    np.testing.assert_allclose(
        moments.covariance / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=2e-5
    )


def test_funnel_has_the_moments_of_a_log_normal_mixture() -> None:
    truth = truth_of("funnel")
    np.testing.assert_allclose(
        truth.moments.covariance, np.diag([1.0, np.exp(0.5), np.exp(0.5)]), atol=1e-8
    )
    np.testing.assert_allclose(truth.moments.kurtosis, [3.0, 3 * math.e, 3 * math.e], rtol=1e-7)
    # E[-∇²]: 1 + ½ Σ (x-100)²/variance for the width, 1/variance for x
    np.testing.assert_allclose(
        truth.score_covariance, np.diag([2.0, np.exp(0.5), np.exp(0.5)]), atol=1e-7
    )


@pytest.mark.parametrize("name", [name for name in all_cases() if name.startswith("scaling-")])
def test_scaling_cases_are_autoregressive(name: str) -> None:
    case = all_cases()[name]
    (observation,) = case.observations.values()
    (scale,) = observation.constants
    lag = np.abs(np.subtract.outer(np.arange(len(scale)), np.arange(len(scale))))
    covariance = 0.5**lag * np.outer(scale, scale)
    moments = case.reference.moments()
    units = np.outer(scale, scale)
    np.testing.assert_allclose(moments.covariance / units, covariance / units, atol=1e-5)
    np.testing.assert_allclose(truth_of(name).inverse_fisher / units, covariance / units, atol=1e-5)
    condition = float(name.rpartition("-")[2])
    np.testing.assert_allclose(np.max(scale**2) / np.min(scale**2), condition)


def test_pairs_correlate_and_ten_eigenvalues_are_far_from_one() -> None:
    (observation,) = all_cases()["paired"].observations.values()
    (scale,) = observation.constants
    covariance = np.eye(16)
    for i in range(5):
        covariance[i, i + 5] = covariance[i + 5, i] = 0.8
    covariance *= np.outer(scale, scale)
    truth = truth_of("paired")
    found = truth.moments.covariance
    np.testing.assert_allclose(
        found / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=1e-5
    )
    for estimator in (FISHER_LOW_RANK, COVARIANCE_LOW_RANK):
        target = estimator.target(found, truth.score_covariance)
        np.testing.assert_allclose(
            target / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=1e-5
        )


@pytest.mark.parametrize("name", ["eight_schools-centred", "funnel", "scaling-10-1e4"])
def test_exact_draws_have_the_moments(name: str) -> None:
    reference = all_cases()[name].reference
    count = 40_000
    draws, moments = reference.exact_draws(count, (5,)), reference.moments()
    inverse = np.linalg.inv(np.linalg.cholesky(moments.covariance))
    whitened = (draws - moments.mean) @ inverse.T
    np.testing.assert_allclose(whitened.mean(axis=0), 0.0, atol=5 / np.sqrt(count))
    error = np.sqrt((np.max(moments.kurtosis) - 1) / count)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(len(inverse)), atol=5 * error)


def test_a_density_that_is_not_normal_is_refused() -> None:
    with pytest.raises(InvmassError, match="not normal"):
        Gaussian(lambda z: -jnp.sum(z**2) - 0.01 * jnp.sum(z**4), np.ones(2))
    with pytest.raises(InvmassError, match="not normal"):
        ConditionallyGaussian(
            lambda z: -jnp.sum(z**2) - 0.01 * jnp.sum(z**4), np.ones(2), np.array([1])
        )


@pytest.mark.parametrize("bent", [0, 1, 2])
def test_any_one_coordinate_that_is_not_normal_is_seen(bent: int) -> None:
    def log_density(z: Array) -> Array:
        return -0.5 * jnp.sum(jnp.delete(z, bent) ** 2) - 3 * jnp.log1p(z[bent] ** 2 / 5)

    with pytest.raises(InvmassError, match="not normal"):
        Gaussian(log_density, np.zeros(3))
    with pytest.raises(InvmassError, match="not normal"):
        ConditionallyGaussian(
            lambda z: log_density(z[1:]) - 0.5 * z[0] ** 2, np.zeros(4), np.array([1, 2, 3])
        )


def test_moments_of_fifth_degree_are_exact_in_the_normal_coordinates() -> None:
    """Six of them, correlated, with a mean that moves with the other coordinate."""
    mixing = np.random.default_rng(0).normal(size=(6, 6))
    precision = mixing @ mixing.T + np.eye(6)

    def log_density(z: np.ndarray) -> np.ndarray:
        residual = z[1:] - jnp.sin(z[0])
        return -0.5 * z[0] ** 2 - 0.5 * residual @ precision @ residual

    reference = ConditionallyGaussian(log_density, np.zeros(7), np.arange(1, 7))
    variance = np.diag(np.linalg.inv(precision))
    sine = (1 - np.exp(-2.0)) / 2  # E[sin²] under a standard normal
    moments = reference.moments()
    np.testing.assert_allclose(np.diag(moments.covariance)[1:], variance + sine, rtol=1e-8)
    fourth = (3 - 4 * np.exp(-2.0) + np.exp(-8.0)) / 8  # E[sin⁴]
    kurtosis = (fourth + 6 * sine * variance + 3 * variance**2) / (variance + sine) ** 2
    np.testing.assert_allclose(moments.kurtosis[1:], kurtosis, rtol=1e-8)
