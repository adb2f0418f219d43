"""Probability families: log density, support, and the Fisher information of their own parameters.

A family is used twice: as the prior of a site (with constant parameters) and as the distribution
of an observation (with parameters that depend on the sites). It is stated neutrally; every backend
lowers it into its own library's distribution. Constants are kept in float64.
"""

import abc
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import jax.numpy as jnp
import jax.scipy.stats as jstats
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jax.scipy.special import gammaln
from jax.tree_util import register_dataclass

Array = Any  # a NumPy or JAX array


@dataclass(frozen=True)
class Real:
    """The whole line."""


@dataclass(frozen=True)
class Positive:
    """The open half line above zero."""


@dataclass(frozen=True)
class Interval:
    """The open interval between `low` and `high`."""

    low: float
    high: float


@dataclass(frozen=True)
class Simplex:
    """Positive parts that sum to one; all but the last are free."""


Support = Real | Positive | Interval | Simplex


class Family(abc.ABC):
    """A probability distribution whose parameters are the fields of a frozen dataclass."""

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw; scalars unless a family says otherwise."""
        return ()

    @property
    @abc.abstractmethod
    def support(self) -> Support:
        """Where the density is positive."""

    @abc.abstractmethod
    def log_density(self, x: Array) -> Array:
        """Log density of `x`, summed over all its elements; a scalar."""


class ObservedFamily(Family):
    """A family that can describe data: it knows the Fisher information of its parameters."""

    @abc.abstractmethod
    def broadcast(self, data: Array) -> Self:
        """The same distribution with one set of parameters for each element of `data`."""

    @abc.abstractmethod
    def information(self, jacobian: Self) -> Array:
        """`Jᵀ I(η) J`, shape (d, d), for a broadcast distribution.

        `jacobian` is the same family with each parameter's derivative in its place: the
        parameter's shape followed by the d coordinates.
        """


@register_dataclass
@dataclass(frozen=True)
class Normal(ObservedFamily):
    """Normal distribution; its information is diag(1/σ², 2/σ²)."""

    loc: Array
    scale: Array

    support = Real()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jstats.norm.logpdf(x, self.loc, self.scale))

    def broadcast(self, data: Array) -> "Normal":
        shape = jnp.shape(data)
        return Normal(jnp.broadcast_to(self.loc, shape), jnp.broadcast_to(self.scale, shape))

    def information(self, jacobian: "Normal") -> Array:
        dimension = jacobian.loc.shape[-1]
        scale = jnp.reshape(self.scale, (-1, 1))
        d_loc = jnp.reshape(jacobian.loc, (-1, dimension)) / scale
        d_scale = jnp.reshape(jacobian.scale, (-1, dimension)) / scale
        return d_loc.T @ d_loc + 2 * d_scale.T @ d_scale


@register_dataclass
@dataclass(frozen=True)
class MultivariateNormal(ObservedFamily):
    """Multivariate normal distribution of one vector.

    Its information adds `½ tr(Σ⁻¹ ∂ᵢΣ Σ⁻¹ ∂ⱼΣ)` to the mean's `JᵀΣ⁻¹J` (Kay, *Fundamentals of
    Statistical Signal Processing: Estimation Theory*, §3.9).
    """

    loc: Array
    covariance: Array

    support = Real()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(np.shape(self.loc))

    def log_density(self, x: Array) -> Array:
        # a whitened residual: xᵀPx written out can overflow in float32 and lose its sign
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
class Multinomial(ObservedFamily):
    """Counts of `total` trials over the parts of a simplex.

    Its information is `total · Σₖ ∂ᵢpₖ ∂ⱼpₖ / pₖ` along directions that keep the sum at one.
    """

    total: int
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
class Uniform(Family):
    """Uniform distribution between `low` and `high`, which must be numbers."""

    low: float
    high: float

    @property
    def support(self) -> Interval:
        return Interval(self.low, self.high)

    def log_density(self, x: Array) -> Array:
        return -jnp.size(x) * jnp.log(jnp.asarray(self.high - self.low))


@register_dataclass
@dataclass(frozen=True)
class HalfNormal(Family):
    """Normal distribution centred at zero, folded to the positive side."""

    scale: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jnp.log(2.0) + jstats.norm.logpdf(x, 0.0, self.scale))


@register_dataclass
@dataclass(frozen=True)
class Dirichlet(Family):
    """Dirichlet distribution; the density is with respect to all parts but the last."""

    concentration: Array

    support = Simplex()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(np.shape(self.concentration))

    def log_density(self, x: Array) -> Array:
        concentration = jnp.asarray(self.concentration)
        normaliser = gammaln(jnp.sum(concentration)) - jnp.sum(gammaln(concentration))
        return normaliser + jnp.sum((concentration - 1.0) * jnp.log(x))
