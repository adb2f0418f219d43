"""NumPyro's NUTS, through `numpyro.infer.MCMC` with vectorised chains."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np

from invmass.backends.backend import Backend, Draws, Lack, Tuned
from invmass.cases.case import Case
from invmass.geometry import families
from invmass.geometry.errors import UsageError
from invmass.geometry.estimators import WELFORD_DENSE, WELFORD_DIAGONAL, Estimator
from invmass.geometry.families import Array, Family
from invmass.geometry.posterior import Posterior, Site
from invmass.geometry.transforms import LibraryTransform, Transforms


@final
class NumPyroNUTS(Backend):
    """NumPyro's own model language, bijectors and warm-up; each chain adapts alone."""

    name = "numpyro"
    requires = ("numpyro",)
    extra = "numpyro"
    target_acceptance = 0.8  # its default
    estimators: ClassVar[Mapping[str, Estimator]] = {
        "diagonal": WELFORD_DIAGONAL,
        "dense": WELFORD_DENSE,
    }
    lacks: ClassVar[Mapping[str, tuple[Lack, str]]] = {
        "fisher_diag": (Lack.NOT_YET, "NumPyro estimates by Welford alone")
    }

    def transforms(self, case: Case) -> Transforms:
        from numpyro.distributions import biject_to

        def transform(site: Site) -> LibraryTransform:
            bijector = biject_to(_prior(site).support)
            return LibraryTransform(bijector, bijector.inv)

        return {name: transform(site) for name, site in case.sites.items()}

    def log_density(self, case: Case) -> Callable[[Array], Array]:
        from numpyro.infer.util import potential_energy

        posterior = case.posterior
        return lambda z: -potential_energy(_model, (posterior,), {}, posterior.unflatten(z))

    def warm_up(
        self,
        case: Case,
        metric: str,
        keys: jax.Array,
        starts: np.ndarray,
        num_warmup: int,
        supplied: np.ndarray | None = None,
    ) -> Tuned:
        from numpyro.infer.hmc_util import build_adaptation_schedule

        dense, adapt = self.estimators[metric].dense, supplied is None
        initial = None if supplied is None else jnp.asarray(supplied)
        program = _warm_up_program(dense, adapt, num_warmup)
        state, fields = jax.tree.map(
            np.asarray, program(case.posterior.on_device(), keys, jnp.asarray(starts), initial)
        )
        order = _to_declared(case.posterior)
        slow_windows = build_adaptation_schedule(num_warmup)[1:-1]
        window = slow_windows[-1].end - slow_windows[-1].start + 1 if slow_windows else 0
        return Tuned(
            inverse_mass_matrix=_reordered(state["inverse_mass_matrix"], order),
            step_size=state["step_size"],
            position=state["position"][:, order],
            gradients=fields["num_steps"].sum(axis=1),
            acceptance=fields["accept_prob"].mean(axis=1),
            divergences=fields["diverging"].sum(axis=1),
            window=window if adapt else 0,
        )

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        dense = tuned.inverse_mass_matrix.ndim == 3
        to_sorted = np.argsort(_to_declared(case.posterior))
        position, fields = _sample_program(dense, num_samples)(
            case.posterior.on_device(),
            keys,
            jnp.asarray(tuned.position),
            jnp.asarray(_reordered(tuned.inverse_mass_matrix, to_sorted)),
            jnp.asarray(tuned.step_size),
        )
        return Draws(
            position=np.asarray(position),
            gradients=np.asarray(fields["num_steps"].sum(axis=1)),
            acceptance=np.asarray(fields["accept_prob"].mean(axis=1)),
            divergences=np.asarray(fields["diverging"].sum(axis=1)),
        )


_FIELDS = ("num_steps", "accept_prob", "diverging")


