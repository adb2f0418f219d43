"""TensorFlow Probability's NUTS on JAX.

The diagonal metric is tuned by `windowed_adaptive_nuts`. The library has no warm-up for a dense
metric, so it is composed here from parts of the library: `PreconditionedNoUTurnSampler` under
`DualAveragingStepSizeAdaptation`, momenta from `MultivariateNormalPrecisionFactorLinearOperator`,
and a `RunningCovariance` that is reset in each of Stan's windows.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np

from invmass.adaptation.estimators import BIASED_VARIANCE, RUNNING_COVARIANCE, Estimator
from invmass.adaptation.windows import Schedule, last_window, stan_schedule, without_windows
from invmass.errors import UsageError
from invmass.model import distributions as families
from invmass.model.bijectors import LibraryTransform, Transforms
from invmass.model.case import Case
from invmass.model.distributions import Array, Distribution
from invmass.model.posterior import Posterior, Site, Sites
from invmass.sampling.backend import Backend, Draws, Tuned, WarmUpRequest
from invmass.sampling.batching import replicated

from .hmc.metric import MIN_DRAWS_PER_DIM, variances_of_few

Density = Callable[[Array], Array]  # the log density of a position, shape (d,)

_TARGET_ACCEPTANCE = 0.85  # the default of windowed_adaptive_nuts


@final
class TFPNUTS(Backend):
    """TFP's NUTS, through `windowed_adaptive_nuts` and `PreconditionedNoUTurnSampler`.

    Densities and bijectors are those of a `JointDistributionCoroutineAutoBatched`. Each replicate
    is one chain that adapts by itself. A dense or supplied metric uses the composed warm-up that
    the module describes.
    """

    name = "tfp"
    requires = ("tfp-nightly",)
    extra = "tfp"
    target_acceptance = _TARGET_ACCEPTANCE
    supports_fixed_metric = True
    supports_initial_metric = True
    estimators: ClassVar[Mapping[str, Estimator]] = {
        "diagonal": BIASED_VARIANCE,
        "dense": dataclasses.replace(RUNNING_COVARIANCE, min_draws_per_dim=MIN_DRAWS_PER_DIM),
    }

    def transforms(self, case: Case) -> Transforms:
        def transform(site: Site) -> LibraryTransform:
            bijector = _prior(site, case.truth).experimental_default_event_space_bijector()
            return LibraryTransform(bijector.forward, bijector.inverse, site.prior.support)

        return {name: transform(site) for name, site in case.sites.items()}

    def log_density(self, case: Case) -> Callable[[Array], Array]:
        return _log_density(case.posterior)

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        posterior, dense = request.case.posterior, self.estimators[request.metric].dense
        if request.inverse_mass_matrix is None and not dense:
            tuned = _windowed_program(request.num_warmup)(
                posterior.on_device(), request.keys, request.starts
            )
            return Tuned(**jax.tree.map(np.asarray, tuned), window=8 * (request.num_warmup // 20))
        schedule = stan_schedule(request.num_warmup)
        if not request.adapt_metric:
            schedule = without_windows(schedule)
        tuned = _composed_program()(
            posterior.on_device(),
            request.keys,
            request.starts,
            request.initial_metric(dense),
            schedule,
        )
        return Tuned(**jax.tree.map(np.asarray, tuned), window=last_window(schedule))

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        program = _sample_program(num_samples)
        draws = program(
            case.posterior.on_device(),
            keys,
            tuned.position,
            tuned.inverse_mass_matrix,
            tuned.step_size,
        )
        return Draws(**jax.tree.map(np.asarray, draws))


def _log_density(posterior: Posterior) -> Callable[[Array], Array]:
    """The log density of z, shape (d,), as `windowed_adaptive_nuts` derives it from the model."""
    pinned = _pinned(posterior)
    bijector = pinned.experimental_default_event_space_bijector()
    structure = type(pinned.event_shape)
    log_prob = pinned.unnormalized_log_prob if posterior.observations else pinned.log_prob

    def log_density(z: Array) -> Array:
        parts = structure(**posterior.unflatten(z))
        event_ndims = structure(**{k: jnp.ndim(v) for k, v in parts._asdict().items()})
        log_det = bijector.forward_log_det_jacobian(parts, event_ndims)
        return log_prob(bijector.forward(parts)) + log_det

    return log_density


@cache
def _windowed_program(num_warmup: int) -> Any:
    import tensorflow_probability.substrates.jax as tfp

    def run(posterior: Posterior, key: Array, start: Array) -> dict[str, Array]:
        pinned = _pinned(posterior)
        bijector = pinned.experimental_default_event_space_bijector()
        structure = type(pinned.event_shape)
        states, statistics = tfp.experimental.mcmc.windowed_adaptive_nuts(
            1,
            _joint(posterior),
            n_chains=[],
            num_adaptation_steps=num_warmup,
            current_state=bijector.forward(structure(**posterior.unflatten(start))),
            discard_tuning=False,
            seed=key,
            **_data(posterior),
        )
        z = bijector.inverse(structure(*(value[-1] for value in states)))
        # `variance_scaling` is the variance of the momentum: M, not M⁻¹
        mass = [jnp.ravel(part[-1]) for part in jax.tree.leaves(statistics["variance_scaling"])]
        return {
            "inverse_mass_matrix": 1.0 / jnp.concatenate(mass),
            "step_size": statistics["step_size"][-1],
            "position": posterior.flatten(z._asdict()),
            "gradients": jnp.sum(statistics["n_steps"]),
            "acceptance": jnp.mean(statistics["accept_ratio"]),
            "divergences": jnp.sum(statistics["diverging"]),
        }

    return replicated(run, (None, 0, 0))


@cache
def _composed_program() -> Any:
    import tensorflow_probability.substrates.jax as tfp

    def run(
        posterior: Posterior, key: Array, start: Array, initial: Array, schedule: Schedule
    ) -> dict[str, Array]:
        log_density, num_warmup = _log_density(posterior), len(schedule.collects)
        no_draws = tfp.experimental.stats.RunningCovariance.from_shape(
            start.shape, dtype=start.dtype, event_ndims=1
        )
        step = _adaptation_step(log_density, num_warmup, no_draws, jnp.ones((), start.dtype))
        half = 0.5 * jnp.ones((), start.dtype)
        results = _bootstrap(_adapting(log_density, num_warmup, initial, half), start)
        keys = jax.random.split(key, num_warmup)
        (z, results, inverse_mass_matrix, _), statistics = jax.lax.scan(
            step, (start, results, initial, no_draws), (keys, *schedule)
        )
        return {
            "inverse_mass_matrix": inverse_mass_matrix,
            "step_size": jnp.exp(results.log_averaging_step[0]),
            "position": z,
            **_totals(statistics),
        }

    return replicated(run, (None, 0, 0, None, None))


def _adaptation_step(log_density: Density, num_warmup: int, no_draws: Any, unit: Array) -> Any:
    """The step function of the composed warm-up, for `jax.lax.scan`.

    Args:
        log_density: log density at one position, shape (d,).
        num_warmup: number of warm-up steps.
        no_draws: a running covariance without draws.
        unit: 1 in the precision of the positions.
    """

    def step(carry: Any, inputs: Any) -> Any:
        z, results, inverse_mass_matrix, covariance = carry
        key, collects, ends_window = inputs
        # a scan cannot carry a TFP distribution, so it is rebuilt from M⁻¹ in each step
        momentum = _momentum(log_density, z, inverse_mass_matrix, unit)
        results = _with_inner(results, momentum_distribution=momentum)
        kernel = _adapting(log_density, num_warmup, inverse_mass_matrix, unit)
        z, results = kernel.one_step(z, results, seed=key)
        nuts = results.inner_results
        covariance = _where(collects, covariance.update(z), covariance)

        estimate = covariance.covariance(ddof=1)
        estimate = variances_of_few(estimate, covariance.num_samples)
        estimate = estimate if inverse_mass_matrix.ndim == 2 else jnp.diagonal(estimate)
        step_size = jnp.exp(results.log_averaging_step[0])
        restarted = _with_inner(
            _bootstrap(_adapting(log_density, num_warmup, estimate, step_size), z),
            target_log_prob=nuts.target_log_prob,
            grads_target_log_prob=nuts.grads_target_log_prob,
        )
        after_window = (restarted, estimate, no_draws)
        unchanged = (
            _with_inner(results, momentum_distribution=None), inverse_mass_matrix, covariance
        )  # fmt: skip
        return (z, *_where(ends_window, after_window, unchanged)), _statistics(nuts)

    return step


def _adapting(
    log_density: Density, num_warmup: int, inverse_mass_matrix: Array, step_size: Array
) -> Any:
    """NUTS with a fixed metric and a step size that is tuned by dual averaging."""
    import tensorflow_probability.substrates.jax as tfp

    return tfp.mcmc.DualAveragingStepSizeAdaptation(
        _nuts(log_density, step_size, inverse_mass_matrix),
        num_adaptation_steps=num_warmup,
        target_accept_prob=_TARGET_ACCEPTANCE,
    )


def _momentum(log_density: Density, z: Array, inverse_mass_matrix: Array, step_size: Array) -> Any:
    """The momentum distribution, from a kernel without step-size adaptation.

    The adaptation copies the kernel that it wraps, and the copy loses its momentum distribution
    (docs/findings.md).
    """
    bare = _nuts(log_density, step_size, inverse_mass_matrix)
    return bare.bootstrap_results(z).momentum_distribution


def _bootstrap(kernel: Any, z: Array) -> Any:
    """Initial results of a kernel, without the momentum distribution, which a scan cannot carry."""
    return _with_inner(kernel.bootstrap_results(z), momentum_distribution=None)


def _with_inner(results: Any, **fields: Any) -> Any:
    """Results of an adaptation with these fields of the inner kernel's results replaced."""
    return results._replace(inner_results=results.inner_results._replace(**fields))


