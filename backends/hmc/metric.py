"""The metric: what M⁻¹ does to a momentum, and how it is estimated from draws.

A one-dimensional M⁻¹ is diagonal, a two-dimensional one dense.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from invmass.geometry.families import Array


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


def draw_momentum(key: Array, metric: Metric) -> Array:
    """A momentum from N(0, M), shape (d,)."""
    factor = metric.momentum_factor
    noise = jax.random.normal(key, factor.shape[:1], factor.dtype)
    return factor * noise if factor.ndim == 1 else factor @ noise


def velocity(metric: Metric, momentum: Array) -> Array:
    """`M⁻¹ p`, shape (d,)."""
    inverse = metric.inverse_mass_matrix
    return inverse * momentum if inverse.ndim == 1 else inverse @ momentum


def kinetic_energy(metric: Metric, momentum: Array) -> Array:
    """`½ pᵀ M⁻¹ p`; the normalising constant, fixed along a trajectory, is left out."""
    return 0.5 * jnp.dot(momentum, velocity(metric, momentum))


class Welford(NamedTuple):
    """Running mean and sum of squared deviations, (d,) or (d, d)."""

    count: Array
    mean: Array
    deviations: Array


def welford_init(like: Array) -> Welford:
    """Empty accumulator for a metric of the shape of `like`."""
    return Welford(jnp.zeros((), like.dtype), jnp.zeros(like.shape[:1], like.dtype), 0.0 * like)


def welford_update(state: Welford, z: Array) -> Welford:
    """Add a draw, shape (d,). Source: Welford, Technometrics 4 (1962)."""
    count = state.count + 1.0
    before = z - state.mean
    mean = state.mean + before / count
    after = z - mean
    product = before * after if state.deviations.ndim == 1 else jnp.outer(after, before)
    return Welford(count, mean, state.deviations + product)


def welford_metric(state: Welford) -> Array:
    """Sample covariance with Stan's shrinkage: `n/(n+5) C + 1e-3 · 5/(n+5) I`."""
    covariance = state.deviations / (state.count - 1.0)
    floor = jnp.ones if covariance.ndim == 1 else jnp.eye
    shrinkage = 5.0 / (state.count + 5.0)
    identity = floor(len(state.mean), dtype=covariance.dtype)
    return (1.0 - shrinkage) * covariance + 1e-3 * shrinkage * identity
