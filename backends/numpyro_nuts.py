"""NumPyro's NUTS, through `numpyro.infer.MCMC` with vectorised chains."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np

from invmass.backends.backend import Backend, Draws, Tuned
from invmass.cases.case import Case
from invmass.geometry import families
from invmass.geometry.errors import UsageError
from invmass.geometry.estimators import WELFORD_DENSE, WELFORD_DIAGONAL, Estimator
from invmass.geometry.families import Array, Family
from invmass.geometry.posterior import Site
from invmass.geometry.transforms import LibraryTransform, Transforms


@final
class NumPyroNUTS(Backend):
    """NumPyro's own model language, bijectors and warm-up; each chain adapts alone."""

    name = "numpyro"
    requires = ("numpyro",)
    extra = "numpyro"
    estimators: ClassVar[Mapping[str, Estimator]] = {
        "diagonal": WELFORD_DIAGONAL,
        "dense": WELFORD_DENSE,
    }

    def transforms(self, case: Case) -> Transforms:
        from numpyro.distributions import biject_to

        def transform(site: Site) -> LibraryTransform:
            bijector = biject_to(_prior(site).support)
            return LibraryTransform(bijector, bijector.inv)

        return {name: transform(site) for name, site in case.sites.items()}

    def log_density(self, case: Case) -> Callable[[Array], Array]:
        from numpyro.infer.util import potential_energy

        model, posterior = _model(case), case.posterior
        return lambda z: -potential_energy(model, (), {}, posterior.unflatten(z))

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
        program = _warm_up_program(case, dense, adapt, num_warmup)
        state, fields = jax.tree.map(np.asarray, program(keys, jnp.asarray(starts), initial))
        order = _to_declared(case)
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
        to_sorted = np.argsort(_to_declared(case))
        position, fields = _sample_program(case, dense, num_samples)(
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
def _warm_up_program(case: Case, dense: bool, adapt: bool, num_warmup: int) -> Any:
    from numpyro.infer import MCMC, NUTS

    sites = tuple(sorted(case.sites))
    to_sorted = np.argsort(_to_declared(case))

    def run(keys: Array, starts: Array, supplied: Array | None) -> Any:
        if supplied is not None:
            supplied = {sites: _reordered(supplied[None], to_sorted)[0]}
        kernel = NUTS(
            _model(case),
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
            init_params=jax.vmap(case.posterior.unflatten)(starts),
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
def _sample_program(case: Case, dense: bool, num_samples: int) -> Any:
    from numpyro.infer import MCMC, NUTS

    sites = tuple(sorted(case.sites))

    def one(key: Array, start: Array, inverse_mass_matrix: Array, step_size: Array) -> Any:
        kernel = NUTS(
            _model(case),
            dense_mass=dense,
            step_size=step_size,
            inverse_mass_matrix={sites: inverse_mass_matrix},
            adapt_step_size=False,
            adapt_mass_matrix=False,
        )
        mcmc = MCMC(kernel, num_warmup=0, num_samples=num_samples, progress_bar=False)
        unconstrained = tuple(f"z.{name}" for name in sites)
        mcmc.run(
            key,
            init_params=case.posterior.unflatten(start),
            extra_fields=(*_FIELDS, *unconstrained),
        )
        fields = mcmc.get_extra_fields()
        z = {name: fields.pop(f"z.{name}") for name in sites}
        return jax.vmap(case.posterior.flatten)(z), fields

    return jax.jit(jax.vmap(one))


def _model(case: Case) -> Callable[[], None]:
    """The case as a NumPyro model."""
    import numpyro

    def model() -> None:
        x = {name: numpyro.sample(name, _prior(site)) for name, site in case.sites.items()}
        for name, observation in case.observations.items():
            numpyro.sample(name, _lower(observation.distribution(x)), obs=observation.values)

    return model


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
            return dist.Multinomial(int(total), probs=probabilities)
        case families.Uniform(low, high):
            return dist.Uniform(low, high)
        case families.HalfNormal(scale):
            return dist.HalfNormal(scale)
        case families.Dirichlet(concentration):
            return dist.Dirichlet(concentration)
    raise UsageError(f"numpyro: no distribution is known for the family {type(family).__name__}")


def _to_declared(case: Case) -> np.ndarray:
    """Indices that bring NumPyro's coordinates (sorted by site) into declared order."""
    slices = case.posterior.slices
    in_sorted = np.concatenate([np.r_[slices[name]] for name in sorted(case.sites)])
    return np.argsort(in_sorted)


def _reordered(metrics: Array, order: np.ndarray) -> Array:
    """Metrics of shape (R, d) or (R, d, d) with their coordinates in another order."""
    return metrics[:, order] if metrics.ndim == 2 else metrics[:, order][:, :, order]
