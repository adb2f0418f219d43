"""A complete backend: BlackJAX's NUTS under its window adaptation."""

import blackjax
import jax
import numpy as np

from invmass.backends.backend import Backend, Draws, Lack, Tuned
from invmass.geometry.estimators import WELFORD_DIAGONAL


class WindowedNUTS(Backend):
    name, requires = "windowed-nuts", ("blackjax",)
    estimators = {"diagonal": WELFORD_DIAGONAL}  # noqa: RUF012
    lacks = {"supplied": (Lack.NOT_IMPLEMENTED, "it always tunes")}  # noqa: RUF012

    def transforms(self, case):
        return case.posterior.default_transforms

    def log_density(self, case):
        return case.posterior.log_density

    def warm_up(self, case, metric, keys, starts, num_warmup, supplied=None):
        adapt = blackjax.window_adaptation(blackjax.nuts, self.log_density(case))
        run = jax.jit(jax.vmap(lambda key, z: adapt.run(key, z, num_warmup)))
        (state, found), seen = run(keys, starts)
        tuned = found["inverse_mass_matrix"], found["step_size"], state.position
        return Tuned(*map(np.asarray, tuned), *_statistics(seen.info), window=500)

    def sample(self, case, tuned, keys, num_samples):
        def chain(key, z, matrix, step_size):
            nuts = blackjax.nuts(self.log_density(case), step_size, matrix)
            step = lambda state, key: _pair(*nuts.step(key, state))  # noqa: E731
            return jax.lax.scan(step, nuts.init(z), jax.random.split(key, num_samples))

        run = jax.jit(jax.vmap(chain))
        _, (state, info) = run(keys, tuned.position, tuned.inverse_mass_matrix, tuned.step_size)
        return Draws(np.asarray(state.position), *_statistics(info))


def _pair(state, info):
    return state, (state, info)


def _statistics(info):
    """Gradients, acceptance and divergences of each replicate."""
    gradients, rates = info.num_integration_steps.sum(1), info.acceptance_rate.mean(1)
    return tuple(map(np.asarray, (gradients, rates, info.is_divergent.sum(1))))
