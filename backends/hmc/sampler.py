"""Hamiltonian Monte Carlo: one transition, a plain sampler, and warm-up in windows.

A transition is a pure function of one chain. Draws and warm-up are those of C chains that share
metric, step size and the lengths of their paths: one chain by itself, or many that are tuned
together. So one random key serves them all, and none waits for another with a longer path.
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
PATH_LENGTH = jnp.pi / 2  # in whitened units: a quarter of a period, where a Gaussian forgets
PATH_JITTER = 0.5  # uniform, relative; a fixed length can be periodic
MAX_STEPS = 1024
BLOCK = 100  # transitions, at most, whose random numbers are drawn at once
DIVERGENCE = 1000.0  # energy error


class State(NamedTuple):
    """Where a chain stands."""

    position: Array  # (d,)
    log_density: Array
    gradient: Array  # (d,)


class Transition(NamedTuple):
    """What happened in one transition; scalars."""

    energy_error: Array
    gradients: Array

    @property
    def acceptance(self) -> Array:
        """Probability with which the proposal is accepted, `min(1, exp(-error))` (Metropolis)."""
        return jnp.exp(-jnp.maximum(self.energy_error, 0.0))

    @property
    def divergent(self) -> Array:
        """Whether the error is one that no trajectory of use has."""
        return self.energy_error > DIVERGENCE


class Noise(NamedTuple):
    """The random numbers of one transition."""

    white: Array  # (d,): standard normal, of which the momentum is made
    uniform: Array  # scalar: decides between proposal and state


def draw_noise(key: Array, like: Array) -> Noise:
    """Noise for positions of shape (…, d)."""
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
    """Give the chain a momentum, follow the trajectory, accept or stay."""
    momentum = momentum_from(noise.white, metric)
    start = Phase(state.position, momentum, state.log_density, state.gradient)
    end = integrate(value_and_gradient, metric, step_size, start, steps)
    proposal = State(end.position, end.log_density, end.gradient)
    happened = Transition(energy_error(metric, start, end), jnp.asarray(steps))
    return metropolis(noise.uniform, state, proposal, happened.acceptance), happened


def transitions(
    value_and_gradient: ValueAndGradient,
    noise: Noise,
    path: Array,
    states: State,
    metric: Metric,
    step_size: Array,
) -> tuple[State, Transition]:
    """One transition of each of C chains, along paths of the same length; `path` is uniform."""
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
    """`jax.lax.scan` of a step that needs random numbers; drawn in blocks, they cost less.

    Those of which there are few, one for a chain or for all of them, are drawn at once.

    Args:
        step: of the carry, and of an input with the noise and the path of one transition.
        carry: the first.
        key: JAX random key.
        inputs: arrays with a leading axis of the number of steps.
        like: positions for which there shall be noise, shape (C, d).
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
    """`H(end) - H(start)`, infinite where the trajectory left the finite numbers.

    Minus infinity is such a place too: when `pᵀ M⁻¹ p` overflows, terms of either sign do.
    """
    kinetic = kinetic_change(metric, start.momentum, end.momentum)
    error = kinetic - (end.log_density - start.log_density)
    return jnp.where(jnp.isfinite(error), error, jnp.inf)


def metropolis(uniform: Array, state: State, proposal: State, acceptance: Array) -> State:
    """Accept the proposal with this probability, or stay."""
    accepted = uniform < acceptance
    return jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposal, state)


def jittered_steps(uniform: Array, step_size: Array) -> Array:
    """Number of leapfrog steps for a path length drawn uniformly around `PATH_LENGTH`."""
    jitter = 1.0 + PATH_JITTER * (2.0 * uniform - 1.0)
    steps = jnp.ceil(PATH_LENGTH * jitter / step_size)
    return jnp.clip(steps, 1, MAX_STEPS).astype(jnp.int32)


class WarmedUp(NamedTuple):
    """The end of warm-up."""

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
    """Tune the step size always, and the metric at the end of each window of the schedule.

    All chains are tuned together; no draw is kept, but for its share in the estimate.

    Args:
        value_and_gradient: of the log density, at a position of shape (d,).
        key: JAX random key.
        positions: where the chains start, shape (C, d).
        metric: the first.
        schedule: what is tuned when.
        estimate: makes M⁻¹ of the draws of a window.
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
            # chains that have not moved show no variance: then what is known stays
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
    """Positions, shape (num_samples, C, d), along jittered paths with a fixed metric and step.

    The chains start at `positions`, shape (C, d).
    """

    def step(states: State, inputs: Any) -> tuple[State, tuple[Array, Transition]]:
        _, noise, path = inputs
        states, info = transitions(value_and_gradient, noise, path, states, metric, step_size)
        return states, (states.position, info)

    states = jax.vmap(partial(init, value_and_gradient))(positions)
    return scan_with_noise(step, states, key, jnp.arange(num_samples), positions)[1]


class Samples(NamedTuple):
    """What `sample` returns for n draws of L leapfrog steps."""

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
    """Plain HMC with fixed settings, its trajectories kept: for looking at, and for teaching.

    Args:
        log_density: of a position of shape (d,); need not be normalised.
        key: JAX random key.
        start: shape (d,).
        num_samples: number of transitions n.
        num_steps: leapfrog steps of each, L.
        step_size: ε.
        inverse_mass_matrix: M⁻¹, shape (d,) or (d, d).
    """
    value_and_gradient = jax.value_and_grad(log_density)
    metric = make_metric(jnp.asarray(inverse_mass_matrix))

    def step(state: State, key: Array) -> tuple[State, tuple[Array, ...]]:
        noise = draw_noise(key, state.position)
        momentum = momentum_from(noise.white, metric)
        begin = Phase(state.position, momentum, state.log_density, state.gradient)

        def follow(phase: Phase, _: None) -> tuple[Phase, tuple[Array, Array]]:
            phase = leapfrog(value_and_gradient, metric, jnp.asarray(step_size), phase)
            return phase, (phase.position, energy_error(metric, begin, phase))

        end, (path, errors) = jax.lax.scan(follow, begin, None, length=num_steps)
        proposal = State(end.position, end.log_density, end.gradient)
        acceptance = Transition(errors[-1], jnp.asarray(num_steps)).acceptance
        chosen = metropolis(noise.uniform, state, proposal, acceptance)
        path = jnp.concatenate([begin.position[None], path])
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