@cache
def _warm_up_program(dense: bool, adapt: bool, num_warmup: int) -> Any:
    from numpyro.infer import MCMC, NUTS

    def run(posterior: Posterior, keys: Array, starts: Array, supplied: Array | None) -> Any:
        sites = tuple(sorted(posterior.sites))
        to_sorted = np.argsort(_to_declared(posterior))
        if supplied is not None:
            supplied = {sites: _reordered(supplied[None], to_sorted)[0]}
        kernel = NUTS(
            _model,
            dense_mass=dense,
            adapt_mass_matrix=adapt,
            inverse_mass_matrix=supplied,
        )
        mcmc = MCMC(
            kernel,
            num_warmup=num_warmup,
            num_samples=1,
            num_chains=len(starts),
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.warmup(
            keys,
            posterior,
            init_params=jax.vmap(posterior.unflatten)(starts),
            extra_fields=_FIELDS,
            collect_warmup=True,
        )
        adapted = mcmc.last_state.adapt_state
        position = jnp.concatenate(
            [mcmc.last_state.z[name].reshape(len(starts), -1) for name in sites], axis=1
        )
        state = {
            "inverse_mass_matrix": adapted.inverse_mass_matrix[sites],
            "step_size": adapted.step_size,
            "position": position,
        }
        return state, mcmc.get_extra_fields(group_by_chain=True)

    return jax.jit(run)


@cache
def _sample_program(dense: bool, num_samples: int) -> Any:
    from numpyro.infer import MCMC, NUTS

    def one(posterior: Posterior, key: Array, start: Array, metric: Array, step_size: Array) -> Any:
        sites = tuple(sorted(posterior.sites))
        kernel = NUTS(
            _model,
            dense_mass=dense,
            step_size=step_size,
            inverse_mass_matrix={sites: metric},
            adapt_step_size=False,
            adapt_mass_matrix=False,
        )
        mcmc = MCMC(kernel, num_warmup=0, num_samples=num_samples, progress_bar=False)
        unconstrained = tuple(f"z.{name}" for name in sites)
        mcmc.run(
            key,
            posterior,
            init_params=posterior.unflatten(start),
            extra_fields=(*_FIELDS, *unconstrained),
        )
        fields = mcmc.get_extra_fields()
        z = {name: fields.pop(f"z.{name}") for name in sites}
        return jax.vmap(posterior.flatten)(z), fields

    return jax.jit(jax.vmap(one, in_axes=(None, 0, 0, 0, 0)))


def _model(posterior: Posterior) -> None:
    """Any posterior as a NumPyro model."""
    import numpyro

    x = {name: numpyro.sample(name, _prior(site)) for name, site in posterior.sites.items()}
    for name, observation in posterior.observations.items():
        numpyro.sample(name, _lower(observation.distribution(x)), obs=observation.values)


def _prior(site: Site) -> Any:
    distribution = _lower(site.distribution)
    return distribution.expand(site.shape).to_event(len(site.shape))


def _lower(family: Family) -> Any:
    """The NumPyro distribution of a family."""
    import numpyro.distributions as dist

    match family:
        case families.Normal(loc, scale):
            return dist.Normal(loc, scale)
        case families.MultivariateNormal(loc, covariance):
            return dist.MultivariateNormal(loc, covariance_matrix=covariance)
        case families.Multinomial(total, probabilities):
            return dist.Multinomial(total, probs=probabilities)
        case families.Uniform(low, high):
            return dist.Uniform(low, high)
        case families.HalfNormal(scale):
            return dist.HalfNormal(scale)
        case families.Dirichlet(concentration):
            return dist.Dirichlet(concentration)
    raise UsageError(f"numpyro: no distribution is known for the family {type(family).__name__}")


def _to_declared(posterior: Posterior) -> np.ndarray:
    """Indices that bring NumPyro's coordinates (sorted by site) into declared order."""
    slices = posterior.slices
    in_sorted = np.concatenate([np.r_[slices[name]] for name in sorted(slices)])
    return np.argsort(in_sorted)


def _reordered(metrics: Array, order: np.ndarray) -> Array:
    """Metrics of shape (R, d) or (R, d, d) with their coordinates in another order."""
    return metrics[:, order] if metrics.ndim == 2 else metrics[:, order][:, :, order]
