"""Bijectors between a site's constrained values and the unconstrained space of a sampler.

`x = T(z)`. Which `T` is used belongs to the sampler's library: ours (Stan's choices) stand here,
a library's own comes in as `LibraryTransform`. A simplex of K parts has K - 1 coordinates.
"""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, sigmoid

from invmass.geometry.families import Array, Interval, Positive, Real, Simplex, Support


class Transform(abc.ABC):
    """A smooth bijection of one site, from unconstrained `z` to constrained `x`."""

    @abc.abstractmethod
    def forward(self, z: Array) -> Array:
        """`x = T(z)`; elementwise, or vector to simplex."""

    @abc.abstractmethod
    def inverse(self, x: Array) -> Array:
        """`z = T⁻¹(x)`."""

    @abc.abstractmethod
    def log_det(self, z: Array) -> Array:
        """`log|det ∂T/∂z|` summed over the site; a scalar."""


Transforms = Mapping[str, Transform]


@dataclass(frozen=True)
class Identity(Transform):
    """For the whole line."""

    def forward(self, z: Array) -> Array:
        return z

    def inverse(self, x: Array) -> Array:
        return x

    def log_det(self, z: Array) -> Array:
        return jnp.zeros(())


@dataclass(frozen=True)
class Exp(Transform):
    """For positive values: `x = exp(z)`."""

    def forward(self, z: Array) -> Array:
        return jnp.exp(z)

    def inverse(self, x: Array) -> Array:
        return jnp.log(x)

    def log_det(self, z: Array) -> Array:
        return jnp.sum(z)


@dataclass(frozen=True)
class ScaledSigmoid(Transform):
    """For an interval: `x = low + (high - low) / (1 + exp(-z))`; its inverse is the logit."""

    low: float
    high: float

    def forward(self, z: Array) -> Array:
        return self.low + (self.high - self.low) * sigmoid(z)

    def inverse(self, x: Array) -> Array:
        return jnp.log(x - self.low) - jnp.log(self.high - x)

    def log_det(self, z: Array) -> Array:
        width = jnp.log(jnp.asarray(self.high - self.low))
        return jnp.sum(width + log_sigmoid(z) + log_sigmoid(-z))


@dataclass(frozen=True)
class StickBreaking(Transform):
    """For a simplex: z = 0 is the even split (Stan Reference Manual, "Unit simplex")."""

    def forward(self, z: Array) -> Array:
        taken = sigmoid(z - jnp.log(self._parts_left(z)))
        left = jnp.cumprod(1.0 - taken)
        return jnp.append(taken, 1.0) * jnp.append(1.0, left)

    def inverse(self, x: Array) -> Array:
        left = jnp.cumsum(x[::-1])[::-1]  # what remains, this part included
        return jnp.log(x[:-1]) - jnp.log(left[1:]) + jnp.log(self._parts_left(x[:-1]))

    def log_det(self, z: Array) -> Array:
        shifted = z - jnp.log(self._parts_left(z))
        log_left = jnp.cumsum(log_sigmoid(-shifted))
        return jnp.sum(log_sigmoid(shifted) + log_left)

    @staticmethod
    def _parts_left(z: Array) -> Array:
        return jnp.arange(z.shape[0], 0, -1)


@dataclass(frozen=True, eq=False)
class LibraryTransform(Transform):
    """A sampler library's own map, given by its two directions.

    The log determinant is taken from the map itself by automatic differentiation, so that it
    does not depend on what the library says about it.
    """

    to_constrained: Callable[[Array], Array]
    to_unconstrained: Callable[[Array], Array]

    def forward(self, z: Array) -> Array:
        return self.to_constrained(z)

    def inverse(self, x: Array) -> Array:
        return self.to_unconstrained(x)

    def log_det(self, z: Array) -> Array:
        return autodiff_log_det(self.to_constrained, z)


def autodiff_log_det(forward: Callable[[Array], Array], z: Array) -> Array:
    """`log|det|` of the Jacobian of `forward` at `z`, whose last part is dropped on a simplex."""
    flat = jnp.ravel(z)
    jacobian = jax.jacfwd(lambda v: jnp.ravel(forward(jnp.reshape(v, jnp.shape(z)))))(flat)
    return jnp.linalg.slogdet(jacobian[: flat.size])[1]


def default_transform(support: Support) -> Transform:
    """Our own choice for each support, which is Stan's."""
    match support:
        case Real():
            return Identity()
        case Positive():
            return Exp()
        case Interval(low, high):
            return ScaledSigmoid(low, high)
        case Simplex():
            return StickBreaking()
