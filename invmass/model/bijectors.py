"""Bijectors `x = T(z)` from a sampler's unconstrained space to a site's constrained values.

Each sampler library chooses its own bijectors. Those of this module are Stan's; the ones of another
library are wrapped in `LibraryTransform`. A simplex with K parts has K - 1 coordinates, a K × K
correlation matrix has K (K - 1) / 2.
"""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid, sigmoid

from invmass.errors import UsageError
from invmass.model.distributions import (
    Array,
    Correlation,
    Increasing,
    Interval,
    Positive,
    Real,
    Simplex,
    Support,
    strictly_lower,
)


class Transform(abc.ABC):
    """A smooth bijection of one site, from unconstrained `z` to constrained `x`."""

    @abc.abstractmethod
    def forward(self, z: Array) -> Array:
        """`x = T(z)`: the constrained value of the whole site."""

    @abc.abstractmethod
    def inverse(self, x: Array) -> Array:
        """`z = T⁻¹(x)`: the unconstrained value of the whole site."""

    @abc.abstractmethod
    def log_det(self, z: Array) -> Array:
        """`log|det ∂T/∂z|` of the whole site, a scalar; T is reduced to its free entries."""


Transforms = Mapping[str, Transform]


@dataclass(frozen=True)
class Identity(Transform):
    """For real numbers: `x = z`."""

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
    """For a simplex; z = 0 gives equal parts (Stan Reference Manual, "Unit simplex")."""

    def forward(self, z: Array) -> Array:
        taken = sigmoid(z - jnp.log(self._parts_left(z)))
        left = jnp.cumprod(1.0 - taken)
        return jnp.append(taken, 1.0) * jnp.append(1.0, left)

    def inverse(self, x: Array) -> Array:
        left = jnp.cumsum(x[::-1])[::-1]  # sum of this part and all later ones
        return jnp.log(x[:-1]) - jnp.log(left[1:]) + jnp.log(self._parts_left(x[:-1]))

    def log_det(self, z: Array) -> Array:
        shifted = z - jnp.log(self._parts_left(z))
        log_left = jnp.cumsum(log_sigmoid(-shifted))
        return jnp.sum(log_sigmoid(shifted) + log_left)

    @staticmethod
    def _parts_left(z: Array) -> Array:
        return jnp.arange(z.shape[0], 0, -1)


@dataclass(frozen=True)
class IsometricLogRatio(Transform):
    """For a simplex, used by Stan since 2.37: `x = softmax(V z)` with orthonormal columns of V.

    Column j of V has j equal entries, followed by one that makes the sum zero.
    Source: Stan Math, `simplex_constrain`.
    """

    def forward(self, z: Array) -> Array:
        return jax.nn.softmax(self._basis(z.shape[0]) @ z)

    def inverse(self, x: Array) -> Array:
        return jnp.log(x) @ self._basis(x.shape[0] - 1)

    def log_det(self, z: Array) -> Array:
        logs = jax.nn.log_softmax(self._basis(z.shape[0]) @ z)
        return jnp.sum(logs) + 0.5 * np.log(len(logs))

    @staticmethod
    def _basis(size: int) -> np.ndarray:
        column = np.arange(1, size + 1)
        basis = np.triu(np.ones((size + 1, size))) - np.eye(size + 1, size, -1) * column
        return basis / np.sqrt(column * (column + 1.0))


@dataclass(frozen=True)
class Ordered(Transform):
    """For increasing vectors: z is the first entry and the logarithms of the differences."""

    def forward(self, z: Array) -> Array:
        return jnp.cumsum(jnp.append(z[:1], jnp.exp(z[1:])))

    def inverse(self, x: Array) -> Array:
        return jnp.append(x[:1], jnp.log(jnp.diff(x)))

    def log_det(self, z: Array) -> Array:
        return jnp.sum(z[1:])


