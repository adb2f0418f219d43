"""The metric: momenta and velocities under M⁻¹, and estimates of M⁻¹ from draws.

An M⁻¹ of shape (d,) is diagonal, one of shape (d, d) is dense.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from invmass.model.distributions import Array

# With fewer draws for each coordinate, a dense metric is worse than a diagonal one.
MIN_DRAWS_PER_DIM = 2


class Metric(NamedTuple):
    """M⁻¹, and a factor F with F Fᵀ = M, which maps white noise to momenta from N(0, M)."""

    inverse_mass_matrix: Array  # (d,) or (d, d)
    momentum_factor: Array  # F: M^½ of shape (d,), or shape (d, d)


def make_metric(inverse_mass_matrix: Array) -> Metric:
    """Factor M⁻¹, shape (d,) or (d, d), once for all draws of momenta."""
    if inverse_mass_matrix.ndim == 1:
        return Metric(inverse_mass_matrix, inverse_mass_matrix**-0.5)
    lower = jnp.linalg.cholesky(inverse_mass_matrix)
    identity = jnp.eye(len(lower), dtype=lower.dtype)
    return Metric(inverse_mass_matrix, solve_triangular(lower, identity, lower=True).T)


def momentum_from(noise: Array, metric: Metric) -> Array:
    """A momentum from N(0, M), shape (d,), from white noise of shape (d,)."""
    factor = metric.momentum_factor
    return factor * noise if factor.ndim == 1 else factor @ noise


def velocity(metric: Metric, momentum: Array) -> Array:
    """The velocity `M⁻¹ p`, shape (d,), of a momentum p."""
    inverse = metric.inverse_mass_matrix
    return inverse * momentum if inverse.ndim == 1 else inverse @ momentum


def kinetic_change(metric: Metric, start: Array, end: Array) -> Array:
    """The change of the kinetic energy `½ pᵀ M⁻¹ p` between two momenta of shape (d,).

    Computed as `½ (end - start)ᵀ M⁻¹ (end + start)`, which is equal because M⁻¹ is symmetric, and
    needs one product with M⁻¹ instead of two.
    """
    return 0.5 * jnp.dot(end - start, velocity(metric, end + start))


class Welford(NamedTuple):
    """Running mean, and running sum of squares and products of the deviations from the mean."""

    count: Array  # scalar
    mean: Array  # (d,)
    deviations: Array  # (d,) for a diagonal metric, (d, d) for a dense one


def welford_init(like: Array) -> Welford:
    """An accumulator without draws, for a metric with the shape and dtype of `like`."""
    return Welford(jnp.zeros((), like.dtype), jnp.zeros(like.shape[:1], like.dtype), 0.0 * like)


def welford_update(state: Welford, z: Array) -> Welford:
    """Add one draw z of each of C chains, shape (C, d).

    Source: Welford, Technometrics 4 (1962), for a single draw. For C draws, `after.T @ before` is
    the sum of squares of the draws about their own mean, plus the term for the change of the
    running mean.
    """
    count = state.count + len(z)
    before = z - state.mean
    mean = state.mean + jnp.sum(before, axis=0) / count
    after = z - mean
    diagonal = state.deviations.ndim == 1
    added = jnp.sum(before * after, axis=0) if diagonal else after.T @ before
    return Welford(count, mean, state.deviations + added)


def stan_shrinkage(state: Welford) -> Array:
    """Sample covariance C of n draws with Stan's shrinkage, `n/(n+5) C + 1e-3 · 5/(n+5) I`.

    Returns:
        M⁻¹, shape (d,) or (d, d). A dense estimate from too few draws is diagonal; see
        `variances_of_few`.
    """
    covariance = state.deviations / (state.count - 1.0)
    floor = jnp.ones if covariance.ndim == 1 else jnp.eye
    shrinkage = 5.0 / (state.count + 5.0)
    identity = floor(len(state.mean), dtype=covariance.dtype)
    estimate = (1.0 - shrinkage) * covariance + 1e-3 * shrinkage * identity
    return variances_of_few(estimate, state.count)


def variances_of_few(estimate: Array, draws: Array) -> Array:
    """Set the off-diagonal entries of an estimate to zero if there are too few draws.

    Args:
        estimate: M⁻¹, shape (d,) or (d, d); one of shape (d,) is returned unchanged.
        draws: number of draws; fewer than `MIN_DRAWS_PER_DIM` for each coordinate are too few.
    """
    if estimate.ndim == 1:
        return estimate
    diagonal = jnp.eye(len(estimate), dtype=bool)
    return jnp.where(diagonal | (draws >= MIN_DRAWS_PER_DIM * len(estimate)), estimate, 0.0)


def oracle_shrinkage(state: Welford) -> Array:
    """Sample covariance with shrunk correlations, positive definite also for few draws.

    Variances are unchanged, and the off-diagonal correlations R become `(1 - ρ) R`. The shrinkage
    is that of the oracle approximating shrinkage estimator,
    `ρ = min(1, ((1 - 2/d) tr R² + d²) / ((n + 1 - 2/d) (tr R² - d)))`.

    Source: Chen, Wiesel, Eldar & Hero, IEEE Transactions on Signal Processing 58 (2010), eq. 23.

    Returns:
        M⁻¹, shape (d,), which is not shrunk, or (d, d).
    """
    covariance = state.deviations / (state.count - 1.0)
    if covariance.ndim == 1:
        return covariance
    d = len(covariance)
    scale = jnp.sqrt(jnp.diagonal(covariance))
    squares = jnp.sum((covariance / jnp.outer(scale, scale)) ** 2)
    shrinkage = ((1 - 2 / d) * squares + d**2) / ((state.count + 1 - 2 / d) * (squares - d))
    shrunk = (1.0 - jnp.clip(shrinkage, 0.0, 1.0)) * covariance
    return jnp.where(jnp.eye(d, dtype=bool), covariance, 0.5 * (shrunk + shrunk.T))
