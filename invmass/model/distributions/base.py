"""Base classes of distributions: parameters, support, log density and Fisher information."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Self

from jax.tree_util import register_dataclass

from invmass.model.supports import Array, Real, Support


class Distribution(abc.ABC):
    """A probability distribution whose parameters are the fields of a frozen dataclass."""

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The parameters in declared order."""
        return tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw; `()` for a scalar distribution."""
        return ()

    @property
    @abc.abstractmethod
    def support(self) -> Support:
        """The set on which the density is positive."""

    @abc.abstractmethod
    def log_density(self, x: Array) -> Array:
        """Log density, a scalar; if `x` is an array of independent draws, the sum over them."""

    def given(self, sites: Mapping[str, Array]) -> "Distribution":
        """The distribution conditional on the constrained sites declared before it."""
        return self


class ObservedDistribution(Distribution):
    """A distribution of data, which provides the Fisher information of its parameters."""

    @abc.abstractmethod
    def broadcast(self, data: Array) -> Self:
        """The same distribution, with parameters repeated to match the shape of the data."""

    @abc.abstractmethod
    def information(self, jacobian: Self) -> Array:
        """Fisher information `Jᵀ I(η) J` of the data about d coordinates, shape (d, d).

        The distribution must be the result of `broadcast`; η are its parameters.

        Args:
            jacobian: a distribution of the same class, in which each parameter is replaced by its
                derivative: an array of the parameter's shape with a last axis of d coordinates.
        """


@partial(register_dataclass, data_fields=[], meta_fields=["family"])
@dataclass(frozen=True)
class ConditionalPrior(Distribution):
    """A prior on the real numbers whose parameters depend on sites declared before it.

    An example is `ConditionalPrior(lambda x: Normal(x["mean"], x["spread"]))`.

    Attributes:
        family: a function from the constrained sites to the prior.
    """

    family: Callable[[Mapping[str, Array]], Distribution]

    support = Real()

    def given(self, sites: Mapping[str, Array]) -> Distribution:
        return self.family(sites)

    def log_density(self, x: Array) -> Array:
        raise TypeError("a prior that depends on other sites has no density without them")
