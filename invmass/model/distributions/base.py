"""What every distribution has: parameters, a support and a log density."""

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
        """Shape of one draw; `()`, a scalar, unless a subclass says otherwise."""
        return ()

    @property
    @abc.abstractmethod
    def support(self) -> Support:
        """Where the density is positive."""

    @abc.abstractmethod
    def log_density(self, x: Array) -> Array:
        """Log density of `x`, summed over all its elements; a scalar."""

    def given(self, sites: Mapping[str, Array]) -> "Distribution":
        """The distribution once the sites declared before are known: itself, if it needs none."""
        return self


class ObservedDistribution(Distribution):
    """A distribution that can describe data: it knows the Fisher information of its parameters."""

    @abc.abstractmethod
    def broadcast(self, data: Array) -> Self:
        """The same distribution with one set of parameters for each element of `data`."""

    @abc.abstractmethod
    def information(self, jacobian: Self) -> Array:
        """`Jᵀ I(η) J`, shape (d, d), for a broadcast distribution.

        Args:
            jacobian: a distribution of the same class that holds the derivative of each parameter
                in the place of the parameter: the parameter's shape followed by the d coordinates.
        """


@partial(register_dataclass, data_fields=[], meta_fields=["family"])
@dataclass(frozen=True)
class ConditionalPrior(Distribution):
    """A prior on the line that depends on sites declared before it.

    `ConditionalPrior(lambda x: Normal(x["mean"], x["spread"]))`, say.
    """

    family: Callable[[Mapping[str, Array]], Distribution]

    support = Real()

    def given(self, sites: Mapping[str, Array]) -> Distribution:
        return self.family(sites)

    def log_density(self, x: Array) -> Array:
        raise TypeError("a prior that depends on other sites has no density without them")
