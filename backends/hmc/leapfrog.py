"""The leapfrog integrator."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from invmass.backends.hmc.metric import Metric, velocity
from invmass.geometry.families import Array

ValueAndGradient = Callable[[Array], tuple[Array, Array]]


class Phase(NamedTuple):
    """A point of phase space, with the log density and its gradient there."""

    position: Array  # (d,)
    momentum: Array  # (d,)
    log_density: Array
    gradient: Array  # (d,)


def leapfrog(
    value_and_gradient: ValueAndGradient, metric: Metric, step_size: Array, phase: Phase
) -> Phase:
    """One step of `z' = M⁻¹ p`, `p' = ∇ log π(z)`, at the cost of one gradient.

    Reversible and volume preserving, with an energy error of order ε² over a fixed time.
    Source: Neal, "MCMC using Hamiltonian dynamics", §5.2.3.
    """
    momentum = phase.momentum + 0.5 * step_size * phase.gradient
    position = phase.position + step_size * velocity(metric, momentum)
    log_density, gradient = value_and_gradient(position)
    momentum = momentum + 0.5 * step_size * gradient
    return Phase(position, momentum, log_density, gradient)


def integrate(
    value_and_gradient: ValueAndGradient,
    metric: Metric,
    step_size: Array,
    phase: Phase,
    steps: Array | int,
) -> Phase:
    """`steps` leapfrog steps; the number may be traced."""
    return jax.lax.fori_loop(
        0, steps, lambda _, p: leapfrog(value_and_gradient, metric, step_size, p), phase
    )
