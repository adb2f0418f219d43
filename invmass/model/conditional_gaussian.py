"""Exact moments and draws of posteriors that are Gaussian, or conditionally Gaussian.

If `log π` is quadratic in some coordinates w for all values of the others v, its derivatives at any
one w give the conditional mean m(v) and covariance C(v). The log marginal density of v is then
`log π(m(v), v) + ½ log det C(v)` up to a constant, and is integrated by quadrature. A hierarchical
model of ten parameters needs one dimension of quadrature, a linear model none.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from invmass.errors import InvmassError
from invmass.model.distributions import Array
from invmass.model.precision import float64
from invmass.model.quadrature import Moments, Quadrature, by_rows, weighted_moments


class Gaussian:
    """A posterior that is jointly normal in all coordinates.

    Args:
        log_density: `log π(z)` at a vector of shape (d,).
        start: any point, shape (d,).

    Attributes:
        points: shape (2d, d); equally weighted, they give the exact mean and covariance of linear
            functions.
        mode: shape (d,).
        how: a description of the method.

    Raises:
        InvmassError: the density is not that of a normal distribution.
    """

    how = "closed form: the posterior is normal"

    def __init__(self, log_density: Callable[[Array], Array], start: Array) -> None:
        square = jax.jit(partial(_complete_the_square, log_density))

        def complete_from(point: Array) -> tuple[np.ndarray, np.ndarray]:
            with float64():
                mean, factor, _ = square(jnp.asarray(point, dtype=float))
            return np.asarray(mean), np.asarray(factor)

        self.mode, self._factor = complete_from(start)
        elsewhere = self.mode + _aside(self._factor)
        _check_same(self.mode, complete_from(elsewhere)[0], self._factor)
        steps = np.sqrt(len(self.mode)) * self._factor.T
        self.points = np.concatenate([self.mode + steps, self.mode - steps])

    def moments(self, values: np.ndarray | None = None) -> Moments:
        """Moments of k linear functions of z, given by their values at `points`, shape (2d, k)."""
        values = self.points if values is None else values
        moments = weighted_moments(values, np.full(len(values), 1.0 / len(values)))
        return Moments(moments.mean, moments.covariance, np.full(values.shape[1], 3.0))

    def exact_draws(self, count: int, seed: tuple[int, ...]) -> np.ndarray:
        """Independent exact draws, shape (count, d)."""
        normal = np.random.default_rng(seed).normal(size=(count, len(self.mode)))
        return self.mode + normal @ self._factor.T


class ConditionallyGaussian:
    """A posterior that is normal in some coordinates w given the others v.

    Args:
        log_density: `log π(z)` at a vector of shape (d,).
        start: a point near the mode, shape (d,).
        inner: which coordinates are w, shape (k,); the others are at most five.

    Attributes:
        points: shape (N, d): the points of a quadrature over v, each with `2k² + 1` points of w
            that integrate polynomials of fifth degree in w exactly.
        mode: the mode of the marginal density of v, with the conditional mean of w; shape (d,).
        how: a description of the method.

    Raises:
        InvmassError: the density is not normal in these coordinates.
    """

    def __init__(
        self, log_density: Callable[[Array], Array], start: Array, inner: np.ndarray
    ) -> None:
        at = np.asarray(start, dtype=np.float64)
        self._inner, self._outer = inner, np.setdiff1d(np.arange(len(at)), inner)

        def given(row: Array) -> tuple[Array, Array, Array]:
            """Complete the square in w at a row that consists of v and w."""
            v, w = jnp.split(row, [len(self._outer)])
            z = jnp.asarray(at).at[self._outer].set(v)
            return _complete_the_square(lambda w: log_density(z.at[inner].set(w)), w)

        self._given = by_rows(given)
        self._quadrature = Quadrature.of(
            lambda v: given(jnp.concatenate([v, at[inner]]))[2], at[self._outer]
        )
        self.how = (
            f"closed form in {len(inner)} coordinates, which are normal given the others; over "
            f"those, {self._quadrature.how}"
        )
        nodes = self._quadrature.points
        mean, factor = self._conditionals(nodes)
        typical = int(np.argmax(self._quadrature.weights))
        elsewhere = mean[typical] + _aside(factor[typical])
        again, _ = self._conditionals(nodes[typical][None], elsewhere)
        _check_same(mean[typical], again[0], factor[typical])
        unit, weights = _fifth_degree(len(inner))
        self.points = self._joined(nodes, mean[:, None] + np.einsum("nij,mj->nmi", factor, unit))
        self._weights = np.outer(self._quadrature.weights, weights).ravel()
        mode = self._quadrature.mode[None]
        self.mode = self._joined(mode, self._conditionals(mode)[0][:, None])[0]

    def moments(self, values: np.ndarray | None = None) -> Moments:
        """Moments of k functions of z, given by their values at `points`, shape (N, k).

        The integral over w is exact for covariances of quadratic functions of w, and for the
        kurtosis of linear ones.
        """
        return weighted_moments(self.points if values is None else values, self._weights)

    def exact_draws(self, count: int, seed: tuple[int, ...]) -> np.ndarray:
        """Independent exact draws, shape (count, d)."""
        v = self._quadrature.exact_draws(count, seed)
        mean, factor = self._conditionals(v)
        normal = np.random.default_rng((*seed, 1)).normal(size=mean.shape)
        w = mean + np.einsum("nij,nj->ni", factor, normal)
        return self._joined(v, w[:, None])

    def _conditionals(
        self, v: np.ndarray, at: float | np.ndarray = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean, (N, k), and factor of the covariance, (N, k, k), of w given rows v, (N, d - k)."""
        w = np.broadcast_to(at, (len(v), len(self._inner)))
        mean, factor, _ = self._given(np.concatenate([v, w], axis=1))
        return mean, factor

    def _joined(self, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Rows z, (N m, d), that combine each v, (N, d - k), with its values of w, (N, m, k)."""
        z = np.empty((*w.shape[:2], len(self._inner) + len(self._outer)))
        z[..., self._inner] = w
        z[..., self._outer] = v[:, None]
        return z.reshape(-1, z.shape[-1])


def _complete_the_square(
    log_density: Callable[[Array], Array], w: Array
) -> tuple[Array, Array, Array]:
    """Normalise `exp` of a quadratic function as a normal density.

    Args:
        log_density: a quadratic function of a vector of shape (k,).
        w: any point, shape (k,).

    Returns:
        The mean, a factor A of the covariance `A Aᵀ`, and the log of the integral up to a constant.
    """
    root = jnp.linalg.cholesky(-jax.hessian(log_density)(w))
    factor = jnp.linalg.inv(root).T
    mean = w + factor @ (factor.T @ jax.grad(log_density)(w))
    return mean, factor, log_density(mean) + jnp.sum(jnp.log(jnp.diagonal(factor)))


def _aside(factor: np.ndarray) -> np.ndarray:
    """A displacement by a different number of standard deviations, 1 to 2, in each direction."""
    return factor @ np.linspace(1.0, 2.0, len(factor))


def _check_same(mean: np.ndarray, again: np.ndarray, factor: np.ndarray) -> None:
    """Check that completing the square at two points gave the same mean."""
    deviation = np.max(np.abs(np.linalg.solve(factor, again - mean)))
    if not deviation < 1e-6:
        raise InvmassError(
            "the posterior is not normal in the coordinates that are stated to be: from two "
            f"points their conditional mean differs by {deviation:.3g} standard deviations"
        )


def _fifth_degree(dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Points, (N, k), and weights, (N,), exact for polynomials of degree 5 under N(0, I_k).

    Source: McNamee & Stenger, Numerische Mathematik 10 (1967), the fully symmetric rule of fifth
    degree with generator √3. Some weights are negative beyond four dimensions.
    """
    axes = np.sqrt(3.0) * np.eye(dimension)
    first, second = np.triu_indices(dimension, 1)
    pairs = [a * axes[first] + b * axes[second] for a in (1, -1) for b in (1, -1)]
    points = [np.zeros((1, dimension)), axes, -axes, *pairs]
    shares = [1 + dimension * (dimension - 7) / 18, *[(4 - dimension) / 18] * 2, *[1 / 36] * 4]
    weights = [np.full(len(part), share) for part, share in zip(points, shares, strict=True)]
    return np.concatenate(points), np.concatenate(weights)
