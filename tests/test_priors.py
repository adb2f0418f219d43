"""Priors without data: every answer against closed forms and against an integrator of SciPy's."""

from collections.abc import Callable
from functools import cache

import jax
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats

from invmass.cases.priors import _PRIORS
from invmass.errors import InvmassError
from invmass.model import distributions as families
from invmass.model.bijectors import LibraryTransform, Transform
from invmass.model.case import Case, Truth
from invmass.model.catalogue import all_cases
from invmass.model.distributions import Array
from invmass.model.posterior import Site
from invmass.model.precision import float64
from invmass.model.quadrature import Quadrature

trigamma = scipy.special.polygamma
SOFTPLUS = LibraryTransform(jax.nn.softplus, lambda x: x + jax.numpy.log(-jax.numpy.expm1(-x)))
PI2 = np.pi**2

# Var z, 1/E[-∇²], 1/(-∇² at the mode), sqrt(Var z / Var ∇), kurtosis of z
CLOSED = {
    "normal": (4, 4, 4, 4, 3),
    "uniform": (PI2 / 3, 3, 2, np.pi, 4.2),
    "beta": (trigamma(1, 2) + trigamma(1, 5), 0.8, 0.7, None, None),
    "exponential": (PI2 / 6, 1, 1, np.pi / np.sqrt(6), 5.4),
    "gamma": (trigamma(1, 3), 1 / 3, 1 / 3, None, None),
    "inverse_gamma": (trigamma(1, 10), 1 / 10, 1 / 10, None, None),
    "half_normal": (PI2 / 8, 0.5, 0.5, np.pi / 4, 7),
    "half_cauchy": (PI2 / 4, 2, 1, np.pi / np.sqrt(2), 5),
    "log_normal": (0.49, 0.49, 0.49, 0.49, 3),
    "student_t": (9 * 5 / 3, 9 * 4 / 3, 9 * 5 / 6, 9 * np.sqrt(20 / 9), None),
}
LAWS = {
    "normal": scipy.stats.norm(30, 2),
    "uniform": scipy.stats.uniform(-3, 10),
    "beta": scipy.stats.beta(2, 5),
    "exponential": scipy.stats.expon(),
    "gamma": scipy.stats.gamma(3),
    "inverse_gamma": scipy.stats.invgamma(10, scale=60),
    "half_normal": scipy.stats.halfnorm(),
    "half_cauchy": scipy.stats.halfcauchy(scale=3),
    "log_normal": scipy.stats.lognorm(0.7, scale=np.exp(2)),
    "student_t": scipy.stats.t(5, 40, 3),
    "truncated_normal": scipy.stats.truncnorm(-0.4, 2, 10, 5),
}
POSITIVE = ("exponential", "gamma", "inverse_gamma", "half_normal", "half_cauchy", "log_normal")
FINITE = [name for name in POSITIVE if name != "half_cauchy"]  # by softplus
SPACES = [(name, "own") for name in LAWS] + [(name, "softplus") for name in FINITE]
INVERSES: dict[str, Callable[[float], float]] = {
    "uniform": lambda x: scipy.special.logit((x + 3) / 10),
    "beta": scipy.special.logit,
    "truncated_normal": lambda x: np.log(x - 8) - np.log(20 - x),
    **dict.fromkeys(POSITIVE, np.log),
}


@cache
def truth_of(name: str, transform: Transform | None = None) -> Truth:
    case = all_cases()[f"prior-{name}"]
    return case.truth_in({"x": transform} if transform else case.posterior.default_transforms)


@pytest.mark.parametrize("name", CLOSED)
def test_every_column_of_the_table_is_its_closed_form(name: str) -> None:
    truth = truth_of(name)
    variance = truth.moments.covariance.item()
    information = truth.score_covariance.item()
    found = (
        variance,
        1 / information,
        truth.inverse_fisher.item(),
        np.sqrt(variance / information),
        truth.moments.kurtosis.item(),
    )
    for value, expected in zip(found, CLOSED[name], strict=True):
        if expected is not None:
            np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "space"), SPACES)
