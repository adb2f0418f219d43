"""Order and names of the coordinates: which coordinates of a vector belong to which site.

Only this module defines the order: the sites in the given order, and the entries of each site in
row-major order. A posterior gives its sites as they are declared, a NumPyro model sorted by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np

from invmass.errors import UsageError
from invmass.model.supports import Array


@dataclass(frozen=True, eq=False)
class CoordinateLayout:
    """The positions of several sites in one vector of d coordinates.

    Args:
        shapes: unconstrained shape of each site, in the order of the coordinates.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """For each site, the slice of the vector that holds its coordinates."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes.values())])
        return {
            name: slice(int(a), int(b))
            for name, a, b in zip(self.shapes, ends[:-1], ends[1:], strict=True)
        }

    @cached_property
    def coordinates(self) -> tuple[str, ...]:
        """A name for each coordinate, such as `x[0]`; that of a scalar site has no index."""
        return tuple(
            name + (f"[{','.join(map(str, index))}]" if index else "")
            for name, shape in self.shapes.items()
            for index in np.ndindex(*shape)
        )

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return len(self.coordinates)

    def indices(self, names: Sequence[str]) -> np.ndarray:
        """Indices of the coordinates of several sites, in the order of the names; shape (k,)."""
        return np.concatenate([np.r_[self.slices[name]] for name in names])

    def flatten(self, values: Mapping[str, Array]) -> Array:
        """The values of all sites as one vector, shape (d,).

        Raises:
            UsageError: a site is missing, unknown or of another shape.
        """
        check_shapes(values, self.shapes)
        return jnp.concatenate([jnp.ravel(jnp.asarray(values[name])) for name in self.shapes])

    def unflatten(self, vector: Array) -> dict[str, Array]:
        """A vector as the values of the sites: the inverse of `flatten`.

        Raises:
            UsageError: the vector is not of shape (d,).
        """
        if jnp.shape(vector) != (self.dimension,):
            raise UsageError(
                f"expected a vector of {self.dimension} coordinates ({', '.join(self.coordinates)})"
                f", got shape {jnp.shape(vector)}"
            )
        return {
            name: jnp.reshape(vector[self.slices[name]], shape)
            for name, shape in self.shapes.items()
        }


def check_shapes(values: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that there is one value for each site, and that it has the site's shape.

    Raises:
        UsageError: a site is missing, unknown or of another shape.
    """
    if set(values) != set(shapes):
        raise UsageError(
            f"sites do not match: missing {sorted(set(shapes) - set(values))}, "
            f"unknown {sorted(set(values) - set(shapes))}"
        )
    for name, shape in shapes.items():
        if jnp.shape(values[name]) != shape:
            raise UsageError(f"site {name!r} has shape {jnp.shape(values[name])}, expected {shape}")