@cache
def _sample_program(num_samples: int) -> Any:
    def run(
        posterior: Posterior, key: Array, start: Array, metric: Array, step_size: Array
    ) -> dict[str, Array]:
        kernel = _nuts(_log_density(posterior), step_size, metric)

        def step(carry: Any, key: Array) -> Any:
            z, results = kernel.one_step(*carry, seed=key)
            return (z, results), (z, _statistics(results))

        carry = (start, kernel.bootstrap_results(start))
        positions, statistics = jax.lax.scan(step, carry, jax.random.split(key, num_samples))[1]
        return {"position": positions, **_totals(statistics)}

    return replicated(run, (None, 0, 0, 0, 0))


def _nuts(log_density: Callable[[Array], Array], step_size: Array, metric: Array) -> Any:
    """TFP's NUTS with momenta from N(0, M), given M⁻¹ of shape (d,) or (d, d)."""
    import tensorflow_probability.substrates.jax as tfp

    operators = tfp.tf2jax.linalg
    if metric.ndim == 1:
        factor = operators.LinearOperatorDiag(jnp.sqrt(metric))
    else:
        factor = operators.LinearOperatorLowerTriangular(jnp.linalg.cholesky(metric))
    return tfp.experimental.mcmc.PreconditionedNoUTurnSampler(
        log_density,
        step_size=step_size,
        momentum_distribution=(
            tfp.experimental.distributions.MultivariateNormalPrecisionFactorLinearOperator(
                precision_factor=factor
            )
        ),
    )


