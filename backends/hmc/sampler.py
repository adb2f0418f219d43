"""Hamiltonian Monte Carlo: one transition, a plain sampler, and warm-up in windows.

A transition is a pure function of one chain. Draws and warm-up run C chains that share the metric,
the step size and the length of each trajectory: a single chain, or many that are tuned together.
One random key therefore serves all chains, and no chain waits for another with a longer trajectory.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from invmass.adaptation.windows import Schedule
from invmass.model.distributions import Array

from . import step_size as dual_averaging
from .leapfrog import Phase, ValueAndGradient, integrate, leapfrog
from .metric import (
    Metric,
    Welford,
    kinetic_change,
    make_metric,
    momentum_from,
    welford_init,
    welford_update,
)
from .random_numbers import standard_normal, uniform

TARGET_ACCEPTANCE = 0.9
# Integration time: a quarter of a period of a whitened Gaussian, so that its draws are independent.
PATH_LENGTH = jnp.pi / 2
PATH_JITTER = 0.5  # relative half width, uniform; trajectories of a fixed length can be periodic
MAX_STEPS = 1024
BLOCK = 100  # largest number of transitions whose random numbers are drawn at once
DIVERGENCE = 1000.0  # energy error above which a transition is divergent


class State(NamedTuple):
    """The position of a chain, with the log density and its gradient."""

    position: Array  # (d,)
    log_density: Array  # scalar
    gradient: Array  # (d,)


class Transition(NamedTuple):
    """Diagnostics of one transition; scalars."""

    energy_error: Array  # H at the end of the trajectory less H at its start
    gradients: Array  # number of gradient evaluations

    @property
    def acceptance(self) -> Array:
        """The Metropolis acceptance probability of the proposal, `min(1, exp(-energy_error))`."""
        return jnp.exp(-jnp.maximum(self.energy_error, 0.0))

    @property
    def divergent(self) -> Array:
        """Whether the energy error exceeds `DIVERGENCE`."""
        return self.energy_error > DIVERGENCE


class Noise(NamedTuple):
    """The random numbers of one transition."""

    white: Array  # (d,): standard normal, for the momentum
    uniform: Array  # scalar: accepts or rejects the proposal


def draw_noise(key: Array, like: Array) -> Noise:
    """Draw the random numbers of one transition, for positions of shape (…, d)."""
    white_key, uniform_key = jax.random.split(key)
    return Noise(
        standard_normal(white_key, like.shape, like.dtype),
        uniform(uniform_key, like.shape[:-1], like.dtype),
    )


def init(value_and_gradient: ValueAndGradient, position: Array) -> State:
    """The state at a position, shape (d,)."""
    return State(position, *value_and_gradient(position))


def transition(
    value_and_gradient: ValueAndGradient,
    noise: Noise,
    state: State,
    metric: Metric,
    step_size: Array,
    steps: Array | int,
) -> tuple[State, Transition]:
    """Draw a momentum, integrate the trajectory, and accept or reject its end.

    Args:
        value_and_gradient: log density and its gradient at a position of shape (d,).
        noise: the random numbers of this transition.
        state: the state before the transition.
        metric: M⁻¹.
        step_size: ε, scalar.
        steps: number of leapfrog steps, at least one; may be a traced value.

    Returns:
        The next state, and diagnostics of the transition.
    """
    momentum = momentum_from(noise.white, metric)
    start = Phase(state.position, momentum, state.log_density, state.gradient)
    end = integrate(value_and_gradient, metric, step_size, start, steps)
    proposal = State(end.position, end.log_density, end.gradient)
    diagnostics = Transition(energy_error(metric, start, end), jnp.asarray(steps))
    return metropolis(noise.uniform, state, proposal, diagnostics.acceptance), diagnostics


def transitions(
    value_and_gradient: ValueAndGradient,
    noise: Noise,
    path: Array,
    states: State,
    metric: Metric,
    step_size: Array,
) -> tuple[State, Transition]:
    """One transition of each of C chains, with trajectories of the same length.

    Args:
        value_and_gradient: log density and its gradient at a position of shape (d,).
        noise: random numbers, with a leading axis of C chains.
        path: uniform random number that determines the length of the trajectories, scalar.
        states: states, with a leading axis of C chains.
        metric: M⁻¹.
        step_size: ε, scalar.
    """
    steps = jittered_steps(path, step_size)

    def one(noise: Noise, state: State) -> tuple[State, Transition]:
        return transition(value_and_gradient, noise, state, metric, step_size, steps)

    return jax.vmap(one)(noise, states)


def scan_with_noise(
    step: Callable[[Any, tuple[Any, Noise, Array]], tuple[Any, Any]],
    carry: Any,
    key: Array,
    inputs: Any,
    like: Array,
) -> tuple[Any, Any]:
    """`jax.lax.scan` over a step that needs random numbers, which are cheaper to draw in blocks.

    Normal numbers are drawn for up to `BLOCK` transitions at once. The uniform numbers are few and
    are drawn for all transitions at once.

    Args:
        step: function of the carry and of (input, noise, uniform number for the path length).
        carry: the initial carry.
        key: JAX random key.
        inputs: arrays with a leading axis of the number of steps.
        like: positions that give shape (C, d) and dtype of the noise.

    Returns:
        The final carry, and the stacked outputs of all steps.
    """
    count = len(jax.tree.leaves(inputs)[0])
    block = next(size for size in range(min(BLOCK, count), 0, -1) if count % size == 0)

    keys = jax.random.split(key, count // block + 2)
    uniforms = uniform(keys[-2], (count, len(like)), like.dtype)
    paths = uniform(keys[-1], (count,), like.dtype)

    def steps(carry: Any, part: Any) -> tuple[Any, Any]:
        key, inputs, uniforms, paths = part
        white = standard_normal(key, (block, *like.shape), like.dtype)
        return jax.lax.scan(step, carry, (inputs, Noise(white, uniforms), paths))

    parts = jax.tree.map(lambda x: x.reshape(-1, block, *x.shape[1:]), (inputs, uniforms, paths))
    carry, out = jax.lax.scan(steps, carry, (keys[:-2], *parts))
    return carry, jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), out)


def energy_error(metric: Metric, start: Phase, end: Phase) -> Array:
    """The energy error `H(end) - H(start)`; infinite if it is not a finite number.

    Minus infinity also becomes plus infinity, because terms of either sign may overflow in
    `pᵀ M⁻¹ p`.
    """
    kinetic = kinetic_change(metric, start.momentum, end.momentum)
    error = kinetic - (end.log_density - start.log_density)
    return jnp.where(jnp.isfinite(error), error, jnp.inf)


def metropolis(uniform: Array, state: State, proposal: State, acceptance: Array) -> State:
    """Accept the proposal with probability `acceptance`, or keep the current state."""
    accepted = uniform < acceptance
    return jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposal, state)


def jittered_steps(uniform: Array, step_size: Array) -> Array:
    """Number of leapfrog steps for an integration time drawn uniformly around `PATH_LENGTH`."""
    jitter = 1.0 + PATH_JITTER * (2.0 * uniform - 1.0)
    steps = jnp.ceil(PATH_LENGTH * jitter / step_size)
    return jnp.clip(steps, 1, MAX_STEPS).astype(jnp.int32)


class WarmedUp(NamedTuple):
    """The result of warm-up."""

    state: State  # each field with a leading axis of C chains
    metric: Metric
    step_size: Array
    transitions: Transition  # each field of shape (num_warmup, C)


def warm_up(
    value_and_gradient: ValueAndGradient,
    key: Array,
    positions: Array,
    metric: Metric,
    schedule: Schedule,
    estimate: Callable[[Welford], Array],
) -> WarmedUp:
    """Adapt the step size after every transition, and the metric at the end of each window.

    All chains share one step size and one metric, estimated from the draws of all of them. The
    draws are not stored.

    Args:
        value_and_gradient: log density and its gradient at a position of shape (d,).
        key: JAX random key.
        positions: starting points of the chains, shape (C, d).
        metric: the initial metric.
        schedule: for each transition, whether its draws enter the estimate, and whether it ends a
            window.
        estimate: function from the accumulated draws of a window to M⁻¹, shape (d,) or (d, d).
    """

    def step(carry, inputs):  # type: ignore[no-untyped-def]
        states, metric, averaging, welford = carry
        (collects, ends_window), noise, path = inputs
        step_size = jnp.exp(averaging.log_step_size)
        states, info = transitions(value_and_gradient, noise, path, states, metric, step_size)
        averaging = dual_averaging.update(
            averaging, jnp.mean(info.acceptance), TARGET_ACCEPTANCE, len(positions)
        )
        welford = jax.lax.cond(
            collects, welford_update, lambda welford, _: welford, welford, states.position
        )

        def renew(_):  # type: ignore[no-untyped-def]
            estimated = make_metric(estimate(welford))
            # if no chain has moved, the variance is zero and the previous metric is used
            found = jnp.all(jnp.isfinite(estimated.momentum_factor))
            return (
                jax.tree.map(lambda new, old: jnp.where(found, new, old), estimated, metric),
                dual_averaging.init(jnp.exp(averaging.log_average)),
                welford_init(metric.inverse_mass_matrix),
            )

        metric, averaging, welford = jax.lax.cond(
            ends_window, renew, lambda _: (metric, averaging, welford), None
        )
        return (states, metric, averaging, welford), info

    carry = (
        jax.vmap(partial(init, value_and_gradient))(positions),
        metric,
        dual_averaging.init(jnp.ones((), positions.dtype)),
        welford_init(metric.inverse_mass_matrix),
    )
    flags = (jnp.asarray(schedule.collects), jnp.asarray(schedule.ends_window))
    (states, metric, averaging, _), infos = scan_with_noise(step, carry, key, flags, positions)
    return WarmedUp(states, metric, jnp.exp(averaging.log_average), infos)


def draw(
    value_and_gradient: ValueAndGradient,
    key: Array,
    positions: Array,
    metric: Metric,
    step_size: Array,
    num_samples: int,
) -> tuple[Array, Transition]:
    """Draw with a fixed metric and step size, and with trajectories of jittered length.

    Args:
        value_and_gradient: log density and its gradient at a position of shape (d,).
        key: JAX random key.
        positions: starting points of the chains, shape (C, d).
        metric: M⁻¹.
        step_size: ε, scalar.
        num_samples: number of transitions n.

    Returns:
        Positions, shape (n, C, d), and diagnostics with fields of shape (n, C).
    """

    def step(states: State, inputs: Any) -> tuple[State, tuple[Array, Transition]]:
        _, noise, path = inputs
        states, info = transitions(value_and_gradient, noise, path, states, metric, step_size)
        return states, (states.position, info)

    states = jax.vmap(partial(init, value_and_gradient))(positions)
    return scan_with_noise(step, states, key, jnp.arange(num_samples), positions)[1]


class Samples(NamedTuple):
    """The result of `sample`, for n transitions of L leapfrog steps."""

    positions: Array  # (n + 1, d), the starting point first
    trajectories: Array  # (n, L + 1, d), the starting point of each first
    energy_errors: Array  # (n, L + 1), H along each trajectory less H at its start
    acceptance_rate: Array  # share of accepted proposals


def sample(
    log_density: Callable[[Array], Array],
    key: Array,
    start: Array,
    *,
    num_samples: int,
    num_steps: int,
    step_size: float,
    inverse_mass_matrix: Array,
) -> Samples:
    """Plain HMC with fixed settings that returns its trajectories, for teaching and for plots.

    Args:
        log_density: log density at a position of shape (d,); need not be normalised.
        key: JAX random key.
        start: starting point, shape (d,).
        num_samples: number of transitions n.
        num_steps: number of leapfrog steps L of each transition.
        step_size: ε.
        inverse_mass_matrix: M⁻¹, shape (d,) or (d, d).
    """
    value_and_gradient = jax.value_and_grad(log_density)
    metric = make_metric(jnp.asarray(inverse_mass_matrix))

    def step(state: State, key: Array) -> tuple[State, tuple[Array, ...]]:
        noise = draw_noise(key, state.position)
        momentum = momentum_from(noise.white, metric)
        start_phase = Phase(state.position, momentum, state.log_density, state.gradient)

        def leapfrog_step(phase: Phase, _: None) -> tuple[Phase, tuple[Array, Array]]:
            phase = leapfrog(value_and_gradient, metric, jnp.asarray(step_size), phase)
            return phase, (phase.position, energy_error(metric, start_phase, phase))

        end, (path, errors) = jax.lax.scan(leapfrog_step, start_phase, None, length=num_steps)
        proposal = State(end.position, end.log_density, end.gradient)
        acceptance = Transition(errors[-1], jnp.asarray(num_steps)).acceptance
        chosen = metropolis(noise.uniform, state, proposal, acceptance)
        path = jnp.concatenate([start_phase.position[None], path])
        errors = jnp.concatenate([jnp.zeros_like(errors[:1]), errors])
        return chosen, (chosen.position, path, errors, noise.uniform < acceptance)

    @jax.jit
    def run(key: Array, start: Array) -> Samples:
        state = init(value_and_gradient, start)
        keys = jax.random.split(key, num_samples)
        _, (positions, paths, errors, accepted) = jax.lax.scan(step, state, keys)
        positions = jnp.concatenate([start[None], positions])
        return Samples(positions, paths, errors, jnp.mean(accepted))

    return run(key, jnp.asarray(start, dtype=float))
