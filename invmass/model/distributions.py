"""Probability families: log density, support, and the Fisher information of their own parameters.

A family is used twice: as the prior of a site (with constant parameters) and as the distribution
of an observation (with parameters that depend on the sites). It is stated neutrally; every backend
lowers it into its own library's distribution. Constants are kept in float64.
"""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Self

import jax.numpy as jnp
import jax.scipy.stats as jstats
import numpy as np
from jax.nn import log_sigmoid, sigmoid
from jax.scipy.linalg import cho_solve, solve_triangular
from jax.scipy.special import gammaln
from jax.tree_util import register_dataclass

Array = Any  # a NumPy or JAX array


class Support:
    """Where a density is positive, and which entries of a constrained value are free there.

    The other entries follow from the free ones: the last part of a simplex, the diagonal of a
    correlation matrix.
    """

    scalar = True  # a vector or a matrix is not a repetition of scalars on other supports

    def free_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the unconstrained value of a constrained one of this shape."""
        return shape

    def free(self, x: Array) -> Array:
        """The free entries of a value, as a vector."""
        return jnp.ravel(jnp.asarray(x))

    def restore(self, free: Array) -> Array:
        """The inverse of `free`, from an array of the unconstrained shape."""
        return free


@dataclass(frozen=True)
class Real(Support):
    """The whole line."""


@dataclass(frozen=True)
class Positive(Support):
    """The open half line above zero."""


@dataclass(frozen=True)
class Interval(Support):
    """The open interval between `low` and `high`."""

    low: float
    high: float


@dataclass(frozen=True)
class Increasing(Support):
    """Vectors whose entries increase."""

    scalar = False


@dataclass(frozen=True)
class Simplex(Support):
    """Positive parts that sum to one; all but the last are free."""

    scalar = False

    def free_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[-1] - 1,)

    def free(self, x: Array) -> Array:
        return jnp.asarray(x)[:-1]

    def restore(self, free: Array) -> Array:
        return jnp.append(free, 1.0 - jnp.sum(free))


@dataclass(frozen=True)
class Correlation(Support):
    """Correlation matrices, positive definite; what is below the diagonal is free, row by row."""

    scalar = False

    def free_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[-1] * (shape[-1] - 1) // 2,)

    def free(self, x: Array) -> Array:
        return jnp.asarray(x)[np.tril_indices(jnp.shape(x)[-1], -1)]

    def restore(self, free: Array) -> Array:
        below = strictly_lower(free)
        return below + below.T + jnp.eye(len(below))


def strictly_lower(entries: Array) -> Array:
    """A matrix with the entries below its diagonal, row by row, and zeros elsewhere."""
    size = (1 + int(np.sqrt(1 + 8 * jnp.size(entries)))) // 2
    return (
        jnp.zeros((size, size), jnp.result_type(entries)).at[np.tril_indices(size, -1)].set(entries)
    )


class Family(abc.ABC):
    """A probability distribution whose parameters are the fields of a frozen dataclass."""

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The parameters in declared order."""
        return tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]

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

    def given(self, sites: Mapping[str, Array]) -> "Family":
        """The distribution once the sites declared before are known: itself, if it needs none."""
        return self


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


@partial(register_dataclass, data_fields=[], meta_fields=["family"])
@dataclass(frozen=True)
class Given(Family):
    """A prior on the line that depends on sites declared before it.

    `Given(lambda x: Normal(x["mean"], x["spread"]))`, say.
    """

    family: Callable[[Mapping[str, Array]], Family]

    support = Real()

    def given(self, sites: Mapping[str, Array]) -> Family:
        return self.family(sites)

    def log_density(self, x: Array) -> Array:
        raise TypeError("a prior that depends on other sites has no density without them")


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


@register_dataclass
@dataclass(frozen=True)
class Beta(Family):
    """Beta distribution, density `x^(a-1) (1-x)^(b-1) / B(a, b)`."""

    a: Array
    b: Array

    support = Interval(0.0, 1.0)

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jstats.beta.logpdf(x, self.a, self.b))


@register_dataclass
@dataclass(frozen=True)
class Exponential(Family):
    """Exponential distribution of mean `1 / rate`."""

    rate: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jnp.log(self.rate) - self.rate * x)


