"""Step size by dual averaging."""

from typing import NamedTuple

import jax.numpy as jnp

from invmass.geometry.families import Array

GAMMA, T0, KAPPA = 0.05, 10.0, 0.75


class DualAveraging(NamedTuple):
    """State of the scheme; logarithms of step sizes, scalars."""

    log_step_size: Array
    log_average: Array
    error_sum: Array
    count: Array
    log_shrinkage: Array


def init(step_size: Array) -> DualAveraging:
    """Begin at `step_size`, pulled towards ten times as much."""
    log_step_size = jnp.log(step_size)
    zero = jnp.zeros_like(log_step_size)
    return DualAveraging(log_step_size, zero, zero, zero, jnp.log(10.0) + log_step_size)


def update(state: DualAveraging, acceptance: Array, target: float) -> DualAveraging:
    """One step towards the target acceptance.

    Source: Hoffman & Gelman, JMLR 15 (2014), algorithm 5.
    """
    count = state.count + 1.0
    error_sum = state.error_sum + target - acceptance
    log_step_size = state.log_shrinkage - jnp.sqrt(count) / GAMMA * error_sum / (count + T0)
    weight = count**-KAPPA
    log_average = weight * log_step_size + (1.0 - weight) * state.log_average
    return DualAveraging(log_step_size, log_average, error_sum, count, state.log_shrinkage)
