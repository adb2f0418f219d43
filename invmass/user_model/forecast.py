"""Before any sampling: what Stan's regularisation will do to small scales, and what that costs."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invmass.adaptation.estimators import RUNNING_COVARIANCE, WELFORD_DENSE
from invmass.claims.regularisation_floor import HALF
from invmass.model.distributions import Array
from invmass.model.precision import float64
from invmass.user_model.metric_structure import MetricStructure
from invmass.user_model.numpyro_model import NumPyroModel
from invmass.whitening import whiten

CHAINS, WARM_UP, DRAWS = 32, 150, 100
REMEDY = (
    "rescale these parameters, so that their standard deviations in z are nearer to one, or tune "
    "with NUTS(…, regularize_mass_matrix=False): --no-regularise judges that"
)


@dataclass(frozen=True)
class Floor:
    """What Stan's regularisation makes of a metric with small scales.

    Attributes:
        floor: what the rule adds to each variance.
        ratios: predicted ratio of M⁻¹ to the inverse Fisher, for each coordinate below the floor:
            the draws contribute less than half of its variance in M⁻¹.
        gradients: predicted number of gradients a draw.
        gradients_without: the same without regularisation.
    """

    floor: float
    ratios: dict[str, float]
    gradients: float
    gradients_without: float

    def __str__(self) -> str:
        ratios = ", ".join(f"{name} {ratio:.3g}-fold" for name, ratio in self.ratios.items())
        return (
            f"below the regularisation floor of {self.floor:.3g}, so that M⁻¹ will exceed the "
            f"inverse Fisher: {ratios}; predicted gradients a draw: {self.gradients:.3g}, without "
            f"regularisation {self.gradients_without:.3g}. Remedy: {REMEDY}"
        )


def floor_of(model: NumPyroModel, metric: MetricStructure, window: int, seed: int) -> Floor | None:
    """What the floor will do to a metric; None if no coordinate is below it.

    The gradients are those of NumPyro's NUTS on the Gaussian whose covariance is the inverse
    Fisher, under the predicted metrics.

    Args:
        model: the model; it has a Fisher information.
        metric: the entries that are tuned.
        window: draws of the last window.
        seed: of every random number.
    """
    fisher = metric.restrict(model.inverse_fisher)
    below = WELFORD_DENSE.data_share(fisher, window) < HALF
    if not np.any(below):
        return None
    predicted = WELFORD_DENSE.regularised(fisher, window)
    ratios = np.diag(whiten(predicted[None], fisher)[0])
    posterior = _Gaussian(model, metric, seed)
    return Floor(
        WELFORD_DENSE.floor(window),
        {name: float(r) for name, r, b in zip(model.coordinates, ratios, below, strict=True) if b},
        posterior.gradients(metric.restrict(predicted)),
        posterior.gradients(RUNNING_COVARIANCE.regularised(fisher, window)),
    )


@dataclass(frozen=True)
class _Gaussian:
    """The Gaussian whose covariance is a model's inverse information, sampled by NumPyro's NUTS."""

    model: NumPyroModel
    metric: MetricStructure
    seed: int

    @cached_property
    def _factor(self) -> np.ndarray:
        return np.linalg.cholesky(self.model.inverse_fisher)

    def gradients(self, metric: np.ndarray) -> float:
        """Mean number for a draw under a metric, (d, d), with the step size tuned to it."""
        with float64():
            return float(self._run(jnp.asarray(metric)))

    @cached_property
    def _run(self) -> Any:
        from numpyro.infer import MCMC, NUTS

        layout = self.model.layout
        white = jnp.asarray(np.linalg.inv(self._factor))
        starts = self._factor @ np.random.default_rng(self.seed).normal(
            size=(layout.dimension, CHAINS)
        )

        def potential(z: dict[str, Array]) -> Array:
            return 0.5 * jnp.sum((white @ layout.flatten(z)) ** 2)

        def run(metric: Array) -> Array:
            kernel = NUTS(
                potential_fn=potential,
                inverse_mass_matrix=self.metric.dictionary(metric),
                dense_mass=self.metric.dense_mass,
                adapt_mass_matrix=False,
            )
            mcmc = MCMC(
                kernel,
                num_warmup=WARM_UP,
                num_samples=DRAWS,
                num_chains=CHAINS,
                chain_method="vectorized",
                progress_bar=False,
            )
            begin = jax.vmap(layout.unflatten)(jnp.asarray(starts.T))
            mcmc.run(jax.random.key(self.seed), init_params=begin, extra_fields=("num_steps",))
            return mcmc.get_extra_fields()["num_steps"].mean()

        return jax.jit(run)
