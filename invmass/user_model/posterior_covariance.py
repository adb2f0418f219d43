"""The posterior's covariance in z by long runs, where no Fisher information serves as reference.

The draws are those of our own HMC, of 64 chains that are tuned together. The chains start where
warm-ups ended; those of a model with non-centred sites, which agree better, where NumPyro would
start them. The covariance is used only if R̂ says that the chains agree with each
other, and if NumPyro's NUTS finds the same covariance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from invmass.adaptation.windows import pooled_schedule
from invmass.model.derivatives import gradient
from invmass.model.distributions import Array
from invmass.model.precision import float64
from invmass.sampling.own_hmc import own_hmc
from invmass.studies.effective_sample_size import largest_rhat
from invmass.user_model.non_centred import non_centred
from invmass.user_model.numpyro_density import NumPyroDensity
from invmass.whitening import whiten_points

CHAINS = 64
WARM_UP = 500
DRAWS = (1000, 4000)  # of each chain; more if the error is not small yet
STEP_FRACTION = 0.5  # of the tuned step size: chains follow narrow parts, too
LARGEST_RHAT = 1.01  # Vehtari, Gelman, Simpson, Carpenter & Bürkner, Bayesian Analysis 16 (2021)
RHAT_TO_GIVE_UP = 1.1  # four times as many draws would not make it small
SMALL_ERROR = 0.25  # of the margin


@dataclass(frozen=True)
class PosteriorMoments:
    """Mean and covariance of z by long runs, and how well they are known.

    Attributes:
        mean: shape (d,).
        covariance: shape (d, d).
        error: of each entry of the covariance, whitened by itself: half the width of its
            confidence interval, or the distance to what the second sampler found, if that is more.
        rhat: the largest R̂ of all coordinates and of their squares.
        how: from which draws, in words.
        trouble: why these moments cannot be relied on; empty if they can.
    """

    mean: np.ndarray
    covariance: np.ndarray
    error: np.ndarray
    rhat: float
    how: str
    trouble: str

    @property
    def largest_error(self) -> float:
        """Largest relative error of the variance in any direction that `error` allows."""
        return float(np.linalg.norm(self.error, 2))


def posterior_moments(
    density: NumPyroDensity, starts: np.ndarray, seed: int, tolerance: float, false_alarm: float
) -> PosteriorMoments:
    """The moments by our own HMC, compared with those by NumPyro's NUTS.

    Args:
        density: the model.
        starts: of the chains, shape (CHAINS, d).
        seed: of every random number.
        tolerance: margin of the verdict for which the covariance is the reference; the samplers
            must agree within half of it.
        false_alarm: α of the confidence intervals.
    """
    parametrisations = [_Parametrisation("as stated", density, starts)]
    if other := non_centred(density):
        model, back = other
        anywhere = model.default_starts(np.random.default_rng(seed), CHAINS)
        parametrisations.insert(0, _Parametrisation("non-centred", model, anywhere, back))
    enough = SMALL_ERROR * tolerance
    runs: list[tuple[_Moments, _Parametrisation, int]] = []
    for chosen in parametrisations:
        if runs and runs[0][0].rhat <= LARGEST_RHAT:
            break
        for draws in DRAWS:
            points = chosen.mapped(_hmc(chosen, seed, draws))
            found = _moments(points, false_alarm)
            if found is None or found.rhat > RHAT_TO_GIVE_UP or found.error.max() <= enough:
                break
        if found is not None:
            runs.append((found, chosen, draws))
    if not runs:
        return unknown_moments(
            density.dimension, "long runs left the finite numbers: is the posterior proper?"
        )
    found, chosen, draws = min(runs, key=lambda run: run[0].rhat)
    distance, distance_error = _distance(chosen.mapped(_nuts(chosen, seed)), found, false_alarm)
    how = f"{CHAINS} chains of {draws} draws by our own HMC, {chosen.name}"
    error = np.maximum(found.error, np.abs(distance))
    return PosteriorMoments(
        found.mean, found.covariance, error, found.rhat, how,
        _trouble(found, distance, distance_error, tolerance, density.coordinates),
    )  # fmt: skip


def unknown_moments(dimension: int, trouble: str) -> PosteriorMoments:
    """Moments of which nothing is known.

    Args:
        dimension: d.
        trouble: why they are not known.
    """
    nowhere = np.full((dimension, dimension), np.nan)
    return PosteriorMoments(nowhere[0], nowhere, nowhere, np.nan, "no draws", trouble)


@dataclass(frozen=True)
class _Parametrisation:
    """A model as it was stated or non-centred, and where its chains start, (CHAINS, d)."""

    name: str
    density: NumPyroDensity
    starts: np.ndarray
    back: Callable[[Array], Array] | None = None  # to the z of the model as it was stated

    def mapped(self, points: np.ndarray) -> np.ndarray:
        """Draws, (C, n, d), in the z of the model as it was stated."""
        if self.back is None:
            return points
        with float64():
            flat = jnp.asarray(points.reshape(-1, points.shape[2]))
            return np.asarray(jax.jit(jax.vmap(self.back))(flat)).reshape(*points.shape[:2], -1)


@dataclass(frozen=True)
class _Moments:
    mean: np.ndarray
    covariance: np.ndarray
    error: np.ndarray  # (d, d)
    rhat: float


def _moments(points: np.ndarray, false_alarm: float) -> _Moments | None:
    """Moments of draws, (C, n, d); None if they are not finite or do not span the space."""
    flat = points.reshape(-1, points.shape[2])
    if not np.all(np.isfinite(flat)):
        return None
    mean, covariance = flat.mean(axis=0), np.atleast_2d(np.cov(flat.T))
    if np.linalg.eigvalsh(covariance)[0] <= 0:
        return None
    white = whiten_points(points, mean, covariance)
    error = _half_width(_chain_covariances(white), false_alarm)
    rhat = largest_rhat(np.concatenate([white, white**2], axis=2))
    return _Moments(mean, covariance, error, rhat)


def _half_width(values: np.ndarray, false_alarm: float) -> np.ndarray:
    """Half the width of Student's interval for the mean of C independent values, shape (C, …)."""
    quantile = scipy.stats.t.isf(false_alarm / 2, len(values) - 1)
    return quantile * values.std(axis=0, ddof=1) / np.sqrt(len(values))