def _where(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _statistics(nuts: Any) -> dict[str, Array]:
    return {
        "gradients": nuts.leapfrogs_taken,
        "acceptance": jnp.exp(jnp.minimum(nuts.log_accept_ratio, 0.0)),
        "divergences": nuts.has_divergence,
    }


def _totals(statistics: dict[str, Array]) -> dict[str, Array]:
    return {
        name: (jnp.mean if name == "acceptance" else jnp.sum)(values)
        for name, values in statistics.items()
    }


def _joint(posterior: Posterior) -> Any:
    """The posterior as a TFP joint distribution: the sites in declared order, then the data."""
    import tensorflow_probability.substrates.jax as tfp

    tfd = tfp.distributions
    root = tfd.JointDistributionCoroutineAutoBatched.Root

    @tfd.JointDistributionCoroutineAutoBatched
    def joint() -> Any:
        x: dict[str, Array] = {}
        for name, site in posterior.sites.items():
            prior = _prior(site, x, name)
            depends = isinstance(site.prior, families.ConditionalPrior)
            x[name] = yield prior if depends else root(prior)
        for name, observation in posterior.observations.items():
            distribution = _lower(observation.distribution(x).broadcast(observation.values))
            yield distribution.copy(name=name)

    return joint


def _pinned(posterior: Posterior) -> Any:
    """The joint distribution given the data, if there are any."""
    joint, data = _joint(posterior), _data(posterior)
    return joint.experimental_pin(**data) if data else joint


def _data(posterior: Posterior) -> dict[str, Array]:
    return {name: jnp.asarray(o.values, dtype=float) for name, o in posterior.observations.items()}


def _prior(site: Site, x: Sites, name: str | None = None) -> Any:
    import tensorflow_probability.substrates.jax as tfp

    base = _lower(site.distribution(x))
    if not site.shape:
        return base.copy(name=name) if name else base
    return tfp.distributions.Sample(base, site.shape, name=name)


_SAME_NAME = (  # TFP has the same name and the same parameters in the same order
    families.Normal, families.Uniform, families.HalfNormal, families.Dirichlet, families.Beta,
    families.Exponential, families.Gamma, families.InverseGamma, families.LogNormal,
    families.StudentT, families.TruncatedNormal, families.Bernoulli, families.Poisson,
)  # fmt: skip


def _lower(family: Distribution) -> Any:
    """The TFP distribution that corresponds to a family."""
    import tensorflow_probability.substrates.jax as tfp

    tfd, tfb = tfp.distributions, tfp.bijectors
    number = partial(jnp.asarray, dtype=float)

    match family:
        case families.MultivariateNormal(loc, covariance):
            return tfd.MultivariateNormalTriL(number(loc), jnp.linalg.cholesky(number(covariance)))
        case families.Multinomial(total, probabilities):
            return tfd.Multinomial(number(total), probs=number(probabilities))
        case families.HalfCauchy(scale):
            return tfd.HalfCauchy(number(0.0), number(scale))
        case families.OrderedNormal(loc, scale):
            first_and_gaps = tfb.Blockwise([tfb.Identity(), tfb.Exp()], [1, jnp.size(loc) - 1])
            return tfd.TransformedDistribution(
                tfd.MultivariateNormalDiag(number(loc), number(scale)),
                tfb.Chain([tfb.Cumsum(), first_and_gaps]),
            )
        case families.LKJ(dimension, concentration):
            return tfd.LKJ(dimension, number(concentration))
    if isinstance(family, _SAME_NAME):
        return getattr(tfd, type(family).__name__)(*map(number, family.parameters))
    raise UsageError(f"tfp: no distribution is known for the family {type(family).__name__}")
