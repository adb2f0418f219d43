"""A complete backend: BlackJAX's NUTS under its window adaptation."""

from functools import cache
from typing import ClassVar

import blackjax
import jax
import numpy as np

from invmass import WELFORD_DIAGONAL, Backend, Draws, Tuned, last_window, stan_schedule


class WindowedNUTS(Backend):
    name, requires = "windowed-nuts", ("blackjax",)
    estimators: ClassVar = {"diagonal": WELFORD_DIAGONAL}

    def warm_up(self, request):
        adaptation = _adaptation(request.case, request.num_warmup)
        (state, found), seen = adaptation(request.keys, request.starts)
        tuned = found["inverse_mass_matrix"], found["step_size"], state.position
        window = last_window(stan_schedule(request.num_warmup))
        return Tuned(*map(np.asarray, tuned), *_statistics(seen.info), window)

    def sample(self, case, tuned, keys, num_samples):
        arrays = tuned.position, tuned.inverse_mass_matrix, tuned.step_size
        state, info = _chains(case, num_samples)(keys, *arrays)
        return Draws(np.asarray(state.position), *_statistics(info))


@cache
def _adaptation(case, num_warmup):
    adapt = blackjax.window_adaptation(blackjax.nuts, case.posterior.log_density)
    return jax.jit(jax.vmap(lambda key, z: adapt.run(key, z, num_warmup)))


@cache
def _chains(case, num_samples):
    def chain(key, z, matrix, step_size):
        def step(state, key):
            return (new := nuts.step(key, state))[0], new

        nuts = blackjax.nuts(case.posterior.log_density, step_size, matrix)
        return jax.lax.scan(step, nuts.init(z), jax.random.split(key, num_samples))[1]

    return jax.jit(jax.vmap(chain))


def _statistics(info):
    gradients, acceptance = info.num_integration_steps.sum(1), info.acceptance_rate.mean(1)
    return tuple(map(np.asarray, (gradients, acceptance, info.is_divergent.sum(1))))
