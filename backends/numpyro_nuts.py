"""NumPyro's NUTS, through `numpyro.infer.MCMC` with vectorised chains."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np

from invmass.adaptation.estimators import (
    RUNNING_COVARIANCE,
    RUNNING_VARIANCE,
    WELFORD_BLOCK,
    WELFORD_DENSE,
    WELFORD_DIAGONAL,
    Estimator,
    block_sites,
)
from invmass.errors import UsageError
from invmass.model import distributions as families
from invmass.model.bijectors import LibraryTransform, Transforms
from invmass.model.case import Case
from invmass.model.distributions import Array, Distribution
from invmass.model.posterior import Posterior, Site, Sites
from invmass.sampling.backend import Backend, Draws, Tuned, WarmUpRequest
from invmass.sampling.batching import compiled, replicated


@final
class NumPyroNUTS(Backend):
    """NumPyro's NUTS, through `numpyro.infer.MCMC` with `numpyro.infer.NUTS`.

    Models, densities and bijectors are NumPyro's own. The replicates are vectorised chains, each of
    which adapts by itself.
    """

    name = "numpyro"
    requires = ("numpyro",)
    extra = "numpyro"
    target_acceptance = 0.8  # the library's default
    supports_fixed_metric = True
    supports_initial_metric = True
    estimators: ClassVar[Mapping[str, Estimator]] = {
        "diagonal_unregularised": RUNNING_VARIANCE,
        "dense_unregularised": RUNNING_COVARIANCE,
        "diagonal": WELFORD_DIAGONAL,
        "block": WELFORD_BLOCK,
        "dense": WELFORD_DENSE,
    }
    unregularised: ClassVar[Mapping[str, str]] = {  # by `regularize_mass_matrix=False`
        "diagonal": "diagonal_unregularised",
        "dense": "dense_unregularised",
    }

    def transforms(self, case: Case) -> Transforms:
        from numpyro.distributions import biject_to

        def transform(site: Site) -> LibraryTransform:
            bijector = biject_to(_prior(site, case.truth).support)
            return LibraryTransform(bijector, bijector.inv, site.prior.support)

        return {name: transform(site) for name, site in case.sites.items()}

    def log_density(self, case: Case) -> Callable[[Array], Array]:
        from numpyro.infer.util import potential_energy

        posterior = case.posterior
        return lambda z: -potential_energy(_model, (posterior,), {}, posterior.unflatten(z))

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        from numpyro.infer.hmc_util import build_adaptation_schedule

        posterior, supplied = request.case.posterior, request.inverse_mass_matrix
        estimator = self.estimators[request.metric].for_layout(posterior.slices)
        if (
            supplied is not None
            and estimator.block
            and np.any(supplied != estimator.restrict(supplied))
        ):
            raise UsageError("numpyro: a supplied block metric must be zero outside its block")
        regularised_names = {bare: name for name, bare in self.unregularised.items()}
        program = _warm_up_program(
            regularised_names.get(request.metric, request.metric),
            request.metric not in regularised_names,
            request.adapt_metric,
            request.num_warmup,
        )
        state, fields = jax.tree.map(
            np.asarray, program(posterior.on_device(), request.keys, request.starts, supplied)
        )
        slow_windows = build_adaptation_schedule(request.num_warmup)[1:-1]
        window = slow_windows[-1].end - slow_windows[-1].start + 1 if slow_windows else 0
        return Tuned(**state, **_totals(fields), window=window if request.adapt_metric else 0)

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        # for sampling, a block metric is passed as a dense metric with zeros
        metric = "dense" if tuned.inverse_mass_matrix.ndim == 3 else "diagonal"
        position, fields = _sample_program(metric, num_samples)(
            case.posterior.on_device(),
            keys,
            tuned.position,
            tuned.inverse_mass_matrix,
            tuned.step_size,
        )
        return Draws(position=np.asarray(position), **_totals(fields))


_FIELDS = ("num_steps", "accept_prob", "diverging")


def _totals(fields: dict[str, Array]) -> dict[str, np.ndarray]:
    """Reduce statistics of each step, shape (R, steps), to those of each replicate, shape (R,)."""
    return {
        "gradients": np.asarray(fields["num_steps"].sum(axis=1)),
        "acceptance": np.asarray(fields["accept_prob"].mean(axis=1)),
        "divergences": np.asarray(fields["diverging"].sum(axis=1)),
    }


@cache
def _warm_up_program(metric: str, regularise: bool, adapt: bool, num_warmup: int) -> Any:
    from numpyro.infer import MCMC, NUTS

    def run(posterior: Posterior, keys: Array, starts: Array, supplied: Array | None) -> Any:
        kernel = NUTS(
            _model,
            dense_mass=_dense_mass(posterior, metric),
            adapt_mass_matrix=adapt,
            regularize_mass_matrix=regularise,
            inverse_mass_matrix=None if supplied is None else _split(supplied, posterior, metric),
        )
        mcmc = MCMC(
            kernel,
            num_warmup=num_warmup,
            num_samples=1,
            num_chains=len(starts),
            chain_method="vectorized",
            progress_bar=False,
        )
        keys_and_starts = keys, jax.vmap(posterior.unflatten)(starts)
        single = len(starts) == 1  # NumPyro has no axis of chains for a single chain
        key, start = jax.tree.map(lambda x: x[0], keys_and_starts) if single else keys_and_starts
        mcmc.warmup(key, posterior, init_params=start, extra_fields=_FIELDS, collect_warmup=True)
        last = mcmc.last_state
        end = last.z, last.adapt_state.inverse_mass_matrix, last.adapt_state.step_size
        z, matrices, step_size = jax.tree.map(lambda x: x[None], end) if single else end
        state = {
            "inverse_mass_matrix": _joined(matrices, posterior, metric),
            "step_size": step_size,
            "position": jax.vmap(posterior.flatten)(z),
        }
        return state, mcmc.get_extra_fields(group_by_chain=True)

    return compiled(run, (None, 0, 0, None))


@cache
def _sample_program(metric: str, num_samples: int) -> Any:
    from numpyro.infer import MCMC, NUTS

    def one(posterior: Posterior, key: Array, start: Array, tuned: Array, step_size: Array) -> Any:
        kernel = NUTS(
            _model,
            dense_mass=_dense_mass(posterior, metric),
            step_size=step_size,
            inverse_mass_matrix=_split(tuned, posterior, metric),
            adapt_step_size=False,
            adapt_mass_matrix=False,
        )
        mcmc = MCMC(kernel, num_warmup=0, num_samples=num_samples, progress_bar=False)
        unconstrained = tuple(f"z.{name}" for name in posterior.sites)
        mcmc.run(
            key,
            posterior,
            init_params=posterior.unflatten(start),
            extra_fields=(*_FIELDS, *unconstrained),
        )
        fields = mcmc.get_extra_fields()
        z = {name: fields.pop(f"z.{name}") for name in posterior.sites}
        return jax.vmap(posterior.flatten)(z), fields

    return replicated(one, (None, 0, 0, 0, 0))


def _model(posterior: Posterior) -> None:
    """The NumPyro model of a posterior."""
    import numpyro

    x: dict[str, Array] = {}
    for name, site in posterior.sites.items():
        x[name] = numpyro.sample(name, _prior(site, x))
    for name, observation in posterior.observations.items():
        numpyro.sample(name, _lower(observation.distribution(x)), obs=observation.values)


def _prior(site: Site, x: Sites) -> Any:
    distribution = _lower(site.distribution(x))
    return distribution.expand(site.shape).to_event(len(site.shape))


_SAME_NAME = (  # NumPyro has the same name and the same parameters in the same order
    families.Normal, families.Uniform, families.HalfNormal, families.Dirichlet, families.Beta,
    families.Exponential, families.Gamma, families.InverseGamma, families.HalfCauchy,
    families.LogNormal, families.StudentT, families.LKJ, families.Poisson,
)  # fmt: skip


def _lower(family: Distribution) -> Any:
    """The NumPyro distribution that corresponds to a family."""
    import numpyro.distributions as dist

    match family:
        case families.MultivariateNormal(loc, covariance):
            return dist.MultivariateNormal(loc, covariance_matrix=covariance)
        case families.Multinomial(total, probabilities):
            return dist.Multinomial(total, probs=probabilities)
        case families.TruncatedNormal(loc, scale, low, high):
            return dist.TruncatedNormal(loc, scale, low=low, high=high)
        case families.OrderedNormal(loc, scale):
            gaps = dist.transforms.OrderedTransform()
            return dist.TransformedDistribution(dist.Normal(loc, scale).to_event(1), gaps)
        case families.Bernoulli(logits):
            return dist.BernoulliLogits(logits)
    if isinstance(family, _SAME_NAME):
        return getattr(dist, type(family).__name__)(*family.parameters)
    raise UsageError(f"numpyro: no distribution is known for the family {type(family).__name__}")


def _dense_mass(posterior: Posterior, metric: str) -> bool | list[tuple[str, ...]]:
    """NumPyro's option `dense_mass` for a metric kind."""
    return [block_sites(posterior.sites)] if metric == "block" else metric == "dense"


