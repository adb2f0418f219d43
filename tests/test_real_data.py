"""References of the cases on real data, against product rules over densities written in SciPy."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from invmass.model.case import Case
from invmass.model.catalogue import all_cases

WITHOUT_CLOSED_FORM = ("votes", "visits", "nile")


def log_density(name: str, rows: np.ndarray) -> np.ndarray:
    """`log π` of rows of z, shape (N, 3), up to a constant."""
    (observation,) = all_cases()[name].observations.values()
    y, (constant,) = observation.data, observation.constants
    if name == "nile":
        noise, length, amplitude = np.exp(rows.T)
        matrices = amplitude[:, None, None] ** 2 * np.exp(
            -0.5 * constant / length[:, None, None] ** 2
        ) + noise[:, None, None] ** 2 * np.eye(len(y))
        quadratic = np.sum((y - 920.0) * np.linalg.solve(matrices, (y - 920.0)[:, None])[..., 0], 1)
        prior = (
            scipy.stats.halfnorm.logpdf(noise, scale=200.0)
            + scipy.stats.lognorm.logpdf(length, 0.5, scale=25.0)
            + scipy.stats.lognorm.logpdf(amplitude, 0.5, scale=150.0)
        )
        return -0.5 * quadratic - 0.5 * np.linalg.slogdet(matrices)[1] + prior + rows.sum(axis=1)
    linear = rows @ constant.T
    prior = -np.sum(rows**2, axis=1) / 200.0
    if name == "votes":
        return prior + np.sum(y * linear - np.logaddexp(0.0, linear), axis=1)
    return prior + np.sum(y * linear - np.exp(linear), axis=1)


def product_rule(name: str, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance by 48 Gauss–Legendre nodes a coordinate, ten deviations either way."""
    mode = case.reference.mode
    nodes, weights = np.polynomial.legendre.leggauss(48)
    moments = case.reference.moments()
    factor = np.linalg.cholesky(moments.covariance)
    grid = 10.0 * np.stack(np.meshgrid(*[nodes] * 3, indexing="ij"), -1).reshape(-1, 3)
    points = moments.mean + grid @ factor.T
    weight = np.einsum("i,j,k->ijk", weights, weights, weights).ravel()
    values = np.concatenate([log_density(name, part) for part in np.array_split(points, 27)])
    weight = weight * np.exp(values - log_density(name, mode[None]))
    weight /= weight.sum()
    return weight @ points, np.cov(points.T, aweights=weight, bias=True)


@pytest.mark.parametrize("name", WITHOUT_CLOSED_FORM)
def test_moments_are_those_of_a_product_rule(name: str) -> None:
    """To 0.1% of each variance."""
    case = all_cases()[name]
    mean, covariance = product_rule(name, case)
    moments = case.reference.moments()
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((moments.mean - mean) / scale, 0.0, atol=5e-4)
    np.testing.assert_allclose(
        moments.covariance / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=1e-3
    )


@pytest.mark.parametrize("name", [*WITHOUT_CLOSED_FORM, "stack_loss", "interest_rates"])
def test_truth_is_where_the_density_is_largest(name: str) -> None:
    """Within a fifth of a standard deviation: the prior, and rounding, may move it."""
    case = all_cases()[name]
    truth = case.truth_in_own_space
    moments = truth.moments
    distance = (truth.position - case.reference.mode) / np.sqrt(np.diag(moments.covariance))
    if case.gaussian:  # the mode of a marginal density is another
        distance = distance[1:]
    np.testing.assert_allclose(distance, 0.0, atol=0.2)
