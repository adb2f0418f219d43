"""Moments and exact draws without a sampler, against conjugate posteriors and other integrators."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from invmass.errors import InvmassError, UsageError
from invmass.model.case import Case, Truth
from invmass.model.catalogue import all_cases
from invmass.model.distributions import Distribution, Gamma, HalfNormal, StudentT, Uniform
from invmass.model.posterior import Site
from invmass.model.precision import float64
from invmass.model.quadrature import IndependentQuadratures, Moments, Quadrature


@pytest.fixture(autouse=True, scope="module")
def double_precision() -> Iterator[None]:
    """Once for all, so that nothing is compiled twice."""
    with float64():
        yield


@cache
def truth_of(name: str) -> Truth:
    """The answers in our own unconstrained space."""
    case = all_cases()[name]
    return case.truth_in_own_space


def relative(matrix: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """A matrix in units of the standard deviations of another."""
    scale = np.sqrt(np.diag(reference))
    return matrix / np.outer(scale, scale)


def quadratic_design() -> np.ndarray:
    t = np.linspace(-1.0, 2.0, 20)
    return np.stack([np.ones_like(t), t, t**2], axis=1)


CONJUGATE = {
    # precision of the likelihood, its centre, standard deviation of the prior
    "notebook-normal": (
        np.linalg.inv([[1.0, 0.09], [0.09, 0.01]]),
        np.array([2.0, 1.0]),
        10.0,
    ),
    "lecture_gaussian-normal": (
        np.linalg.inv([[2.25, 1.275], [1.275, 1.0]]),
        np.array([20.0, -10.0]),
        100.0,
    ),
    "gaussian_mean": (np.array([[50.0 / 9.0]]), np.array([40.0]), 100.0),
    "fine_mean": (np.array([[50.0 / 0.03**2]]), np.array([4.0]), 100.0),
    "quadratic_fit": (
        quadratic_design().T @ quadratic_design() / 0.25,
        np.array([4.0, -30.0, 15.0]),
        100.0,
    ),
}


@pytest.mark.parametrize("name", CONJUGATE)
def test_moments_of_a_conjugate_posterior_are_its_closed_form(name: str) -> None:
    precision, centre, prior_scale = CONJUGATE[name]
    covariance = np.linalg.inv(precision + np.eye(len(centre)) / prior_scale**2)
    moments = truth_of(name).moments
    # the tails beyond seven standard deviations hold 1e-10 of the variance, the step errs by less
    np.testing.assert_allclose(
        relative(moments.covariance, covariance), relative(covariance, covariance), atol=1e-6
    )
    np.testing.assert_allclose(
        moments.mean,
        covariance @ precision @ centre,
        atol=1e-6 * np.sqrt(np.min(np.diag(covariance))),
    )
    np.testing.assert_allclose(moments.kurtosis, 3.0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "centre", "covariance", "bound"),
    [
        ("notebook-uniform", [2.0, 1.0], [[1.0, 0.09], [0.09, 0.01]], 10.0),
        ("lecture_gaussian-uniform", [20.0, -10.0], [[2.25, 1.275], [1.275, 1.0]], 50.0),
    ],
)
def test_moments_in_an_interval_are_those_of_a_product_rule_in_constrained_space(
    name: str, centre: list[float], covariance: list[list[float]], bound: float
) -> None:
    """Gauss–Hermite in x, where the posterior is Gaussian up to bounds eight deviations away."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    pairs = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2)
    weight = np.outer(weights, weights).ravel()
    x = np.array(centre) + pairs @ np.linalg.cholesky(covariance).T
    inside = np.all(np.abs(x) < bound, axis=1)
    x, weight = x[inside], weight[inside] / weight[inside].sum()
    z = np.log((bound + x) / (bound - x))
    moments = truth_of(name).moments
    expected = np.cov(z.T, aweights=weight, bias=True)
    # the grid ends seven deviations out in z, where bends of the map leave 5.3 of them in x
    np.testing.assert_allclose(moments.mean, weight @ z, rtol=1e-5)
    np.testing.assert_allclose(moments.covariance, expected, rtol=5e-5)


def test_covariance_of_the_notebook_is_the_published_multiple_of_the_inverse_fisher() -> None:
    truth = truth_of("notebook-uniform")
    np.testing.assert_allclose(
        truth.moments.covariance / truth.inverse_fisher,
        [[1.0267, 1.0128], [1.0128, 1.0002]],
        atol=2e-4,
    )