def _split(matrix: Array, posterior: Posterior, metric: str) -> dict[tuple[str, ...], Array]:
    """Convert M⁻¹, (d,) or (d, d), to NumPyro's dictionary by tuples of jointly adapted sites."""
    if metric != "block":
        sites = tuple(sorted(posterior.sites))
        index = _coordinates(posterior, sites)
        return {sites: matrix[index] if matrix.ndim == 1 else matrix[np.ix_(index, index)]}
    sites = block_sites(posterior.sites)
    index = _coordinates(posterior, sites)
    found = {sites: matrix[np.ix_(index, index)]}
    if rest := tuple(sorted(set(posterior.sites) - set(sites))):
        found[rest] = jnp.diagonal(matrix)[_coordinates(posterior, rest)]
    return found


def _joined(parts: dict[tuple[str, ...], Array], posterior: Posterior, metric: str) -> Array:
    """The inverse of `_split`, for R replicates: (R, d) or (R, d, d)."""
    d, replicates = posterior.dimension, len(next(iter(parts.values())))
    joined = jnp.zeros((replicates, d) if metric == "diagonal" else (replicates, d, d))
    for sites, part in parts.items():
        index = _coordinates(posterior, sites)
        place: tuple[np.ndarray, ...] = (index,) if metric == "diagonal" else (index, index)
        if part.ndim == 3:
            place = np.ix_(index, index)
        joined = joined.at[:, *place].set(part)
    return joined


def _coordinates(posterior: Posterior, sites: tuple[str, ...]) -> np.ndarray:
    """Indices, in declared order, of the coordinates of these sites."""
    return np.concatenate([np.r_[posterior.slices[name]] for name in sites])
