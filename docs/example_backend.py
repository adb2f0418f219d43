"""A complete backend: BlackJAX's NUTS under its window adaptation."""

from functools import cache

import blackjax
import jax
import numpy as np

from invmass.adaptation.estimators import WELFORD_DIAGONAL
from invmass.adaptation.windows import last_window, stan_schedule
from invmass.sampling.backend import Backend, Draws, Lack, Tuned


class WindowedNUTS(Backend):
    name, requires = "windowed-nuts", ("blackjax",)
    estimators = {"diagonal": WELFORD_DIAGONAL}
    lacks = {"supplied": (Lack.NOT_IMPLEMENTED, "it always tunes")}

    def transforms(self, case):
        return case.posterior.default_transforms

    def log_density(self, case):
        return case.posterior.log_density

    def warm_up(self, case, metric, keys, starts, num_warmup, supplied=None):
        (state, found), seen = _adaptation(case, num_warmup)(keys, starts)
        tuned = found["inverse_mass_matrix"], found["step_size"], state.position
        window = last_window(stan_schedule(num_warmup))
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
        nuts = blackjax.nuts(case.posterior.log_density, step_size, matrix)
        step = lambda state, key: ((new := nuts.step(key, state))[0], new)
        return jax.lax.scan(step, nuts.init(z), jax.random.split(key, num_samples))[1]

    return jax.jit(jax.vmap(chain))


def _statistics(info):
    gradients, acceptance = info.num_integration_steps.sum(1), info.acceptance_rate.mean(1)
    return tuple(map(np.asarray, (gradients, acceptance, info.is_divergent.sum(1))))