def test_moments_of_a_scale_in_its_logarithm_are_those_of_adaptive_integration() -> None:
    """σ⁻⁵⁰ exp(-Σ(y-5)²/2σ²) under HalfNormal(100), with σ dlogσ, and Σ(y-5)² = 50·30²."""

    def log_density(z: float) -> float:
        return -50 * z - 50 * 900 * np.exp(-2 * z) / 2 - np.exp(2 * z) / 2e4 + z

    peak = log_density(np.log(30.0))

    def moment(power: int, centre: float) -> float:
        return scipy.integrate.quad(
            lambda z: (z - centre) ** power * np.exp(log_density(z) - peak),
            np.log(30.0) - 2.0,
            np.log(30.0) + 3.0,
            epsabs=0,
            epsrel=1e-11,
            limit=200,
        )[0]

    total = moment(0, 0.0)
    mean = moment(1, 0.0) / total
    variance = moment(2, mean) / total
    moments = truth_of("gaussian_scale").moments
    np.testing.assert_allclose(moments.mean, [mean], rtol=1e-8)
    np.testing.assert_allclose(moments.covariance, [[variance]], rtol=1e-6)
    np.testing.assert_allclose(moments.kurtosis, [moment(4, mean) / total / variance**2], rtol=1e-5)


# -- mixed_sites, five-dimensional: a coarser grid, held to 0.2%


def test_shares_of_the_mixed_sites_have_the_moments_of_their_dirichlet_posterior() -> None:
    """Broken off one by one the shares are independent betas, in logits here."""
    moments = truth_of("mixed_sites").moments
    first, second, third = 502.0, 302.0, 202.0
    variance = [
        scipy.special.polygamma(1, first) + scipy.special.polygamma(1, second + third),
        scipy.special.polygamma(1, second) + scipy.special.polygamma(1, third),
    ]
    mean = [
        scipy.special.digamma(first) - scipy.special.digamma(second + third) + np.log(2.0),
        scipy.special.digamma(second) - scipy.special.digamma(third),
    ]
    np.testing.assert_allclose(
        relative(moments.covariance[1:3, 1:3], np.diag(variance)), np.eye(2), atol=2e-3
    )
    np.testing.assert_allclose(moments.mean[1:3], mean, atol=2e-3 * np.sqrt(min(variance)))


def test_curve_of_the_mixed_sites_has_the_moments_of_its_truncated_gaussian() -> None:
    """Linear in level, bend and gain, so Gaussian in x within their bounds: Gauss–Hermite there."""
    t = np.linspace(-1.0, 2.0, 12)
    design = np.stack([np.ones_like(t), t**2, 3000.0 * t], axis=1)
    precision = design.T @ design / 200.0**2
    prior = np.diag([1000.0**-2, 5000.0**-2, 0.0])
    covariance = np.linalg.inv(precision + prior)
    centre = covariance @ precision @ np.array([500.0, 1000.0, 0.8])
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    grid = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), -1).reshape(-1, 3)
    weight = np.prod(np.stack(np.meshgrid(weights, weights, weights)), axis=0).ravel()
    x = centre + grid @ np.linalg.cholesky(covariance).T
    inside = (x[:, 1] > 0) & (x[:, 2] > 0) & (x[:, 2] < 2)
    level, bend, gain = x[inside].T
    z = np.stack([level, np.log(bend), np.log(gain / (2 - gain))], axis=1)
    expected = np.cov(z.T, aweights=weight[inside], bias=True)
    moments, sites = truth_of("mixed_sites").moments, np.array([0, 3, 4])
    np.testing.assert_allclose(
        relative(moments.covariance[np.ix_(sites, sites)], expected),
        relative(expected, expected),
        atol=2e-3,
    )
    np.testing.assert_allclose(
        moments.mean[sites],
        np.average(z, axis=0, weights=weight[inside]),
        atol=2e-3 * np.sqrt(np.min(np.diag(expected))),
    )


def test_shares_and_curve_of_the_mixed_sites_are_uncorrelated() -> None:
    covariance = truth_of("mixed_sites").moments.covariance
    cross = relative(covariance, covariance)[np.ix_([1, 2], [0, 3, 4])]
    np.testing.assert_allclose(cross, 0.0, atol=2e-3)


@pytest.mark.parametrize("name", ["notebook-uniform", "gaussian_scale"])
def test_moments_do_not_depend_on_the_step_of_the_grid(name: str) -> None:
    case = all_cases()[name]
    finer = Quadrature.of(case.posterior.log_density, truth_of(name).position, refine=1.7).moments()
    coarse = case.reference.moments()
    np.testing.assert_allclose(coarse.mean, finer.mean, rtol=1e-6)
    # a finer grid ends a fraction of a step elsewhere in the tail
    np.testing.assert_allclose(coarse.covariance, finer.covariance, rtol=5e-6)


