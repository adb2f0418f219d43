"""Moments and exact independent draws of a posterior in few dimensions, by quadrature.

For a smooth density the trapezoidal rule, on a grid whitened by the covariance, converges faster
than any power of the step (Trefethen & Weideman, SIAM Review 56, 2014): with a step of one standard
deviation, a Gaussian is integrated to 3e-9. The error comes from the finite extent of the grid: the
variances of a Dirichlet prior are accurate to 2e-7, those of the notebook's posteriors to 1e-8. In
one dimension, where points are cheap, the points are spaced by a hyperbolic sine, which covers even
heavy tails.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats

from invmass.errors import InvmassError
from invmass.model.distributions import Array
from invmass.model.precision import float64

_MAX_DIMENSION = 5
_BATCH = 8192  # rows that are evaluated at a time
# Factor by which the grid is wider and finer at the second attempt, for heavy tails; by dimension.
_FINER = {2: 2.0, 3: 1.5, 4: 1.8, 5: 1.25}
# Largest share of a variance near the edge of the grid. With this limit the variances of
# exponential and Student-t tails were accurate to 0.1%.
_MAX_EDGE_SHARE = 5e-4


@dataclass(frozen=True)
class Moments:
    """Moments of d coordinates.

    Attributes:
        mean: shape (d,).
        covariance: shape (d, d).
        kurtosis: fourth central moment over the squared variance, 3 for a Gaussian; shape (d,).
    """

    mean: np.ndarray
    covariance: np.ndarray
    kurtosis: np.ndarray


class Quadrature:
    """Weighted points that integrate smooth functions over a posterior.

    Args:
        log_densities: a function from rows z, shape (N, d), to `log π(z)` up to a constant, shape
            (N,); d is at most 5.
        mode: shape (d,).
        factor: Cholesky factor of the inverse of minus the Hessian at the mode, shape (d, d).
        refine: factor by which the step of the grid is divided.

    Attributes:
        points: shape (N, d), float64.
        weights: shape (N,); they sum to one.
        mode: shape (d,).
        how: a description of the method.

    Raises:
        InvmassError: d exceeds 5, or the tails are too heavy for the grid.
    """

    def __init__(
        self,
        log_densities: Callable[[np.ndarray], np.ndarray],
        mode: np.ndarray,
        factor: np.ndarray,
        refine: float = 1.0,
    ) -> None:
        dimension = len(mode)
        if dimension > _MAX_DIMENSION:
            raise InvmassError(
                f"quadrature over {dimension} dimensions is out of reach (at most "
                f"{_MAX_DIMENSION}); state which sites are independent of the others, or normal"
            )
        self.how = f"quadrature over {dimension} dimension" + "s" * (dimension > 1)
        self.log_densities, self.mode = log_densities, mode
        if dimension == 1:
            self._integrate(*_stretched_line(refine), mode, factor)
            return
        for finer in (1.0, _FINER[dimension]):
            grid, log_volume = _ball(dimension, refine, finer), np.zeros(1)
            self._integrate(grid, log_volume, mode, factor)
            # The grid scaled by the curvature at the mode fits curved or skewed densities badly, so
            # that the second grid is scaled by the covariance from the first.
            moments = self.moments()
            root = np.linalg.cholesky(moments.covariance)
            self._integrate(grid, log_volume, moments.mean, root)
            if self._edge_share(grid, moments.mean, root) < _MAX_EDGE_SHARE:
                return
        raise InvmassError(
            "the tails reach beyond the grid of the quadrature; state which sites are independent "
            "of the others (groups), or normal (gaussian): what is left has fewer dimensions"
        )

    @classmethod
    def of(
        cls, log_density: Callable[[Array], Array], start: Array, refine: float = 1.0
    ) -> "Quadrature":
        """The quadrature of a log density whose mode and Hessian are computed.

        Args:
            log_density: `log π(z)` up to a constant, at a vector of shape (d,).
            start: a point near the mode, shape (d,).
            refine: factor by which the step of the grid is divided.
        """
        return cls(by_rows(log_density), *_laplace(log_density, start), refine)

    def _integrate(
        self, grid: np.ndarray, log_volume: np.ndarray, centre: np.ndarray, factor: np.ndarray
    ) -> None:
        """Set points and weights; the grid, (N, d), is scaled by a Cholesky factor."""
        points = centre + grid @ factor.T
        log_weights = self.log_densities(points) + log_volume
        log_weights[~np.isfinite(log_weights)] = -np.inf  # overflow far in the tails
        log_weights -= np.max(log_weights)
        relevant = log_weights > np.log(1e-14)
        self.points = points[relevant]
        self.weights = np.exp(log_weights[relevant])
        self.weights /= self.weights.sum()

    def _edge_share(self, grid: np.ndarray, centre: np.ndarray, factor: np.ndarray) -> float:
        """Largest share of a variance that comes from the outermost sixth of the grid's radius."""
        reach = np.sqrt(np.max(np.sum(grid**2, axis=1)))
        radius = np.linalg.norm(np.linalg.solve(factor, (self.points - centre).T), axis=0)
        squares = self.weights[:, None] * (self.points - self.moments().mean) ** 2
        return float(np.max(squares[radius > reach * 5 / 6].sum(axis=0) / squares.sum(axis=0)))

    def moments(self, values: np.ndarray | None = None) -> Moments:
        """Moments of k functions of z.

        In one dimension a variance is infinite if its integral does not converge.

        Args:
            values: the functions at `points`, shape (N, k); by default the coordinates themselves.

        Raises:
            InvmassError: points with values that are not finite have a weight above 1e-6, or a
                finite variance comes from tails that extend beyond the grid.
        """
        values = self.points if values is None else values
        moments = weighted_moments(values, self.weights)
        if self.points.shape[1] == 1:
            shares = self.weights[:, None] * (values - moments.mean) ** 2
            shares = shares[np.all(np.isfinite(shares), axis=1)]
            inwards = len(shares) // 20
            ends, before = shares[[0, -1]], shares[[inwards, -1 - inwards]]
            continues = ends > 1e-3 * shares.max(axis=0)
            infinite = np.any(continues & (ends > 0.97 * before), axis=0)
            if np.any(continues & ~infinite):
                raise InvmassError(
                    "the tail is so long that its variance is beyond the grid of the quadrature; "
                    "a Student-t prior should have at least 3 degrees of freedom, or 2 at most"
                )
            moments.covariance[infinite] = moments.covariance[:, infinite] = np.inf
        return moments

    def exact_draws(self, count: int, seed: tuple[int, ...]) -> np.ndarray:
        """Draw independently from the posterior.

        In one dimension by inversion of the distribution function, as accurate as the quadrature;
        else by rejection from a multivariate Student-t envelope, whose height is 1.3 times the
        largest density ratio on the grid.

        Args:
            count: number of draws, which are returned in shape (count, d).
            seed: seed of NumPy's generator.

        Raises:
            InvmassError: the density exceeds the envelope at a proposal, so that the draws would
                not be exact.
        """
        generator = np.random.default_rng(seed)
        if self.points.shape[1] == 1:
            cumulative = np.cumsum(self.weights) - self.weights / 2
            return np.interp(generator.uniform(size=count), cumulative, self.points[:, 0])[:, None]
        moments = self.moments()
        envelope = scipy.stats.multivariate_t(moments.mean, moments.covariance, df=8)
        grid_ratio = np.log(self.weights) - envelope.logpdf(self.points)
        offset = self.log_densities(self.points[:1])[0] - np.log(self.weights[0])
        height = np.max(grid_ratio) + np.log(1.3)
        accepted: list[np.ndarray] = []
        while sum(map(len, accepted)) < count:
            proposals = envelope.rvs(_BATCH, random_state=generator).reshape(_BATCH, -1)
            ratio = self.log_densities(proposals) - offset - envelope.logpdf(proposals) - height
            if np.max(ratio) > 0:
                raise InvmassError(
                    "the envelope of the exact draws was exceeded by a factor "
                    f"{np.exp(np.max(ratio)):.3g}: it is too bent, or its tails too long; state "
                    "which sites are independent of the others (groups), or normal (gaussian)"
                )
            accepted.append(proposals[np.log(generator.uniform(size=_BATCH)) < ratio])
        return np.concatenate(accepted)[:count]