def test_moments_are_those_of_another_integrator(name: str, space: str) -> None:
    """By SciPy's law and its quantiles: z(x(u)) integrated over the unit interval."""
    law = LAWS[name]
    if space == "softplus":
        truth = truth_of(name, SOFTPLUS)
        inverse = lambda x: x + np.log(-np.expm1(-x))  # noqa: E731
    else:
        truth, inverse = truth_of(name), INVERSES.get(name, lambda x: x)

    def integral(function: Callable[[float], float]) -> float:
        parts = ((0, 1e-6), (1e-6, 0.5), (0.5, 1 - 1e-6), (1 - 1e-6, 1))
        return sum(
            scipy.integrate.quad(lambda u: function(inverse(law.ppf(u))), *part, limit=500)[0]
            for part in parts
        )

    mean = integral(lambda z: z)
    variance = integral(lambda z: (z - mean) ** 2)
    np.testing.assert_allclose(truth.moments.mean, [mean], rtol=1e-4, atol=1e-4)
    # 0.5% would be seen twenty times over
    np.testing.assert_allclose(truth.moments.covariance, [[variance]], rtol=2.5e-4)


def test_an_infinite_variance_is_said_to_be_infinite() -> None:
    """A half-Cauchy by softplus keeps the tail of x."""
    assert truth_of("half_cauchy", SOFTPLUS).moments.covariance.item() == np.inf
    assert np.isfinite(truth_of("student_t").moments.covariance.item())


@pytest.mark.parametrize("name", FINITE)
def test_the_same_prior_has_another_answer_by_softplus(name: str) -> None:
    own, other = truth_of(name), truth_of(name, SOFTPLUS)
    ratio = other.moments.covariance.item() / own.moments.covariance.item()
    assert abs(np.log(ratio)) > 0.1


def test_half_normal_and_exponential_by_softplus_have_the_published_numbers() -> None:
    for name, *columns in (
        ("half_normal", 1.9935, 1.597, 1.328, 1.784, 4.63),
        ("exponential", PI2 / 3, 3, 2, np.pi, 4.2),
    ):
        truth = truth_of(name, SOFTPLUS)
        variance, information = truth.moments.covariance.item(), truth.score_covariance.item()
        mode = _mode_by_softplus(name)
        found = (variance, 1 / information, mode, np.sqrt(variance / information))
        np.testing.assert_allclose(found, columns[:4], rtol=5e-4)
        np.testing.assert_allclose(truth.moments.kurtosis, columns[4], rtol=1e-3)


def _mode_by_softplus(name: str) -> float:
    """1/(-∇²) where the density of z is largest, which is not where that of log x is."""
    log_prior = {"half_normal": lambda x: -(x**2) / 2, "exponential": lambda x: -x}[name]

    def negative(z: Array) -> Array:
        return -log_prior(jax.nn.softplus(z)) - jax.nn.log_sigmoid(z)

    with float64():
        z = scipy.optimize.minimize_scalar(negative, bounds=(-5, 5), method="bounded").x
        return float(1 / jax.grad(jax.grad(negative))(z))


def test_priors_together_have_the_answers_of_each_alone() -> None:
    case = all_cases()["priors"]
    truth = case.truth_in_own_space
    for name, part in case.posterior.slices.items():
        alone = truth_of(name)
        for together, single in (
            (truth.moments.covariance, alone.moments.covariance),
            (truth.score_covariance, alone.score_covariance),
            (truth.inverse_fisher, alone.inverse_fisher),
        ):
            np.testing.assert_allclose(together[part, part], single, rtol=1e-9, atol=1e-12)
            others = np.delete(together[part], np.r_[part], axis=1)
            np.testing.assert_array_equal(others, 0.0)
        np.testing.assert_allclose(truth.moments.mean[part], alone.moments.mean, rtol=1e-9)
        np.testing.assert_allclose(truth.moments.kurtosis[part], alone.moments.kurtosis, rtol=1e-9)


@pytest.mark.parametrize("name", _PRIORS)
def test_truth_of_a_prior_is_its_mode(name: str) -> None:
    case, truth = all_cases()[f"prior-{name}"], truth_of(name)
    with float64():
        slope = np.asarray(jax.grad(case.posterior.log_density)(jax.numpy.asarray(truth.position)))
    step = truth.inverse_fisher @ slope  # of Newton's method
    assert np.all(np.abs(step) < 1e-5 * np.sqrt(np.diag(truth.inverse_fisher)))