def _distance(
    points: np.ndarray, found: _Moments, false_alarm: float
) -> tuple[np.ndarray, np.ndarray]:
    """How far the covariance of other draws is from the one that was found.

    Args:
        points: the other draws, (C, n, d).
        found: by the first sampler; draws are taken about its mean, so that a difference of the
            means shows, too.
        false_alarm: α of the confidence intervals.

    Returns:
        The whitened covariance less the identity, and half the width of its confidence interval,
        shape (d, d) each.
    """
    products = _chain_covariances(whiten_points(points, found.mean, found.covariance))
    distance = products.mean(axis=0) - np.eye(len(found.mean))
    return distance, _half_width(products, false_alarm)


def _chain_covariances(white: np.ndarray) -> np.ndarray:
    """The covariance about zero of each chain of whitened draws, (C, n, d); shape (C, d, d)."""
    return np.einsum("cni,cnj->cij", white, white) / white.shape[1]


def _trouble(
    found: _Moments,
    distance: np.ndarray,
    distance_error: np.ndarray,
    tolerance: float,
    coordinates: tuple[str, ...],
) -> str:
    if not found.rhat <= LARGEST_RHAT:
        return f"the chains of long runs do not agree: R̂ = {found.rhat:.3g}"
    if found.error.max() > tolerance:
        return f"long runs know the covariance to {found.error.max():.0%} alone"
    beyond = np.abs(distance) - np.maximum(tolerance / 2, found.error + distance_error)
    if not np.all(beyond <= 0):
        i, j = np.unravel_index(np.argmax(beyond), beyond.shape)
        names = coordinates[i] if i == j else f"{coordinates[i]}, {coordinates[j]}"
        return (
            f"two samplers disagree about the posterior: NumPyro's NUTS finds {names} "
            f"{distance[i, j]:+.2g} from what our own HMC finds"
        )
    return ""


def _hmc(chosen: _Parametrisation, seed: int, draws: int) -> np.ndarray:
    """Draws of our own HMC, shape (C, n, d)."""
    density = chosen.density
    with density.computing():
        slope = gradient(density.log_density)

        def value_and_gradient(z: Array) -> tuple[Array, Array]:
            return density.log_density(z), slope(z)

        usual = jax.value_and_grad(density.log_density)
        both = value_and_gradient if density.forward_mode else usual

        @partial(jax.jit, static_argnums=2)
        def run(key: Array, starts: Array, draws: int) -> Array:
            warm_key, draw_key = jax.random.split(key)
            schedule = jax.tree.map(jnp.asarray, pooled_schedule(WARM_UP))
            hmc = own_hmc()
            metric = hmc.make_metric(jnp.eye(starts.shape[1]))
            end = hmc.warm_up(both, warm_key, starts, metric, schedule, hmc.oracle_shrinkage)
            step = STEP_FRACTION * end.step_size
            return hmc.draw(both, draw_key, end.state.position, end.metric, step, draws)[0]

        positions = run(jax.random.key(seed), jnp.asarray(chosen.starts), draws)
        return np.moveaxis(np.asarray(positions), 0, 1)


def _nuts(chosen: _Parametrisation, seed: int) -> np.ndarray:
    """Draws of NumPyro's NUTS, shape (C, n, d)."""
    from numpyro.infer import MCMC, NUTS

    density = chosen.density
    with density.computing():
        kernel = NUTS(
            density.function,
            dense_mass=True,
            target_accept_prob=0.95,
            forward_mode_differentiation=density.forward_mode,
        )
        mcmc = MCMC(
            kernel,
            num_warmup=WARM_UP,
            num_samples=DRAWS[0],
            num_chains=CHAINS,
            chain_method="vectorized",
            progress_bar=False,
        )
        begin = jax.vmap(density.layout.unflatten)(jnp.asarray(chosen.starts))
        args, kwargs = density.inputs
        fields = tuple(f"z.{name}" for name in density.sites)
        key = jax.random.key(seed + 1)
        mcmc.run(key, *args, init_params=begin, extra_fields=fields, **kwargs)
        z = mcmc.get_extra_fields(group_by_chain=True)
        z = {name: z[f"z.{name}"] for name in density.sites}
        return np.asarray(jax.vmap(jax.vmap(density.layout.flatten))(z))
