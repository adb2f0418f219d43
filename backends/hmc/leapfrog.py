"""The leapfrog integrator."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from invmass.model.distributions import Array

from .metric import Metric, velocity

ValueAndGradient = Callable[[Array], tuple[Array, Array]]


class Phase(NamedTuple):
    """A point in phase space, with the log density and its gradient at the position."""

    position: Array  # (d,)
    momentum: Array  # (d,)
    log_density: Array  # scalar
    gradient: Array  # (d,)


def leapfrog(
    value_and_gradient: ValueAndGradient, metric: Metric, step_size: Array, phase: Phase
) -> Phase:
    """One leapfrog step for `dz/dt = M⁻¹ p`, `dp/dt = ∇ log π(z)`; evaluates one gradient.

    The step is reversible and preserves volume. Over a fixed integration time the energy error is
    of order ε².

    Source: Neal, "MCMC using Hamiltonian dynamics", §5.2.3.

    Args:
        value_and_gradient: log density and its gradient at a position of shape (d,).
        metric: M⁻¹.
        step_size: ε, scalar.
        phase: the point before the step.
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
    """Take several leapfrog steps; each evaluates one gradient.

    Adjacent half steps of the momentum are merged into full steps. The log density is used only at
    the end of the trajectory.

    Args:
        value_and_gradient: log density and its gradient at a position of shape (d,).
        metric: M⁻¹.
        step_size: ε, scalar.
        phase: the start of the trajectory.
        steps: number of steps, at least one; may be a traced value.
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
