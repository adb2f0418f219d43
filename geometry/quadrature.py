"""Moments of a posterior without a sampler: quadrature over it, and exact independent draws.

The trapezoidal rule on a grid whitened by the curvature at the mode converges faster than any
power of the step for a smooth density (Trefethen & Weideman, SIAM Review 56, 2014): with a step
of one standard deviation a Gaussian is integrated to 3e-9. What limits it is where the grid ends:
on the bounded case of the notebook, variances are right to 3e-5.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats

from invmass.geometry.errors import InvmassError
from invmass.geometry.families import Array
from invmass.geometry.precision import float64

_MAX_DIMENSION = 5
_BATCH = 8192


@dataclass(frozen=True)
class Moments:
    """Mean, shape (d,), covariance, shape (d, d), and kurtosis κ₄ of each coordinate, (d,)."""

    mean: np.ndarray
    covariance: np.ndarray
    kurtosis: np.ndarray


class Quadrature:
    """Weighted points that integrate smooth functions over one posterior.

    Args:
        log_density: `log π(z)` at a vector of shape (d,), d at most 5; need not be normalised.
        start: a point near the mode, shape (d,).
        refine: divides the step of the grid.

    Attributes:
        points: shape (N, d), float64.
        weights: shape (N,), they sum to one.
        mode: shape (d,).
    """

    def __init__(
        self, log_density: Callable[[Array], Array], start: Array, refine: float = 1.0
    ) -> None:
        dimension = len(start)
        if dimension > _MAX_DIMENSION:
            raise InvmassError(
                f"quadrature over {dimension} dimensions is out of reach (at most "
                f"{_MAX_DIMENSION}); give the case exact draws instead"
            )
        with float64():
            self._batch_density = jax.jit(jax.vmap(log_density))
            self.mode, factor = _laplace(log_density, np.asarray(start, dtype=np.float64))
        half_width, step = (7.0, 0.35) if dimension <= 3 else (5.6, 0.93)
        ticks = np.arange(-half_width, half_width + 1e-9, step / refine)
        grid = np.stack(np.meshgrid(*[ticks] * dimension, indexing="ij"), -1).reshape(-1, dimension)
        grid = grid[np.sum(grid**2, axis=1) <= half_width**2 * max(1.0, dimension / 3)]
        points = self.mode + grid @ factor.T
        log_weights = self.log_densities(points)
        log_weights -= log_weights.max()
        kept = log_weights > np.log(1e-14)
        self.points = points[kept]
        self.weights = np.exp(log_weights[kept])
        self.weights /= self.weights.sum()

    def log_densities(self, points: np.ndarray) -> np.ndarray:
        """`log π` at each row of `points`, shape (N, d), in float64 and in batches of one shape."""
        with float64():
            padded = np.resize(points, (-(-len(points) // _BATCH) * _BATCH, points.shape[1]))
            batches = padded.reshape(-1, _BATCH, points.shape[1])
            values = [np.asarray(self._batch_density(jnp.asarray(batch))) for batch in batches]
        return np.concatenate(values)[: len(points)]

    def moments(self, values: np.ndarray | None = None) -> Moments:
        """Moments of functions of the points, given by their values, shape (N, k)."""
        values = self.points if values is None else values
        mean = self.weights @ values
        centred = values - mean
        covariance = (centred * self.weights[:, None]).T @ centred
        variance = np.diag(covariance)
        return Moments(mean, covariance, self.weights @ centred**4 / variance**2)

    def exact_draws(self, count: int, seed: tuple[int, ...]) -> np.ndarray:
        """Independent exact draws, shape (count, d), by rejection from a Student-t envelope.

        The envelope's height is the largest density ratio over the grid, with 5% to spare.

        Raises:
            InvmassError: a proposal rose above the envelope, so the draws would not be exact.
        """
        moments = self.moments()
        envelope = scipy.stats.multivariate_t(moments.mean, moments.covariance, df=8)
        grid_ratio = np.log(self.weights) - envelope.logpdf(self.points)
        offset = self.log_densities(self.points[:1])[0] - np.log(self.weights[0])
        height = np.max(grid_ratio) + np.log(1.05)
        generator = np.random.default_rng(seed)
        accepted: list[np.ndarray] = []
        while sum(map(len, accepted)) < count:
            proposals = envelope.rvs(_BATCH, random_state=generator).reshape(_BATCH, -1)
            ratio = self.log_densities(proposals) - offset - envelope.logpdf(proposals) - height
            if np.max(ratio) > 0:
                raise InvmassError(
                    "the envelope of the exact draws was exceeded by a factor "
                    f"{np.exp(np.max(ratio)):.3g}; refine the quadrature of this case"
                )
            accepted.append(proposals[np.log(generator.uniform(size=_BATCH)) < ratio])
        return np.concatenate(accepted)[:count]


def _laplace(
    log_density: Callable[[Array], Array], start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mode, and a Cholesky factor of the inverse of minus the Hessian there."""
    derivatives = jax.jit(
        lambda z: (
            -log_density(z),
            -jax.grad(log_density)(z),
            -jax.hessian(log_density)(z),
        )
    )

    def evaluate(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        value, gradient, hessian = derivatives(jnp.asarray(z))
        return np.asarray(value), np.asarray(gradient), np.asarray(hessian)

    scale = np.sqrt(1.0 / np.abs(np.diag(evaluate(start)[2])))  # coordinates of unit curvature
    found = scipy.optimize.minimize(
        lambda u: float(evaluate(start + scale * u)[0]),
        np.zeros_like(start),
        jac=lambda u: scale * evaluate(start + scale * u)[1],
        hess=lambda u: scale[:, None] * evaluate(start + scale * u)[2] * scale,
        method="trust-exact",
        options={"gtol": 1e-6},
    )
    mode = start + scale * found.x
    try:
        return mode, np.linalg.cholesky(np.linalg.inv(evaluate(mode)[2]))
    except np.linalg.LinAlgError as error:
        raise InvmassError(
            "no mode with positive curvature was found near the case's true parameters"
        ) from error