@register_dataclass
@dataclass(frozen=True)
class Gamma(Family):
    """Gamma distribution of mean `concentration / rate`."""

    concentration: Array
    rate: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jstats.gamma.logpdf(x, self.concentration, scale=1.0 / self.rate))


@register_dataclass
@dataclass(frozen=True)
class InverseGamma(Family):
    """Distribution of `1/y` where y is Gamma(concentration, rate=scale)."""

    concentration: Array
    scale: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        density = jstats.gamma.logpdf(1.0 / x, self.concentration, scale=1.0 / self.scale)
        return jnp.sum(density - 2.0 * jnp.log(x))


@register_dataclass
@dataclass(frozen=True)
class HalfCauchy(Family):
    """Cauchy distribution centred at zero, folded to the positive side."""

    scale: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jnp.log(2.0) + jstats.cauchy.logpdf(x, 0.0, self.scale))


@register_dataclass
@dataclass(frozen=True)
class LogNormal(Family):
    """Distribution of `exp(y)` where y is Normal(loc, scale)."""

    loc: Array
    scale: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        logs = jnp.log(x)
        return jnp.sum(jstats.norm.logpdf(logs, self.loc, self.scale) - logs)


@register_dataclass
@dataclass(frozen=True)
class StudentT(Family):
    """Student's t distribution, shifted and scaled."""

    df: Array
    loc: Array
    scale: Array

    support = Real()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jstats.t.logpdf(x, self.df, self.loc, self.scale))


@register_dataclass
@dataclass(frozen=True)
class TruncatedNormal(Family):
    """Normal distribution given that it falls between `low` and `high`, which must be numbers."""

    loc: Array
    scale: Array
    low: float
    high: float

    @property
    def support(self) -> Interval:
        return Interval(self.low, self.high)

    def log_density(self, x: Array) -> Array:
        low, high = (self.low - self.loc) / self.scale, (self.high - self.loc) / self.scale
        return jnp.sum(jstats.truncnorm.logpdf(x, low, high, self.loc, self.scale))


@register_dataclass
@dataclass(frozen=True)
class LogGaps(Family):
    """An increasing vector: its first entry and the logarithms of its gaps are normal.

    `loc` and `scale`, of shape (K,), belong to the first entry and then to the K - 1 logarithms.
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
class LKJ(Family):
    """Correlation matrices with density `∝ det(R)^(concentration - 1)`.

    The density is with respect to the entries below the diagonal. Source of the normaliser:
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
    """Of a positive definite matrix of a few rows, by elimination.

    LAPACK's solvers, of which second derivatives take several at once, can wait for each other for
    ever on a large batch (docs/findings.md).
    """
    total = jnp.zeros((), matrix.dtype)
    while len(matrix):
        pivot, column = matrix[0, 0], matrix[1:, 0]
        total += jnp.log(pivot)
        matrix = matrix[1:, 1:] - jnp.outer(column, column) / pivot
    return total


@register_dataclass
@dataclass(frozen=True)
class Bernoulli(ObservedFamily):
    """Zeros and ones, by the logarithm of the odds of a one; its information is p (1 - p)."""

    logits: Array

    support = Real()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(x * log_sigmoid(self.logits) + (1 - x) * log_sigmoid(-self.logits))

    def broadcast(self, data: Array) -> "Bernoulli":
        return Bernoulli(jnp.broadcast_to(self.logits, jnp.shape(data)))

    def information(self, jacobian: "Bernoulli") -> Array:
        rows = jnp.reshape(jacobian.logits, (-1, jacobian.logits.shape[-1]))
        p = jnp.ravel(sigmoid(self.logits))
        return rows.T @ (rows * (p * (1 - p))[:, None])


@register_dataclass
@dataclass(frozen=True)
class Poisson(ObservedFamily):
    """Counts, by their expectation; its information is 1 / rate."""

    rate: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(x * jnp.log(self.rate) - self.rate - gammaln(x + 1.0))

    def broadcast(self, data: Array) -> "Poisson":
        return Poisson(jnp.broadcast_to(self.rate, jnp.shape(data)))

    def information(self, jacobian: "Poisson") -> Array:
        rows = jnp.reshape(jacobian.rate, (-1, jacobian.rate.shape[-1]))
        return rows.T @ (rows / jnp.ravel(self.rate)[:, None])
