"""The leapfrog integrator."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from invmass.model.distributions import Array

from .metric import Metric, velocity

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
    """`steps` leapfrog steps, one at least; the number may be traced.

    The half steps of the momentum that meet are taken as one, and the log density is evaluated at
    the end alone: nothing along the way needs it.
    """

    def full_step(_: int, point: tuple[Array, Array]) -> tuple[Array, Array]:
        position, momentum = point
        position = position + step_size * velocity(metric, momentum)
        return position, momentum + step_size * value_and_gradient(position)[1]

    momentum = phase.momentum + 0.5 * step_size * phase.gradient
    position, momentum = jax.lax.fori_loop(1, steps, full_step, (phase.position, momentum))
    position = position + step_size * velocity(metric, momentum)
    log_density, gradient = value_and_gradient(position)
    return Phase(position, momentum + 0.5 * step_size * gradient, log_density, gradient)
