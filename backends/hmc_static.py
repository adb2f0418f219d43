"""The suite's own sampler: static HMC with jittered path length and Stan's warm-up windows."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, final

import jax
import numpy as np

from invmass.adaptation.estimators import WELFORD_DENSE, WELFORD_DIAGONAL, Estimator
from invmass.adaptation.windows import Schedule, last_window, stan_schedule, without_windows
from invmass.model.case import Case
from invmass.model.distributions import Array
from invmass.model.posterior import Posterior
from invmass.sampling.backend import Backend, Draws, Tuned, Unsupported, WarmUpRequest
from invmass.sampling.batching import replicated

from .hmc.metric import MIN_DRAWS_PER_DIM, make_metric, stan_shrinkage
from .hmc.sampler import TARGET_ACCEPTANCE, WarmedUp, draw, warm_up


@final
class HandRolledHMC(Backend):
    """The HMC implementation in `backends/hmc/`, with Stan's bijectors.

    It calls `hmc.sampler.warm_up` and `hmc.sampler.draw` with one chain for each replicate. The
    metric is estimated by `hmc.metric.stan_shrinkage`.
    """

    name = "hmc"
    requires = ("jax",)
    target_acceptance = TARGET_ACCEPTANCE
    has_accept_reject = True
    supports_fixed_metric = True
    supports_initial_metric = True
    estimators: ClassVar[Mapping[str, Estimator]] = {
        "diagonal": WELFORD_DIAGONAL,
        "dense": replace(WELFORD_DENSE, min_draws_per_dim=MIN_DRAWS_PER_DIM),
    }
    unsupported: ClassVar[Mapping[str, tuple[Unsupported, str]]] = dict.fromkeys(
        ("fisher_diag", "fisher_low_rank"),
        (Unsupported.NOT_IMPLEMENTED, "our sampler keeps no gradients of its draws"),
    )

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        schedule = stan_schedule(request.num_warmup)
        if not request.adapt_metric:
            schedule = without_windows(schedule)
        end = _warm_up_program()(
            request.case.posterior.on_device(),
            request.keys,
            request.starts,
            request.initial_metric(self.estimators[request.metric].dense),
            schedule,
        )
        return tuned_from(end, last_window(schedule))

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        return sample_by_chain(case, tuned, keys, num_samples)


def tuned_from(end: WarmedUp, window: int) -> Tuned:
    """Convert the warm-up of R replicates of C chains to the contract's arrays.

    Args:
        end: the result of warm-up, each field with a leading axis of R replicates. The position of
            a replicate is that of its first chain; statistics are over all C chains.
        window: number of draws from which the metric was estimated.
    """
    return Tuned(
        inverse_mass_matrix=np.asarray(end.metric.inverse_mass_matrix),
        step_size=np.asarray(end.step_size),
        position=np.asarray(end.state.position[:, 0]),
        gradients=np.asarray(end.transitions.gradients.sum(axis=(1, 2))),
        acceptance=np.asarray(end.transitions.acceptance.mean(axis=(1, 2))),
        divergences=np.asarray(end.transitions.divergent.sum(axis=(1, 2))),
        window=window,
    )


def sample_by_chain(case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
    """Draw one chain for each replicate, with the metric and step size of that replicate.

    Args:
        case: the problem.
        tuned: R tuned replicates.
        keys: JAX random keys, shape (R,).
        num_samples: number of draws of each chain.
    """
    positions, info = _sample_program(num_samples)(
        case.posterior.on_device(),
        keys,
        tuned.position,
        tuned.inverse_mass_matrix,
        tuned.step_size,
    )
    return Draws(
        position=np.asarray(positions[:, :, 0]),
        gradients=np.asarray(info.gradients.sum(axis=(1, 2))),
        acceptance=np.asarray(info.acceptance.mean(axis=(1, 2))),
        divergences=np.asarray(info.divergent.sum(axis=(1, 2))),
    )


@cache
def _warm_up_program() -> Any:
    def one(
        posterior: Posterior, key: Array, start: Array, initial: Array, schedule: Schedule
    ) -> Any:
        value_and_gradient = jax.value_and_grad(posterior.log_density)
        metric = make_metric(initial)
        return warm_up(value_and_gradient, key, start[None], metric, schedule, stan_shrinkage)

    return replicated(one, (None, 0, 0, None, None))


@cache
def _sample_program(num_samples: int) -> Any:
    def one(posterior: Posterior, key: Array, start: Array, metric: Array, step_size: Array) -> Any:
        value_and_gradient = jax.value_and_grad(posterior.log_density)
        metric = make_metric(metric)
        return draw(value_and_gradient, key, start[None], metric, step_size, num_samples)

    return replicated(one, (None, 0, 0, 0, 0))
