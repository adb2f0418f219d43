"""Supports of distributions, and the free entries of constrained values."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

Array = Any  # a NumPy or JAX array


class Support:
    """The set on which a density is positive, and the free entries of its elements.

    The other entries are functions of the free ones: the last part of a simplex, for example, or
    the diagonal of a correlation matrix.
    """

    scalar = True  # whether the elements are numbers, so that an array holds repetitions of them

    def free_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the unconstrained value, from the shape of the constrained value."""
        return shape

    def free(self, x: Array) -> Array:
        """The free entries of a constrained value, as a vector."""
        return jnp.ravel(jnp.asarray(x))

    def restore(self, free: Array) -> Array:
        """The constrained value, from its free entries in an array of the unconstrained shape."""
        return free


@dataclass(frozen=True)
class Real(Support):
    """Real numbers."""


@dataclass(frozen=True)
class Positive(Support):
    """Numbers above zero."""


@dataclass(frozen=True)
class Interval(Support):
    """The open interval between `low` and `high`."""

    low: float
    high: float


@dataclass(frozen=True)
class Increasing(Support):
    """Vectors with strictly increasing entries."""

    scalar = False


@dataclass(frozen=True)
class Simplex(Support):
    """Vectors of positive parts that sum to one; all parts but the last are free."""

    scalar = False

    def free_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[-1] - 1,)

    def free(self, x: Array) -> Array:
        return jnp.asarray(x)[:-1]

    def restore(self, free: Array) -> Array:
        return jnp.append(free, 1.0 - jnp.sum(free))


@dataclass(frozen=True)
class Correlation(Support):
    """Positive definite correlation matrices; the entries below the diagonal are free, by rows."""

    scalar = False

    def free_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[-1] * (shape[-1] - 1) // 2,)

    def free(self, x: Array) -> Array:
        return jnp.asarray(x)[np.tril_indices(jnp.shape(x)[-1], -1)]

    def restore(self, free: Array) -> Array:
        below = strictly_lower(free)
        return below + below.T + jnp.eye(len(below))


def strictly_lower(entries: Array) -> Array:
    """A strictly lower triangular matrix, filled row by row with K (K - 1) / 2 entries."""
    size = (1 + int(np.sqrt(1 + 8 * jnp.size(entries)))) // 2
    return (
        jnp.zeros((size, size), jnp.result_type(entries)).at[np.tril_indices(size, -1)].set(entries)
    )
