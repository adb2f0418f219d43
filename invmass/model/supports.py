"""Where a density is positive, and which entries of a constrained value are free there."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

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