@pytest.mark.parametrize("name", ["truncated_normal", "dirichlet", "lkj", "ordered", "beta"])
def test_mean_curvature_is_the_information(name: str) -> None:
    """By second derivatives; what is published of these is the variance alone."""
    case, truth = all_cases()[f"prior-{name}"], truth_of(name)
    reference = case.reference
    assert isinstance(reference, Quadrature)
    with float64():
        hessian = jax.jit(jax.vmap(jax.hessian(case.posterior.log_density)))
        hessians = np.asarray(hessian(jax.numpy.asarray(reference.points)))
    curvature = -np.einsum("n,nij->ij", reference.weights, hessians)
    scale = np.sqrt(np.diag(curvature))
    found, expected = (m / np.outer(scale, scale) for m in (truth.score_covariance, curvature))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_beta_of_a_half_has_the_published_numbers() -> None:
    """Beta(½, ½) by logit: π², 8, 4, 8.886 and kurtosis 5."""
    site = Site(families.Beta(0.5, 0.5))
    case = Case("half", "", {"x": site}, {}, {"x": 0.5}, prior_informs=True)
    truth = case.truth_in_own_space
    variance, information = truth.moments.covariance.item(), truth.score_covariance.item()
    found = (
        variance,
        1 / information,
        truth.inverse_fisher.item(),
        np.sqrt(variance / information),
    )
    np.testing.assert_allclose(found, (PI2, 8, 4, np.pi * np.sqrt(8)), rtol=1e-5)
    np.testing.assert_allclose(truth.moments.kurtosis, 5, rtol=1e-4)  # the grid ends


@pytest.mark.parametrize(
    ("freedom", "variance"), [(2.0, np.inf), (3.0, 3.0), (5.0, 5 / 3), (2.3, None)]
)
def test_variance_of_a_students_t_is_known_infinite_or_refused(
    freedom: float, variance: float | None
) -> None:
    """Just above two degrees of freedom it is finite, but most of it is beyond any grid."""
    site = Site(families.StudentT(freedom, 0.0, 1.0))
    case = Case("t", "", {"x": site}, {}, {"x": 0.0}, prior_informs=True)
    if variance is None:
        with pytest.raises(InvmassError, match="beyond the grid"):
            _ = case.truth_in_own_space.moments
    else:
        np.testing.assert_allclose(
            case.truth_in_own_space.moments.covariance, [[variance]], rtol=1e-3
        )


def test_parts_of_a_dirichlet_are_split_by_independent_betas() -> None:
    covariance = truth_of("dirichlet").moments.covariance
    expected = [trigamma(1, 2) + trigamma(1, 8), trigamma(1, 3) + trigamma(1, 5)]
    np.testing.assert_allclose(np.diag(covariance), expected, rtol=2e-4)
    np.testing.assert_allclose(covariance[0, 1], 0.0, atol=1e-6)


def test_first_entry_and_log_gaps_of_an_increasing_vector_are_independent_normals() -> None:
    moments = truth_of("ordered").moments
    np.testing.assert_allclose(moments.mean, [-20.0, 1.0, 3.0], rtol=1e-8)
    np.testing.assert_allclose(moments.covariance, np.diag([4.0, 0.25, 0.64]), atol=1e-6)


def test_partial_correlations_of_lkj_are_independent_betas() -> None:
    """`(r + 1)/2 ~ Beta(a, a)` with a = η + (K - 2 - number of rows conditioned on)/2."""
    covariance = truth_of("lkj").moments.covariance
    # atanh r is half the logit of (r + 1)/2
    expected = [trigamma(1, 2.5) / 2, trigamma(1, 2.5) / 2, trigamma(1, 2.0) / 2]
    np.testing.assert_allclose(np.diag(covariance), expected, rtol=2e-4)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0.0, atol=1e-6)


@pytest.mark.parametrize("name", ["student_t", "half_cauchy", "lkj", "dirichlet"])
def test_exact_draws_of_any_tail_have_the_moments(name: str) -> None:
    case, moments = all_cases()[f"prior-{name}"], truth_of(name).moments
    draws = case.reference.exact_draws(40_000, (3,))
    whitened = (draws - moments.mean) / np.sqrt(np.diag(moments.covariance))
    # five standard errors
    assert np.all(np.abs(whitened.mean(axis=0)) < 5 / np.sqrt(len(draws)))
    error = np.sqrt((moments.kurtosis - 1) / len(draws))
    assert np.all(np.abs(np.mean(whitened**2, axis=0) - 1) < 5 * error)
