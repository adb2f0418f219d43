"""The metric: what M⁻¹ does to a momentum, and how it is estimated from draws.

A one-dimensional M⁻¹ is diagonal, a two-dimensional one dense.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from invmass.model.distributions import Array

MIN_DRAWS_PER_DIM = 2  # draws for each coordinate: from fewer a dense metric is worse than none


class Metric(NamedTuple):
    """M⁻¹, and a factor that turns white noise into momenta from N(0, M)."""

    inverse_mass_matrix: Array  # (d,) or (d, d)
    momentum_factor: Array  # (d,): M^½; (d, d): F with F Fᵀ = M


def make_metric(inverse_mass_matrix: Array) -> Metric:
    """Factor M⁻¹ once, so that no step needs to."""
    if inverse_mass_matrix.ndim == 1:
        return Metric(inverse_mass_matrix, inverse_mass_matrix**-0.5)
    lower = jnp.linalg.cholesky(inverse_mass_matrix)
    identity = jnp.eye(len(lower), dtype=lower.dtype)
    return Metric(inverse_mass_matrix, solve_triangular(lower, identity, lower=True).T)


def momentum_from(noise: Array, metric: Metric) -> Array:
    """White noise, shape (d,), as a momentum from N(0, M)."""
    factor = metric.momentum_factor
    return factor * noise if factor.ndim == 1 else factor @ noise


def velocity(metric: Metric, momentum: Array) -> Array:
    """`M⁻¹ p`, shape (d,)."""
    inverse = metric.inverse_mass_matrix
    return inverse * momentum if inverse.ndim == 1 else inverse @ momentum


def kinetic_change(metric: Metric, start: Array, end: Array) -> Array:
    """`½ pᵀ M⁻¹ p` at the end less that at the start, of momenta of shape (d,).

    As `½ (end - start)ᵀ M⁻¹ (end + start)`, the same for a symmetric M⁻¹ by one product less.
    """
    return 0.5 * jnp.dot(end - start, velocity(metric, end + start))


class Welford(NamedTuple):
    """Running mean and sum of squared deviations, (d,) or (d, d)."""

    count: Array
    mean: Array
    deviations: Array


def welford_init(like: Array) -> Welford:
    """Empty accumulator for a metric of the shape of `like`."""
    return Welford(jnp.zeros((), like.dtype), jnp.zeros(like.shape[:1], like.dtype), 0.0 * like)


def welford_update(state: Welford, z: Array) -> Welford:
    """Add the draws of all chains, shape (C, d).

    Source: Welford, Technometrics 4 (1962), for one draw; for C of them `before.T @ after` is the
    sum of the same products, but for the spread of the old mean about the new, which it holds too.
    """
    count = state.count + len(z)
    before = z - state.mean
    mean = state.mean + jnp.sum(before, axis=0) / count
    after = z - mean
    diagonal = state.deviations.ndim == 1
    added = jnp.sum(before * after, axis=0) if diagonal else after.T @ before
    return Welford(count, mean, state.deviations + added)


def stan_shrinkage(state: Welford) -> Array:
    """Sample covariance with Stan's shrinkage: `n/(n+5) C + 1e-3 · 5/(n+5) I`."""
    covariance = state.deviations / (state.count - 1.0)
    floor = jnp.ones if covariance.ndim == 1 else jnp.eye
    shrinkage = 5.0 / (state.count + 5.0)
    identity = floor(len(state.mean), dtype=covariance.dtype)
    estimate = (1.0 - shrinkage) * covariance + 1e-3 * shrinkage * identity
    return variances_of_few(estimate, state.count)


def variances_of_few(estimate: Array, draws: Array) -> Array:
    """A dense estimate, (d, d), or its diagonal if there are too few draws for correlations.

    Too few are less than `MIN_DRAWS_PER_DIM` for each coordinate. A diagonal estimate, (d,), is
    returned as it is.
    """
    if estimate.ndim == 1:
        return estimate
    diagonal = jnp.eye(len(estimate), dtype=bool)
    return jnp.where(diagonal | (draws >= MIN_DRAWS_PER_DIM * len(estimate)), estimate, 0.0)


def oracle_shrinkage(state: Welford) -> Array:
    """Sample covariance with its correlations shrunk, so that few draws give a metric.

    Variances stay, and correlations R become `(1 - ρ) R`, ρ that of the oracle approximating
    shrinkage estimator: `((1 - 2/d) tr R² + d²) / ((n + 1 - 2/d) (tr R² - d))`, at most 1. Source:
    Chen, Wiesel, Eldar & Hero, IEEE Transactions on Signal Processing 58 (2010), equation 23.
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
