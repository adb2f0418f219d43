"""The suite's own sampler with pooled adaptation: one metric from the draws of many chains."""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp

from invmass.adaptation.estimators import POOLED_DENSE, RUNNING_VARIANCE, Estimator
from invmass.adaptation.windows import Schedule, last_window, pooled_schedule, without_windows
from invmass.model.case import Case
from invmass.model.distributions import Array
from invmass.model.posterior import Posterior
from invmass.sampling.backend import Backend, Draws, Tuned, Unsupported, WarmUpRequest
from invmass.sampling.batching import compiled

from .hmc.metric import make_metric, oracle_shrinkage
from .hmc.sampler import TARGET_ACCEPTANCE, warm_up
from .hmc_static import HandRolledHMC, sample_by_chain, tuned_from

# Fewest warm-up steps that leave room for windows, and for tuning the step size between them.
SHORTEST = 50


@final
class PooledHMC(Backend):
    """The HMC implementation in `backends/hmc/`, with C chains adapted together in each replicate.

    It calls `hmc.sampler.warm_up` with chains that start at the same point and share metric and
    step size. The metric is estimated by `hmc.metric.oracle_shrinkage` from the draws of all
    chains, so that each chain needs only a tenth of the requested warm-up steps.

    Attributes:
        chains: number of chains C of a replicate.
        share: each chain takes one of so many requested steps.
    """

    name = "hmc-pooled"
    requires = ("jax",)
    largest_dense = 1000
    target_acceptance = TARGET_ACCEPTANCE
    has_accept_reject = True
    supports_fixed_metric = True
    supports_initial_metric = True
    chains = 16
    share = 10
    estimators: ClassVar[Mapping[str, Estimator]] = {
        "diagonal": RUNNING_VARIANCE,
        "dense": POOLED_DENSE,
    }
    unsupported: ClassVar[Mapping[str, tuple[Unsupported, str]]] = HandRolledHMC.unsupported

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        schedule = pooled_schedule(max(SHORTEST, request.num_warmup // self.share))
        if not request.adapt_metric:
            schedule = without_windows(schedule)
        end = _warm_up_program(self.chains)(
            request.case.posterior.on_device(),
            request.keys,
            request.starts,
            request.initial_metric(self.estimators[request.metric].dense),
            schedule,
        )
        return tuned_from(end, self.chains * last_window(schedule))

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        return sample_by_chain(case, tuned, keys, num_samples)


@cache
def _warm_up_program(chains: int) -> Any:
    def run(
        posterior: Posterior, keys: Array, starts: Array, initial: Array, schedule: Schedule
    ) -> Any:
        value_and_gradient = jax.value_and_grad(posterior.log_density)
        metric = make_metric(initial)

        def one(inputs: tuple[Array, Array]) -> Any:
            key, start = inputs
            positions = jnp.broadcast_to(start, (chains, len(start)))
            return warm_up(value_and_gradient, key, positions, metric, schedule, oracle_shrinkage)

        return jax.lax.map(one, (keys, starts))  # in sequence, as each is already a batch of chains

    return compiled(run, (None, 0, 0, None, None))
