"""Scalar distributions; an array of values is a set of independent draws."""

from dataclasses import dataclass

import jax.numpy as jnp
import jax.scipy.stats as jstats
from jax.nn import log_sigmoid, sigmoid
from jax.scipy.special import gammaln
from jax.tree_util import register_dataclass

from invmass.model.distributions.base import Distribution, ObservedDistribution
from invmass.model.supports import Array, Interval, Positive, Real


@register_dataclass
@dataclass(frozen=True)
class Normal(ObservedDistribution):
    """Normal distribution; the Fisher information of (loc, scale) is diag(1/σ², 2/σ²)."""

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
class Bernoulli(ObservedDistribution):
    """Bernoulli distribution by its log-odds; their Fisher information is p (1 - p)."""

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
class Poisson(ObservedDistribution):
    """Poisson distribution by its mean; the Fisher information is 1 / rate."""

    rate: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(x * jnp.log(self.rate) - self.rate - gammaln(x + 1.0))

    def broadcast(self, data: Array) -> "Poisson":
        return Poisson(jnp.broadcast_to(self.rate, jnp.shape(data)))

    def information(self, jacobian: "Poisson") -> Array:
        rows = jnp.reshape(jacobian.rate, (-1, jacobian.rate.shape[-1]))
        return rows.T @ (rows / jnp.ravel(self.rate)[:, None])


@register_dataclass
@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform distribution between `low` and `high`, which must be scalars."""

    low: float
    high: float

    @property
    def support(self) -> Interval:
        return Interval(self.low, self.high)

    def log_density(self, x: Array) -> Array:
        return -jnp.size(x) * jnp.log(jnp.asarray(self.high - self.low))


@register_dataclass
@dataclass(frozen=True)
class HalfNormal(Distribution):
    """Distribution of the absolute value of a Normal(0, scale) variable."""

    scale: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jnp.log(2.0) + jstats.norm.logpdf(x, 0.0, self.scale))


@register_dataclass
@dataclass(frozen=True)
class Beta(Distribution):
    """Beta distribution, density `x^(a-1) (1-x)^(b-1) / B(a, b)`."""

    a: Array
    b: Array

    support = Interval(0.0, 1.0)

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jstats.beta.logpdf(x, self.a, self.b))


@register_dataclass
@dataclass(frozen=True)
class Exponential(Distribution):
    """Exponential distribution with mean `1 / rate`."""

    rate: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jnp.log(self.rate) - self.rate * x)


@register_dataclass
@dataclass(frozen=True)
class Gamma(Distribution):
    """Gamma distribution with mean `concentration / rate`."""

    concentration: Array
    rate: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jstats.gamma.logpdf(x, self.concentration, scale=1.0 / self.rate))


@register_dataclass
@dataclass(frozen=True)
class InverseGamma(Distribution):
    """Distribution of `1/y` where y is Gamma(concentration, rate=scale)."""

    concentration: Array
    scale: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        density = jstats.gamma.logpdf(1.0 / x, self.concentration, scale=1.0 / self.scale)
        return jnp.sum(density - 2.0 * jnp.log(x))


@register_dataclass
@dataclass(frozen=True)
class HalfCauchy(Distribution):
    """Distribution of the absolute value of a Cauchy(0, scale) variable."""

    scale: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jnp.log(2.0) + jstats.cauchy.logpdf(x, 0.0, self.scale))


@register_dataclass
@dataclass(frozen=True)
class LogNormal(Distribution):
    """Distribution of `exp(y)` where y is Normal(loc, scale)."""

    loc: Array
    scale: Array

    support = Positive()

    def log_density(self, x: Array) -> Array:
        logs = jnp.log(x)
        return jnp.sum(jstats.norm.logpdf(logs, self.loc, self.scale) - logs)


@register_dataclass
@dataclass(frozen=True)
class StudentT(Distribution):
    """Student's t distribution with `df` degrees of freedom, location and scale."""

    df: Array
    loc: Array
    scale: Array

    support = Real()

    def log_density(self, x: Array) -> Array:
        return jnp.sum(jstats.t.logpdf(x, self.df, self.loc, self.scale))


@register_dataclass
@dataclass(frozen=True)
class TruncatedNormal(Distribution):
    """Normal distribution truncated to the interval from `low` to `high`, which are scalars."""

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