@dataclass(frozen=True)
class PartialCorrelations(Transform):
    """For correlation matrices: z is the inverse hyperbolic tangent of partial correlations.

    They determine the Cholesky factor, each row by stick-breaking of its squared norm.
    Source: Stan Reference Manual, "Correlation matrices".
    """

    def forward(self, z: Array) -> Array:
        factor = self._factor(z)
        return factor @ factor.T

    def inverse(self, x: Array) -> Array:
        factor = jnp.linalg.cholesky(x)
        left = (
            1.0 - jnp.cumsum(factor**2, axis=1) + factor**2
        )  # squared norm left before each entry
        below = np.tril_indices(len(x), -1)
        return jnp.arctanh(factor[below] / jnp.sqrt(left[below]))

    def log_det(self, z: Array) -> Array:
        factor, size = self._factor(z), len(strictly_lower(z))
        below = np.tril_indices(size, -1)
        left = 1.0 - jnp.cumsum(factor**2, axis=1) + factor**2
        to_factor = jnp.sum(jnp.log1p(-(jnp.tanh(z) ** 2)) + 0.5 * jnp.log(left[below]))
        to_matrix = jnp.sum(np.arange(size - 1, -1, -1) * jnp.log(jnp.diagonal(factor)))
        return to_factor + to_matrix

    @staticmethod
    def _factor(z: Array) -> Array:
        partial = strictly_lower(jnp.tanh(z))
        left = jnp.cumprod(
            jnp.sqrt(1.0 - partial**2), axis=1
        )  # norm of the row left after each entry
        before = jnp.concatenate([jnp.ones((len(partial), 1)), left[:, :-1]], axis=1)
        return (partial + jnp.eye(len(partial))) * before


@dataclass(frozen=True, eq=False)
class LibraryTransform(Transform):
    """A bijector of a sampler library.

    Its log determinant is computed by automatic differentiation of `to_constrained`, so that it is
    independent of the one that the library declares.

    Attributes:
        to_constrained: `T`, differentiable by JAX in forward mode.
        to_unconstrained: `T⁻¹`.
        support: of the constrained values; defines which of their entries are free.
    """

    to_constrained: Callable[[Array], Array]
    to_unconstrained: Callable[[Array], Array]
    support: Support = field(default_factory=Real)

    def forward(self, z: Array) -> Array:
        return self.to_constrained(z)

    def inverse(self, x: Array) -> Array:
        return self.to_unconstrained(x)

    def log_det(self, z: Array) -> Array:
        return autodiff_log_det(self.to_constrained, z, self.support)


def autodiff_log_det(forward: Callable[[Array], Array], z: Array, support: Support) -> Array:
    """`log|det J|`, where J is the Jacobian of the free entries of `T(z)`; a scalar.

    Args:
        forward: `T`, differentiable by JAX in forward mode.
        z: unconstrained value of the site.
        support: of the constrained values; defines which of their entries are free.
    """
    flat = jnp.ravel(z)
    jacobian = jax.jacfwd(lambda v: support.free(forward(jnp.reshape(v, jnp.shape(z)))))(flat)
    return jnp.linalg.slogdet(jacobian)[1]


def default_transform(support: Support) -> Transform:
    """The bijector that this suite uses for a support: Stan's up to 2.36.

    Raises:
        UsageError: there is no bijector for this support.
    """
    match support:
        case Real():
            return Identity()
        case Positive():
            return Exp()
        case Interval(low, high):
            return ScaledSigmoid(low, high)
        case Simplex():
            return StickBreaking()
        case Increasing():
            return Ordered()
        case Correlation():
            return PartialCorrelations()
    raise UsageError(f"no transform is known for the support {type(support).__name__}")


def stan_transform(support: Support) -> Transform:
    """The bijector that Stan uses since 2.37: it differs from ours for a simplex only."""
    return IsometricLogRatio() if isinstance(support, Simplex) else default_transform(support)
