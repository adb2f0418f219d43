"""Dual averaging of the step size, more damped than in Stan.

With Stan's constants (γ = 0.05, and shrinkage towards ten times the last step size) the step size
follows the acceptance of single transitions, so that the draws during warm-up are not exactly from
the posterior. In this sampler this would lower the tuned variances by 7 to 9%. A larger γ, and
shrinkage towards the last step size itself, reduce this to at most 5%. The mean acceptance over C
chains has 1/√C of the noise, so γ can be smaller by that factor and the step size adapts faster.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp

from invmass.model.distributions import Array

GAMMA, STANS_GAMMA, T0, KAPPA = 0.6, 0.05, 10.0, 0.75


class DualAveraging(NamedTuple):
    """State of dual averaging; all fields are scalars."""

    log_step_size: Array  # log ε of the next transition
    log_average: Array  # weighted average of log ε, the result of the adaptation
    error_sum: Array  # sum of target minus acceptance
    count: Array  # number of updates
    log_shrinkage: Array  # log ε towards which the iterates shrink


def init(step_size: Array) -> DualAveraging:
    """The state that starts at `step_size` and shrinks towards it."""
    log_step_size = jnp.log(step_size)
    zero = jnp.zeros_like(log_step_size)
    return DualAveraging(log_step_size, zero, zero, zero, log_step_size)


def update(
    state: DualAveraging, acceptance: Array, target: float, chains: int = 1
) -> DualAveraging:
    """Update the step size after one transition of each chain.

    Source: Hoffman & Gelman, JMLR 15 (2014), algorithm 5.

    Args:
        state: the state before the transition.
        acceptance: mean acceptance probability of the chains, scalar.
        target: the target acceptance.
        chains: number of chains.
    """
    gamma = max(GAMMA / math.sqrt(chains), STANS_GAMMA)
    count = state.count + 1.0
    error_sum = state.error_sum + target - acceptance
    log_step_size = state.log_shrinkage - jnp.sqrt(count) / gamma * error_sum / (count + T0)
    weight = count**-KAPPA
    log_average = weight * log_step_size + (1.0 - weight) * state.log_average
    return DualAveraging(log_step_size, log_average, error_sum, count, state.log_shrinkage)