class IndependentQuadratures:
    """A separate quadrature for each of several mutually independent groups of coordinates.

    Args:
        log_density: `log π(z)` at a vector of shape (d,), a sum of one function for each group.
        start: a point near the mode, shape (d,).
        groups: the indices of each group, at most 5; each coordinate is in exactly one group.

    Attributes:
        points: the points of all groups one after the other, shape (N, d); coordinates of the
            other groups are at the mode.
        mode: shape (d,).
        how: a description of the method.

    Raises:
        InvmassError: the groups are not independent.
    """

    def __init__(
        self, log_density: Callable[[Array], Array], start: Array, groups: Sequence[np.ndarray]
    ) -> None:
        self._groups = groups
        sizes = " + ".join(str(len(group)) for group in groups)
        self.how = f"quadrature over {sizes} dimensions, independent of each other"

        all_densities = by_rows(log_density)  # one compiled program for all groups
        self.mode, factor = _laplace(log_density, start)
        self._check(all_densities, factor)
        covariance = factor @ factor.T

        def conditional(group: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
            def log_densities(part: np.ndarray) -> np.ndarray:
                rows = np.tile(self.mode, (len(part), 1))
                rows[:, group] = part
                return all_densities(rows)

            return log_densities

        self._quadratures = [
            Quadrature(
                conditional(group),
                self.mode[group],
                np.linalg.cholesky(covariance[np.ix_(group, group)]),
            )
            for group in groups
        ]
        rows = []
        for group, quadrature in self._pairs():
            rows.append(np.tile(self.mode, (len(quadrature.points), 1)))
            rows[-1][:, group] = quadrature.points
        self.points = np.concatenate(rows)

    def _check(self, log_densities: Callable[[np.ndarray], np.ndarray], factor: np.ndarray) -> None:
        """Check that log π is additive over the groups, at four random points.

        The change of log π if all groups move must be the sum of its changes if one group moves.
        """
        for away in np.random.default_rng(0).uniform(-1.0, 1.0, (4, len(self.mode))) @ factor.T:
            rows = np.tile(self.mode, (len(self._groups), 1))
            for row, group in zip(rows, self._groups, strict=True):
                row[group] += away[group]
            none, all_, *each = log_densities(np.stack([self.mode, self.mode + away, *rows]))
            if not abs(all_ - none - np.sum(np.array(each) - none)) < 1e-6:
                raise InvmassError("the groups of sites are not independent of each other")

    def moments(self, values: np.ndarray | None = None) -> Moments:
        """Moments of d functions of z, each of which depends on one group only.

        Args:
            values: the functions at `points`, shape (N, d), grouped as the coordinates are; by
                default the coordinates themselves.
        """
        values = self.points if values is None else values
        ends = np.cumsum([len(quadrature.points) for quadrature in self._quadratures])
        dimension = len(self.mode)
        mean, kurtosis = np.zeros(dimension), np.zeros(dimension)
        covariance = np.zeros((dimension, dimension))
        parts = np.split(values, ends[:-1])
        for (group, quadrature), part in zip(self._pairs(), parts, strict=True):
            moments = quadrature.moments(part[:, group])
            mean[group], kurtosis[group] = moments.mean, moments.kurtosis
            covariance[np.ix_(group, group)] = moments.covariance
        return Moments(mean, covariance, kurtosis)

    def exact_draws(self, count: int, seed: tuple[int, ...]) -> np.ndarray:
        """Draw independently from the posterior, shape (count, d); see `Quadrature.exact_draws`."""
        draws = np.empty((count, len(self.mode)))
        for number, (group, quadrature) in enumerate(self._pairs()):
            draws[:, group] = quadrature.exact_draws(count, (*seed, number))
        return draws

    def _pairs(self) -> list[tuple[np.ndarray, Quadrature]]:
        return list(zip(self._groups, self._quadratures, strict=True))


def weighted_moments(values: np.ndarray, weights: np.ndarray) -> Moments:
    """Weighted moments over points.

    Args:
        values: k functions at N points, shape (N, k). Points with values that are not finite are
            left out.
        weights: shape (N,); they sum to one.

    Raises:
        InvmassError: the points that are left out have a weight above 1e-6.
    """
    # Values are not finite where rounding in float64 reaches a boundary: 1 - 1e-17 becomes 1.
    finite = np.all(np.isfinite(values), axis=1)
    lost = 1.0 - weights[finite].sum()
    if lost > 1e-6:
        raise InvmassError(f"a function of the points is not finite on {lost:.2g} of their weight")
    values, weights = values[finite], weights[finite] / (1.0 - lost)
    mean = weights @ values
    centred = values - mean
    covariance = (centred * weights[:, None]).T @ centred
    return Moments(mean, covariance, weights @ centred**4 / np.diag(covariance) ** 2)


def by_rows(function: Callable[[Array], Any]) -> Callable[[np.ndarray], Any]:
    """Vectorise a function over rows, in float64 and in batches of a fixed size.

    Args:
        function: of a row, shape (d,); its result may be a pytree of arrays.

    Returns:
        A function of rows, shape (N, d); each result has a first axis of N rows.
    """
    batch = jax.jit(jax.vmap(function))

    def mapped(rows: np.ndarray) -> Any:
        full = np.resize(rows, (-(-len(rows) // _BATCH) * _BATCH, *rows.shape[1:]))
        with float64():
            parts = [
                jax.tree.map(np.asarray, batch(jnp.asarray(part)))
                for part in full.reshape(-1, _BATCH, *rows.shape[1:])
            ]
        return jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(rows)], *parts)

    return mapped


def _ball(dimension: int, refine: float, finer: float) -> np.ndarray:
    """A regular grid in a ball about the origin, in units of standard deviations, shape (N, d).

    Args:
        dimension: d, from 2 to 5.
        refine: factor by which the step is divided.
        finer: factor by which the radius is multiplied and the step is divided.
    """
    half_width, step = {2: (12.0, 0.35), 3: (9.0, 0.5)}.get(dimension, (5.6, 0.93))
    half_width, step = half_width * finer, step / (refine * finer)
    ticks = np.arange(-half_width, half_width + 1e-9, step)
    grid = np.stack(np.meshgrid(*[ticks] * dimension, indexing="ij"), -1).reshape(-1, dimension)
    return grid[np.sum(grid**2, axis=1) <= half_width**2 * max(1.0, dimension / 3)]


def _stretched_line(refine: float) -> tuple[np.ndarray, np.ndarray]:
    """Points `sinh u` for equally spaced u, (N, 1), and log weights `log cosh u`, (N,)."""
    u = np.arange(-14.0, 14.0, 0.01 / refine)
    return np.sinh(u)[:, None], np.log(np.cosh(u))


def _laplace(log_density: Callable[[Array], Array], start: Array) -> tuple[np.ndarray, np.ndarray]:
    """The mode, and a Cholesky factor of the inverse of minus the Hessian at the mode."""
    derivatives = jax.jit(
        lambda z: (
            -log_density(z),
            -jax.grad(log_density)(z),
            -jax.hessian(log_density)(z),
        )
    )

    def evaluate(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with float64():
            value, gradient, hessian = derivatives(jnp.asarray(z))
        return np.asarray(value), np.asarray(gradient), np.asarray(hessian)

    start = np.asarray(start, dtype=np.float64)

    scale = np.sqrt(
        1.0 / np.abs(np.diag(evaluate(start)[2]))
    )  # scales the curvature of each coordinate to 1
    minimum = scipy.optimize.minimize(
        lambda u: float(evaluate(start + scale * u)[0]),
        np.zeros_like(start),
        jac=lambda u: scale * evaluate(start + scale * u)[1],
        hess=lambda u: scale[:, None] * evaluate(start + scale * u)[2] * scale,
        method="trust-exact",
        options={"gtol": 1e-6},
    )
    mode = start + scale * minimum.x
    try:
        return mode, np.linalg.cholesky(np.linalg.inv(evaluate(mode)[2]))
    except np.linalg.LinAlgError as error:
        raise InvmassError(
            "no mode with positive curvature was found near the case's true parameters"
        ) from error
