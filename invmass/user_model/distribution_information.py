"""Fisher information of NumPyro's distributions about their own parameters.

NumPyro states distributions in other parameters than the engine, such as logits, and more of them;
each observation has weights (masks, scale factors, trials). A distribution is taken by its exact
class, because a subclass may mean something else. For a class without a rule, `rule_of` returns
None, and the observed information takes the place of the expected one.
Formulas: Lehmann & Casella, *Theory of Point Estimation*, §2.5 and table 2.5.1, unless noted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import polygamma

from invmass.model.distributions import Array, MultivariateNormal

Parameters = dict[str, Array]


@dataclass(frozen=True)
class Rule:
    """The Fisher information of one class of distributions about its parameters.

    Attributes:
        names: the parameters that may depend on the latent sites.
        gram: `Jᵀ I(η) J` for N independent draws, shape (d, d). It gets the parameters, each of
            shape (N, *event); their derivatives, of shape (N, *event, d); and a weight for each
            draw, shape (N,).
        event_dims: number of dimensions of one draw's parameters, for each of `names`.
        trials: the attribute that counts repetitions of each draw, if there is one.
    """

    names: tuple[str, ...]
    gram: Callable[[Parameters, Parameters, Array], Array]
    event_dims: tuple[int, ...]
    trials: str | None = None


@dataclass(frozen=True)
class Likelihood:
    """The parameters of an observed site's distribution, ready to be differentiated.

    Attributes:
        rule: of its class.
        parameters: one row for each independent draw, shape (N, *event).
        weights: masks, scale factors and numbers of trials, shape (N,).
    """

    rule: Rule
    parameters: Parameters
    weights: Array

    def information(self, jacobian: Parameters) -> Array:
        """`Jᵀ I(η) J`, shape (d, d).

        Args:
            jacobian: derivative of each of `parameters`, with the d coordinates as its last axis.
        """
        in_order = {name: jacobian[name] for name in self.parameters}  # JAX sorts keys
        return self.rule.gram(self.parameters, in_order, self.weights)


def rule_of(distribution: Any) -> Rule | None:
    """The rule for a distribution, whatever it is wrapped in; None if its class is not known."""
    return _rules().get(type(_unwrapped(distribution)))


def likelihood_of(distribution: Any, data: Array, scale: Array | None) -> Likelihood:
    """The likelihood of an observed site whose distribution has a rule.

    Args:
        distribution: of the site, as NumPyro traced it.
        data: the observed value; it may have more leading dimensions than the distribution.
        scale: the factor by which NumPyro multiplies the site's log density, if any.

    Returns:
        The parameters in one row for each independent draw, with their weights.
    """
    base, rule = _unwrapped(distribution), rule_of(distribution)
    assert rule is not None
    shape = jnp.broadcast_shapes(distribution.shape(), jnp.shape(data))
    batch = shape[: len(shape) - base.event_dim]
    weights = _weights(distribution) * _aligned(
        1.0 if scale is None else scale, distribution.event_dim - base.event_dim
    )
    if rule.trials:
        weights = weights * getattr(base, rule.trials)
    parameters = {}
    for name, event_dims in zip(rule.names, rule.event_dims, strict=True):
        value = jnp.asarray(getattr(base, name), dtype=float)
        event = value.shape[value.ndim - event_dims :]
        parameters[name] = jnp.broadcast_to(value, (*batch, *event)).reshape(-1, *event)
    return Likelihood(rule, parameters, jnp.broadcast_to(weights, batch).ravel())


def _unwrapped(distribution: Any) -> Any:
    """What stands inside wrappers that leave the information of each draw as it is.

    Among them are fixed one-to-one transforms of the draw, such as the exponential of LogNormal.
    """
    import numpyro.distributions as dist

    wrappers = {
        dist.ExpandedDistribution,
        dist.Independent,
        dist.MaskedDistribution,
        dist.LogNormal,
        dist.InverseGamma,
    }
    while type(distribution) in wrappers:
        distribution = distribution.base_dist
    return distribution


def _weights(distribution: Any) -> Array:
    """Product of the masks on the way to the innermost distribution, aligned with its batch."""
    import numpyro.distributions as dist

    innermost, weights = _unwrapped(distribution), jnp.ones(())
    while distribution is not innermost:
        if type(distribution) is dist.MaskedDistribution:
            mask = jnp.asarray(distribution._mask, dtype=float)  # NumPyro shows it nowhere else
            weights = weights * _aligned(mask, distribution.event_dim - innermost.event_dim)
        distribution = distribution.base_dist
    return weights


def _aligned(value: Array, event_dims: int) -> Array:
    """`value` with dimensions of length one for what a wrapper counts as one event."""
    return jnp.reshape(jnp.asarray(value), (*jnp.shape(value), *(1,) * event_dims))


def _elementwise(information: Callable[..., list[list[Array]]]) -> Callable[..., Array]:
    """The gram of scalar parameters, from the k × k information of one draw, row by row."""

    def gram(parameters: Parameters, jacobian: Parameters, weights: Array) -> Array:
        rows = jnp.stack(list(jacobian.values()), axis=1)  # (N, k, d)
        entries = information(*parameters.values())
        matrix = jnp.stack([jnp.stack(jnp.broadcast_arrays(*row), -1) for row in entries], -2)
        return jnp.einsum("nki,nkl,nlj,n->ij", rows, matrix, rows, weights)

    return gram


def _vector(information: Callable[[Array], Array]) -> Callable[..., Array]:
    """The gram of one vector of parameters, from the k × k information of one draw."""

    def gram(parameters: Parameters, jacobian: Parameters, weights: Array) -> Array:
        (values,), (rows,) = parameters.values(), jacobian.values()
        matrix = jax.vmap(information)(values)
        return jnp.einsum("nki,nkl,nlj,n->ij", rows, matrix, rows, weights)

    return gram


def _multivariate_normal(parameters: Parameters, jacobian: Parameters, weights: Array) -> Array:
    """That of the engine's distribution, summed over the independent draws."""

    def one(parameters: Parameters, jacobian: Parameters) -> Array:
        at, slopes = (
            MultivariateNormal(each["loc"], each["covariance_matrix"])
            for each in (parameters, jacobian)
        )
        return at.information(slopes)

    return jnp.einsum("nij,n->ij", jax.vmap(one)(parameters, jacobian), weights)