def test_weights_sum_to_one_over_points_of_the_right_shape() -> None:
    quadrature = all_cases()["quadratic_fit"].reference
    assert isinstance(quadrature, Quadrature)
    assert quadrature.points.shape == (len(quadrature.weights), 3)
    np.testing.assert_allclose(quadrature.weights.sum(), 1.0, rtol=1e-12)
    assert quadrature.points.dtype == np.float64


def test_moments_and_draws_are_float64_where_samplers_run_in_float32() -> None:
    with jax.enable_x64(False):
        case = dataclasses.replace(all_cases()["notebook-normal"])  # nothing computed yet
        moments, starts = case.reference.moments(), case.starts(0, 10)
        assert jnp.zeros(()).dtype == jnp.float32
    expected = truth_of("notebook-normal").moments
    np.testing.assert_allclose(moments.covariance, expected.covariance, rtol=1e-10)
    np.testing.assert_allclose(starts, all_cases()["notebook-normal"].starts(0, 10), rtol=1e-12)


def test_six_dimensions_are_refused() -> None:
    with pytest.raises(InvmassError, match="6 dimensions"):
        Quadrature.of(lambda z: -0.5 * jnp.sum(z**2), np.zeros(6))


def prior_alone(prior: Distribution, dimension: int) -> Case:
    """Independent sites, which quadrature takes together."""
    truth = {"a": np.full(dimension, 0.5)}
    return Case("own", "", {"a": Site(prior, (dimension,))}, {}, truth, prior_informs=True)


@pytest.mark.parametrize(
    ("prior", "dimension"),
    [
        (HalfNormal(1.0), 2),
        (HalfNormal(1.0), 3),
        (Gamma(2.0, 1.0), 4),
        (Uniform(0.0, 1.0), 4),
        (Uniform(0.0, 1.0), 5),
    ],
)
def test_many_dimensions_have_the_moments_of_one(prior: Distribution, dimension: int) -> None:
    many, one = prior_alone(prior, dimension), prior_alone(prior, 1)
    expected = one.reference.moments().covariance[0, 0]
    found = many.reference.moments().covariance
    np.testing.assert_allclose(found, expected * np.eye(dimension), atol=2e-3 * expected)
    expected = one.constrained_moments.covariance[0, 0]
    found = many.constrained_moments.covariance
    np.testing.assert_allclose(found, expected * np.eye(dimension), atol=5e-3 * expected)


@pytest.mark.parametrize(
    ("prior", "dimension"), [(StudentT(3.0, 0.0, 1.0), 2), (Gamma(0.3, 1.0), 5)]
)
def test_tails_beyond_the_grid_are_refused(prior: Distribution, dimension: int) -> None:
    with pytest.raises(InvmassError, match=r"beyond the grid .* \(groups\), or normal"):
        _ = prior_alone(prior, dimension).reference


def test_a_second_mode_is_found_by_the_finer_grid() -> None:
    def two_modes(z: np.ndarray) -> np.ndarray:
        return jnp.logaddexp(-0.5 * jnp.sum(z**2), -0.5 * jnp.sum((z - 12.0) ** 2) + 5.0)

    share = 1 / (1 + np.exp(-5.0))
    moments = Quadrature.of(two_modes, np.zeros(2)).moments()
    between = 12.0**2 * share * (1 - share)
    np.testing.assert_allclose(moments.mean, 12.0 * share, rtol=1e-3)
    np.testing.assert_allclose(moments.covariance, np.eye(2) + between, rtol=1e-2)


def test_groups_that_depend_on_each_other_or_miss_a_site_are_refused() -> None:
    case = all_cases()["quadratic_fit"]
    (name,) = case.sites
    with pytest.raises(UsageError, match="'quadratic_fit' must name each site once"):
        _ = dataclasses.replace(case, groups=((name,), (name,))).reference
    log_density = case.posterior.log_density
    with pytest.raises(InvmassError, match="not independent"):
        IndependentQuadratures(log_density, case.truth[name], [np.array([0]), np.array([1, 2])])


def test_a_density_without_a_mode_is_refused() -> None:
    with pytest.raises(InvmassError, match="no mode"):
        Quadrature.of(lambda z: 0.5 * jnp.sum(z**2), np.array([0.3, -0.2]))


# -- exact draws


@pytest.fixture(scope="module")
def draws() -> Callable[[str], np.ndarray]:
    """20,000 exact draws of a case in its own unconstrained space, made once."""
    made: dict[str, np.ndarray] = {}

    def of(name: str) -> np.ndarray:
        if name not in made:
            made[name] = all_cases()[name].reference.exact_draws(20_000, (7,))
        return made[name]

    return of


