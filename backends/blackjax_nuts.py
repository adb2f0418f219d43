"""BlackJAX's NUTS with its staged adaptation, and the suite's bijectors: BlackJAX has none."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np

from invmass.adaptation.estimators import (
    COVARIANCE_LOW_RANK,
    FISHER_DIAGONAL,
    FISHER_LOW_RANK,
    WELFORD_DENSE,
    WELFORD_DIAGONAL,
    Estimator,
)
from invmass.adaptation.windows import last_window, stan_schedule
from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.model.distributions import Array
from invmass.model.posterior import Posterior
from invmass.sampling.backend import Backend, Draws, Tuned, WarmUpRequest
from invmass.sampling.batching import replicated

_RECIPES = {
    "diagonal": "welford_diag",
    "fisher_diag": "fisher_diag",
    "fisher_low_rank": "fisher_low_rank",
    "cov_low_rank": "sample_cov_low_rank",
    "dense": "welford_dense",
}
_STATISTICS = ("num_integration_steps", "acceptance_rate", "is_divergent")


@final
class BlackJAXNUTS(Backend):
    """BlackJAX's NUTS, through `blackjax.staged_adaptation` and `blackjax.nuts`.

    Each replicate is one chain. A low-rank metric is returned as its full (d, d) matrix, and
    draws use that matrix. The distribution of the momenta, the kinetic energy and the U-turn
    criterion are unchanged, so the chain has the same distribution, but a step costs O(d²) instead
    of O(d · rank).
    """

    name = "blackjax"
    requires = ("blackjax",)
    extra = "blackjax"
    target_acceptance = 0.8  # the library's default
    supports_fixed_metric = True
    supports_initial_metric = True
    estimators: ClassVar[Mapping[str, Estimator]] = {
        "fisher_diag": FISHER_DIAGONAL,
        "diagonal": WELFORD_DIAGONAL,  # listed last of the kinds that suit one coordinate
        "fisher_low_rank": FISHER_LOW_RANK,
        "cov_low_rank": COVARIANCE_LOW_RANK,
        "dense": WELFORD_DENSE,
    }

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        recipe, supplied = _RECIPES[request.metric], request.inverse_mass_matrix
        if supplied is not None and not request.adapt_metric:
            # a low-rank recipe ignores a supplied metric; these two return it unchanged if the
            # schedule has no windows
            recipe = "welford_diag" if supplied.ndim == 1 else "welford_dense"
        elif supplied is not None and recipe.endswith("low_rank"):
            raise UsageError(f"blackjax: {request.metric} cannot start from a supplied metric")
        program = _warm_up_program(recipe, request.num_warmup, request.adapt_metric)
        state, parameters, info = program(
            request.case.posterior.on_device(), request.keys, request.starts, supplied
        )
        schedule = stan_schedule(request.num_warmup)
        return Tuned(
            inverse_mass_matrix=np.asarray(parameters["inverse_mass_matrix"]),
            step_size=np.asarray(parameters["step_size"]),
            position=np.asarray(state.position),
            **_totals(info._asdict()),
            window=last_window(schedule) if request.adapt_metric else 0,
        )

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        positions, info = _sample_program(num_samples)(
            case.posterior.on_device(),
            keys,
            tuned.position,
            tuned.inverse_mass_matrix,
            tuned.step_size,
        )
        return Draws(position=np.asarray(positions), **_totals(info))


def _totals(info: dict[str, Array]) -> dict[str, np.ndarray]:
    """Reduce statistics of each step, shape (R, steps), to those of each replicate, shape (R,)."""
    return {
        "gradients": np.asarray(info["num_integration_steps"].sum(axis=1)),
        "acceptance": np.asarray(info["acceptance_rate"].mean(axis=1)),
        "divergences": np.asarray(info["is_divergent"].sum(axis=1)),
    }


def _all_fast(num_steps: int) -> Array:
    """A schedule that tunes only the step size: every step is a fast step."""
    return jnp.zeros((num_steps, 2), dtype=int)


@cache
def _warm_up_program(recipe: str, num_warmup: int, adapt_metric: bool) -> Any:
    import blackjax
    from blackjax.adaptation.base import get_filter_adapt_info_fn

    def run(posterior: Posterior, key: Array, start: Array, supplied: Array | None) -> Any:
        low_rank = recipe.endswith("low_rank")
        metric = _low_rank_core(recipe, num_warmup, len(start)) if low_rank else recipe
        warm_up = blackjax.staged_adaptation(
            blackjax.nuts,
            posterior.log_density,
            metric=metric,
            initial_inverse_mass_matrix=supplied,
            schedule_fn=None if adapt_metric else _all_fast,
            adaptation_info_fn=get_filter_adapt_info_fn(info_keys=set(_STATISTICS)),
        )
        (state, parameters), info = warm_up.run(key, start, num_warmup)
        if low_rank:
            parameters["inverse_mass_matrix"] = _matrix(*parameters["inverse_mass_matrix"])
        return state, parameters, info.info

    return replicated(run, (None, 0, 0, None))


def _low_rank_core(recipe: str, num_warmup: int, dimension: int) -> Any:
    """A low-rank recipe with a buffer for all draws of a window, and at most d eigenvectors.

    BlackJAX's defaults for both are unsuitable; see docs/findings.md.
    """
    from blackjax.adaptation.metric_recipes import lookup_recipe

    found = lookup_recipe(recipe)
    largest_window = max(1, last_window(stan_schedule(num_warmup)))
    return replace(found, max_rank=min(found.max_rank, dimension)).build_core(
        buffer_size=largest_window
    )


def _matrix(sigma: Array, vectors: Array, values: Array) -> Array:
    """The low-rank metric `D (I + U (Λ - I) Uᵀ) D` as a full, exactly symmetric matrix, (d, d)."""
    scaled = sigma[:, None] * vectors
    return jnp.diag(sigma**2) + (scaled * (values - 1.0)) @ scaled.T


@cache
def _sample_program(num_samples: int) -> Any:
    import blackjax

    def select(info: Any) -> dict[str, Array]:
        return {name: getattr(info, name) for name in _STATISTICS}

    def run(posterior: Posterior, key: Array, start: Array, metric: Array, step_size: Array) -> Any:
        nuts = blackjax.nuts(posterior.log_density, step_size, metric)

        def step(state: Any, key: Array) -> Any:
            state, info = nuts.step(key, state)
            return state, (state.position, select(info))

        return jax.lax.scan(step, nuts.init(start), jax.random.split(key, num_samples))[1]

    return replicated(run, (None, 0, 0, 0, 0))