def _student_t(df: Array, loc: Array, scale: Array) -> list[list[Array]]:
    """Lange, Little & Taylor, JASA 84 (1989), appendix B."""
    zero = jnp.zeros_like(loc)
    df_df = (polygamma(1, df / 2) - polygamma(1, (df + 1) / 2)) / 4
    df_df = df_df - (df + 5) / (2 * df * (df + 1) * (df + 3))
    df_scale = -2 / (scale * (df + 1) * (df + 3))
    return [
        [df_df, zero, df_scale],
        [zero, (df + 1) / ((df + 3) * scale**2), zero],
        [df_scale, zero, 2 * df / ((df + 3) * scale**2)],
    ]


def _beta(a: Array, b: Array) -> list[list[Array]]:
    both = polygamma(1, a + b)
    return [[polygamma(1, a) - both, -both], [-both, polygamma(1, b) - both]]


def _location_scale(of_loc: float, of_scale: float) -> Callable[[Array, Array], Any]:
    """A symmetric density: location and scale do not inform about each other."""

    def information(loc: Array, scale: Array) -> list[list[Array]]:
        zero = jnp.zeros_like(loc)
        return [[of_loc / scale**2, zero], [zero, of_scale / scale**2]]

    return information


def _softmax_information(logits: Array) -> Array:
    probabilities = jax.nn.softmax(logits)
    return jnp.diag(probabilities) - jnp.outer(probabilities, probabilities)


def _sigmoid_variance(logits: Array) -> list[list[Array]]:
    return [[jax.nn.sigmoid(logits) * jax.nn.sigmoid(-logits)]]


@cache
def _rules() -> dict[type, Rule]:
    import numpyro.distributions as dist

    def scalar(information: Callable[..., Any], *names: str, trials: str | None = None) -> Rule:
        return Rule(names, _elementwise(information), (0,) * len(names), trials)

    def vector(information: Callable[..., Any], name: str, trials: str | None = None) -> Rule:
        return Rule((name,), _vector(information), (1,), trials)

    def bernoulli(p: Array) -> list[list[Array]]:
        return [[1 / (p * (1 - p))]]

    # along directions in which the parts keep their sum
    def categories(p: Array) -> Array:
        return jnp.diag(1 / p)

    def dirichlet(a: Array) -> Array:
        return jnp.diag(polygamma(1, a)) - polygamma(1, jnp.sum(a))

    multivariate_normal = Rule(("loc", "covariance_matrix"), _multivariate_normal, (1, 2))
    known = ("loc", "scale")
    return {
        dist.Normal: scalar(_location_scale(1, 2), *known),
        dist.Cauchy: scalar(_location_scale(1 / 2, 1 / 2), *known),
        dist.Laplace: scalar(_location_scale(1, 1), *known),
        dist.Logistic: scalar(_location_scale(1 / 3, (3 + jnp.pi**2) / 9), *known),
        dist.StudentT: scalar(_student_t, "df", *known),
        dist.HalfNormal: scalar(lambda scale: [[2 / scale**2]], "scale"),
        dist.HalfCauchy: scalar(lambda scale: [[1 / (2 * scale**2)]], "scale"),
        dist.Exponential: scalar(lambda rate: [[1 / rate**2]], "rate"),
        dist.Gamma: scalar(
            lambda a, rate: [[polygamma(1, a), -1 / rate], [-1 / rate, a / rate**2]],
            "concentration",
            "rate",
        ),
        dist.Beta: scalar(_beta, "concentration1", "concentration0"),
        dist.Poisson: scalar(lambda rate: [[1 / rate]], "rate"),
        dist.GeometricProbs: scalar(lambda p: [[1 / (p**2 * (1 - p))]], "probs"),
        dist.GeometricLogits: scalar(lambda a: [[jax.nn.sigmoid(-a)]], "logits"),
        dist.BernoulliProbs: scalar(bernoulli, "probs"),
        dist.BernoulliLogits: scalar(_sigmoid_variance, "logits"),
        dist.BinomialProbs: scalar(bernoulli, "probs", trials="total_count"),
        dist.BinomialLogits: scalar(_sigmoid_variance, "logits", trials="total_count"),
        dist.CategoricalProbs: vector(categories, "probs"),
        dist.OrderedLogistic: vector(categories, "probs"),
        dist.CategoricalLogits: vector(_softmax_information, "logits"),
        dist.MultinomialProbs: vector(categories, "probs", trials="total_count"),
        dist.MultinomialLogits: vector(_softmax_information, "logits", trials="total_count"),
        dist.Dirichlet: vector(dirichlet, "concentration"),
        dist.MultivariateNormal: multivariate_normal,
        dist.LowRankMultivariateNormal: multivariate_normal,
    }