@pytest.mark.parametrize("name", ["notebook-uniform", "gaussian_scale", "mixed_sites"])
def test_exact_draws_have_the_moments_of_the_quadrature(
    draws: Callable[[str], np.ndarray], name: str
) -> None:
    z, moments = draws(name), all_cases()[name].reference.moments()
    assert z.shape == (20_000, all_cases()[name].dimension)
    centred = (z - moments.mean) / np.sqrt(np.diag(moments.covariance))
    products = centred[:, :, None] * centred[:, None, :]
    expected = relative(moments.covariance, moments.covariance)
    # at most 5 + 15 numbers, each within five of its standard errors: a false alarm in 1e5 seeds
    assert np.all(np.abs(centred.mean(axis=0)) < 5 / np.sqrt(len(z)))
    error = products.std(axis=0) / np.sqrt(len(z))
    assert np.all(np.abs(products.mean(axis=0) - expected) < 5 * error)


def test_exact_draws_of_a_gaussian_are_gaussian(draws: Callable[[str], np.ndarray]) -> None:
    precision, centre, prior_scale = CONJUGATE["notebook-normal"]
    covariance = np.linalg.inv(precision + np.eye(2) / prior_scale**2)
    residual = draws("notebook-normal") - covariance @ precision @ centre
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), residual.T)
    for sample in (*whitened, whitened.sum(axis=0) / np.sqrt(2.0)):
        assert scipy.stats.kstest(sample, "norm").pvalue > 1e-6


def test_exact_draws_of_a_skewed_density_follow_its_distribution() -> None:
    """The logarithm of a gamma variate: exp(3z - eᶻ) / Γ(3)."""
    quadrature = Quadrature.of(lambda z: jnp.sum(3.0 * z - jnp.exp(z)), np.array([1.0]))
    z = quadrature.exact_draws(20_000, (3,))[:, 0]
    assert scipy.stats.kstest(np.exp(z), scipy.stats.gamma(3.0).cdf).pvalue > 1e-6


def test_exact_draws_are_independent(draws: Callable[[str], np.ndarray]) -> None:
    z = draws("gaussian_scale")[:, 0]
    z = (z - z.mean()) / z.std()
    for lag in (1, 2, 3):
        # a correlation of independent draws has standard error 1/√n
        assert abs(np.mean(z[lag:] * z[:-lag])) < 5 / np.sqrt(len(z))


def test_exact_draws_are_determined_by_their_seed() -> None:
    quadrature = all_cases()["gaussian_mean"].reference
    first = quadrature.exact_draws(100, (1, 2))
    np.testing.assert_array_equal(first, quadrature.exact_draws(100, (1, 2)))
    assert not np.any(first == quadrature.exact_draws(100, (1, 3)))
    assert not np.any(first == quadrature.exact_draws(100, (2, 2)))


def test_draws_above_the_envelope_are_refused() -> None:
    """A narrow peak between the points of the grid, which has one at -0.1 and one each 0.35."""

    def with_a_peak(z: np.ndarray) -> np.ndarray:
        return jnp.logaddexp(-0.5 * jnp.sum(z**2), 8.0 - 0.5 * jnp.sum(((z - 0.425) / 0.05) ** 2))

    with pytest.raises(InvmassError, match="envelope"):
        Quadrature.of(with_a_peak, np.full(2, -0.5)).exact_draws(100_000, (0,))


def test_moments_of_given_values_are_weighted_by_the_density() -> None:
    """x = e^z of a normal z is log-normal."""
    quadrature = Quadrature.of(lambda z: -0.5 * jnp.sum(((z - 1.0) / 0.3) ** 2), np.zeros(1))
    found = quadrature.moments(np.exp(quadrature.points))
    law = scipy.stats.lognorm(0.3, scale=np.e)
    assert isinstance(found, Moments)
    np.testing.assert_allclose(found.mean, [law.mean()], rtol=1e-7)
    np.testing.assert_allclose(found.covariance, [[law.var()]], rtol=1e-7)
    np.testing.assert_allclose(found.kurtosis, [law.stats("k") + 3.0], rtol=1e-6)


def test_constrained_moments_are_those_of_the_case_itself() -> None:
    case: Case = all_cases()["notebook-uniform"]
    np.testing.assert_allclose(case.constrained_moments.mean, [2.0, 1.0], rtol=1e-5)
    np.testing.assert_allclose(
        case.constrained_moments.covariance, [[1.0, 0.09], [0.09, 0.01]], rtol=5e-5
    )
