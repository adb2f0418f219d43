"""Distributions of vectors and matrices."""

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
import jax.scipy.stats as jstats
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jax.scipy.special import gammaln
from jax.tree_util import register_dataclass

from invmass.model.distributions.base import Distribution, ObservedDistribution
from invmass.model.supports import Array, Correlation, Increasing, Real, Simplex


@register_dataclass
@dataclass(frozen=True)
class MultivariateNormal(ObservedDistribution):
    """Multivariate normal distribution of one vector.

    Its Fisher information is `∂ᵢμᵀ Σ⁻¹ ∂ⱼμ + ½ tr(Σ⁻¹ ∂ᵢΣ Σ⁻¹ ∂ⱼΣ)`. Source: Kay, *Fundamentals of
    Statistical Signal Processing: Estimation Theory*, §3.9.
    """

    loc: Array
    covariance: Array

    support = Real()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(np.shape(self.loc))

    def log_density(self, x: Array) -> Array:
        # The residual is whitened, because xᵀPx can overflow or become negative in float32.
        factor = jnp.linalg.cholesky(jnp.asarray(self.covariance))
        residual = solve_triangular(factor, x - self.loc, lower=True)
        log_det = jnp.sum(jnp.log(jnp.diagonal(factor)))
        return -0.5 * jnp.sum(residual**2) - log_det - 0.5 * len(residual) * jnp.log(2 * jnp.pi)

    def broadcast(self, data: Array) -> "MultivariateNormal":
        return MultivariateNormal(
            jnp.broadcast_to(self.loc, jnp.shape(data)), jnp.asarray(self.covariance)
        )

    def information(self, jacobian: "MultivariateNormal") -> Array:
        factor = jnp.linalg.cholesky(self.covariance)
        d_loc = solve_triangular(factor, jacobian.loc, lower=True)
        size, _, dimension = jacobian.covariance.shape
        d_covariance = jnp.reshape(jacobian.covariance, (size, size * dimension))
        relative = jnp.reshape(cho_solve((factor, True), d_covariance), (size, size, dimension))
        return d_loc.T @ d_loc + 0.5 * jnp.einsum("abi,baj->ij", relative, relative)


@partial(register_dataclass, data_fields=["probabilities"], meta_fields=["total"])
@dataclass(frozen=True)
class Multinomial(ObservedDistribution):
    """Multinomial distribution of the counts of `total` trials.

    Its Fisher information is `total · Σₖ ∂ᵢpₖ ∂ⱼpₖ / pₖ`, for derivatives with `Σₖ ∂ᵢpₖ = 0`.
    """

    total: float
    probabilities: Array

    support = Simplex()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(np.shape(self.probabilities))

    def log_density(self, x: Array) -> Array:
        coefficient = gammaln(self.total + 1.0) - jnp.sum(gammaln(x + 1.0))
        return coefficient + jnp.sum(x * jnp.log(self.probabilities))

    def broadcast(self, data: Array) -> "Multinomial":
        return Multinomial(self.total, jnp.broadcast_to(self.probabilities, jnp.shape(data)))

    def information(self, jacobian: "Multinomial") -> Array:
        weighted = jacobian.probabilities / self.probabilities[:, None]
        return self.total * weighted.T @ jacobian.probabilities


@register_dataclass
@dataclass(frozen=True)
class Dirichlet(Distribution):
    """Dirichlet distribution; a density with respect to all parts but the last."""

    concentration: Array

    support = Simplex()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(np.shape(self.concentration))

    def log_density(self, x: Array) -> Array:
        concentration = jnp.asarray(self.concentration)
        normaliser = gammaln(jnp.sum(concentration)) - jnp.sum(gammaln(concentration))
        return normaliser + jnp.sum((concentration - 1.0) * jnp.log(x))


@register_dataclass
@dataclass(frozen=True)
class OrderedNormal(Distribution):
    """Increasing vectors whose first entry and log differences are independent and normal.

    Attributes:
        loc: means of the first entry and of the K - 1 log differences, shape (K,).
        scale: their standard deviations, shape (K,).
    """

    loc: Array
    scale: Array

    support = Increasing()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(np.shape(self.loc))

    def log_density(self, x: Array) -> Array:
        logs = jnp.log(jnp.diff(x))
        y = jnp.concatenate([x[:1], logs])
        return jnp.sum(jstats.norm.logpdf(y, self.loc, self.scale)) - jnp.sum(logs)


@partial(register_dataclass, data_fields=["concentration"], meta_fields=["dimension"])
@dataclass(frozen=True)
class LKJ(Distribution):
    """LKJ distribution of correlation matrices, with density `∝ det(R)^(concentration - 1)`.

    The density is with respect to the entries below the diagonal. Source of its constant:
    Lewandowski, Kurowicka & Joe, Journal of Multivariate Analysis 100 (2009), eq. (16).
    """

    dimension: int
    concentration: Array

    support = Correlation()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.dimension, self.dimension)

    def log_density(self, x: Array) -> Array:
        log_det, last = _log_det(x), self.dimension - 1
        k = np.arange(1, last + 1)
        full = gammaln(self.concentration + last / 2)
        logs = k / 2 * np.log(np.pi) + gammaln(self.concentration + (last - k) / 2) - full
        return (self.concentration - 1.0) * log_det - jnp.sum(logs)


def _log_det(matrix: Array) -> Array:
    """Log determinant of a small positive definite matrix, by Gaussian elimination.

    LAPACK is avoided: second derivatives call several of its solvers at once, which can deadlock on
    a large batch (docs/findings.md).
    """
    total = jnp.zeros((), matrix.dtype)
    while len(matrix):
        pivot, column = matrix[0, 0], matrix[1:, 0]
        total += jnp.log(pivot)
        matrix = matrix[1:, 1:] - jnp.outer(column, column) / pivot
    return total
