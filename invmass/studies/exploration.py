"""Effective sample size of static HMC on a grid of step sizes, numbers of steps and metrics.

This is the exercise of the lecture, with its plot of trajectories. All trajectories have the same
number of steps. One that lasts a whole period of the oscillation ends where it started, so that its
effective sample size is close to zero.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.model.distributions import Array
from invmass.runs.environment import provenance
from invmass.runs.experiment import Settings
from invmass.sampling.own_hmc import own_hmc
from invmass.sampling.registry import load_backend
from invmass.studies.effective_sample_size import ess_summary

STEP_SIZES = (
    0.05,
    0.1,
    0.2,
    0.4,
    0.8,
    1.2,
    1.6,
    1.9,
    2.2,
)  # leapfrog is unstable on a Gaussian from 2 on
STEPS = (1, 2, 4, 8, 16, 32, 64)
METRICS = ("identity", "diagonal", "dense")
CHAINS, DRAWS = 64, 500
PATHS, PATH_STEPS, PATH_STEP_SIZE = 12, 10, 0.3  # about half a period if whitened
# Density plot: half-width in standard deviations, and points along each axis.
REACH, GRID = 3.5, 41


def explore(
    case: Case,
    settings: Settings,
    step_sizes: Sequence[float] = STEP_SIZES,
    steps: Sequence[int] = STEPS,
) -> Iterator[dict[str, Any]]:
    """Yield a row of kind "setting" for each metric, number of steps and step size.

    M⁻¹ is the identity, the diagonal of Cov(z), or Cov(z). In two dimensions there is also a row of
    kind "trajectories" for each.

    Args:
        case: the posterior.
        settings: only the seed is used.
        step_sizes: relative to the smallest standard deviation of z whitened by the metric.
        steps: numbers of leapfrog steps.

    Raises:
        UsageError: a variance is infinite, so that there is no scale for the step size.
    """
    truth = case.truth_in_own_space
    covariance = truth.moments.covariance
    if not np.all(np.isfinite(covariance)):
        raise UsageError(f"{case.name} has an infinite variance: no step size fits it")
    starts = jnp.asarray(truth.starts(settings.seed, CHAINS), jnp.result_type(float))
    provenance_columns = {
        "case": case.name,
        "case_version": case.version,
        "backend": "hmc",
        "seed": settings.seed,
        **provenance(load_backend("hmc")),
    }
    for name in METRICS:
        inverse = _inverse_mass_matrix(name, covariance)
        shortest = _shortest_scale(covariance, inverse)
        if case.dimension == 2:
            yield {
                "metric": name,
                **provenance_columns,
                **_trajectories(case, settings, inverse, shortest),
            }
        for count in steps:
            sizes = jnp.asarray(np.multiply(step_sizes, shortest), starts.dtype)
            key = jax.random.fold_in(jax.random.key(settings.seed), count)
            positions, accepted, divergent = jax.tree.map(
                np.asarray,
                _program(case.posterior.on_device(), key, starts, inverse, sizes, count),
            )
            for i, relative in enumerate(step_sizes):
                yield {
                    "kind": "setting",
                    "metric": name,
                    **provenance_columns,
                    "step_size": float(sizes[i]),
                    "relative_step_size": relative,
                    "steps": count,
                    "acceptance": float(accepted[i].mean()),
                    "divergences": float(divergent[i].mean()),
                    **ess_summary(positions[i], truth.moments.mean, CHAINS * DRAWS * count),
                }


def _trajectories(
    case: Case, settings: Settings, inverse: np.ndarray, shortest: float
) -> dict[str, Any]:
    """Trajectories in z, shape (n, L + 1, 2), their energy errors, and the log density on a grid.

    "log_density" is evaluated on the grid spanned by "axes", the first coordinate along rows, and
    its largest value is subtracted.
    """
    moments = case.truth_in_own_space.moments
    log_density = case.posterior.on_device().log_density
    run = own_hmc().sample(
        log_density,
        jax.random.key(settings.seed),
        jnp.asarray(case.truth_in_own_space.starts(settings.seed, 1)[0]),
        num_samples=PATHS,
        num_steps=PATH_STEPS,
        step_size=PATH_STEP_SIZE * shortest,
        inverse_mass_matrix=jnp.asarray(inverse),
    )
    half = REACH * np.sqrt(np.diag(moments.covariance))
    axes = np.linspace(moments.mean - half, moments.mean + half, GRID).T
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    density = np.asarray(jax.jit(jnp.vectorize(log_density, signature="(d)->()"))(grid))
    return {
        "kind": "trajectories",
        "step_size": PATH_STEP_SIZE * shortest,
        "relative_step_size": PATH_STEP_SIZE,
        "steps": PATH_STEPS,
        "acceptance": float(run.acceptance_rate),
        "coordinates": list(case.posterior.coordinates),
        "paths": _short(run.trajectories),
        "energy_errors": _short(run.energy_errors),
        "axes": _short(axes),
        "log_density": _short(density - density.max()),
    }


def _short(values: Any) -> list[Any]:
    """The values as lists, rounded to six significant digits."""
    return np.vectorize(lambda value: float(f"{value:.6g}"))(values).tolist()


def _inverse_mass_matrix(name: str, covariance: np.ndarray) -> np.ndarray:
    """M⁻¹ by name, shape (d,), or (d, d) if dense."""
    variances = np.diag(covariance)
    return {"identity": np.ones_like(variances), "diagonal": variances, "dense": covariance}[name]


def _shortest_scale(covariance: np.ndarray, inverse: np.ndarray) -> float:
    """Root of the smallest eigenvalue of the covariance after whitening by M⁻¹."""
    full = np.diag(inverse) if inverse.ndim == 1 else inverse
    factor = np.linalg.inv(np.linalg.cholesky(full))
    return float(np.sqrt(np.linalg.eigvalsh(factor @ covariance @ factor.T)[0]))


@jax.jit
def _program(
    posterior: Any, key: Array, starts: Array, inverse: Array, sizes: Array, steps: Array
) -> Any:
    """Positions, (sizes, chains, draws, d); acceptance and divergences, (sizes, draws, chains)."""
    hmc, value_and_gradient = own_hmc(), jax.value_and_grad(posterior.log_density)
    metric = hmc.make_metric(inverse.astype(starts.dtype))

    def sample_with(size: Array) -> Any:
        def step(states: Any, key: Array) -> Any:
            states, info = jax.vmap(
                lambda noise, state: hmc.transition(
                    value_and_gradient, noise, state, metric, size, steps
                )
            )(hmc.draw_noise(key, starts), states)
            return states, (states.position, info.acceptance, info.divergent)

        states = jax.vmap(partial(hmc.init, value_and_gradient))(starts)
        positions, *rest = jax.lax.scan(step, states, jax.random.split(key, DRAWS))[1]
        return jnp.swapaxes(positions, 0, 1), *rest

    return jax.lax.map(sample_with, sizes)
