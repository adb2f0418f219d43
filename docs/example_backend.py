"""A complete backend: BlackJAX's static HMC under its window adaptation."""

import blackjax
import jax
import numpy as np
from blackjax.adaptation.base import get_filter_adapt_info_fn

from invmass.backends.backend import Backend, Draws, Tuned
from invmass.geometry.estimators import Estimator, Regularisation, Rule


class StaticHMC(Backend):
    name, requires, steps = "static-hmc", ("blackjax",), 8
    estimators = {"diagonal": Estimator(Rule.VARIANCE, False, Regularisation.STAN)}

    def transforms(self, case):
        return case.posterior.default_transforms

    def log_density(self, case):
        return case.posterior.log_density

    def warm_up(self, case, metric, keys, starts, num_warmup, supplied=None):
        keep = get_filter_adapt_info_fn(info_keys={"acceptance_rate", "is_divergent"})
        adapt = blackjax.window_adaptation(
            blackjax.hmc, self.log_density(case), num_integration_steps=self.steps, adaptation_info_fn=keep
        )
        (state, found), seen = jax.jit(jax.vmap(lambda k, z: adapt.run(k, z, num_warmup)))(keys, starts)
        count = np.full(len(keys), self.steps * num_warmup)
        means = np.asarray(seen.info.acceptance_rate.mean(1)), np.asarray(seen.info.is_divergent.sum(1))
        matrix, step_size = found["inverse_mass_matrix"], found["step_size"]
        return Tuned(*map(np.asarray, (matrix, step_size, state.position, count)), *means, window=500)

    def sample(self, case, tuned, keys, num_samples):
        def chain(key, z, matrix, step_size):
            hmc = blackjax.hmc(self.log_density(case), step_size, matrix, self.steps)
            step = lambda state, key: (lambda s, i: (s, (s.position, i.acceptance_rate, i.is_divergent)))(*hmc.step(key, state))
            return jax.lax.scan(step, hmc.init(z), jax.random.split(key, num_samples))[1]

        z, acceptance, divergent = jax.jit(jax.vmap(chain))(keys, tuned.position, tuned.inverse_mass_matrix, tuned.step_size)
        count = np.full(len(keys), self.steps * num_samples)
        return Draws(np.asarray(z), count, np.asarray(acceptance.mean(1)), np.asarray(divergent.sum(1)))
