"""A posterior that does not depend on a sampler library: sites with priors, and observations.

Coordinates are in the declared order of the sites, each site in row-major order. The coordinates of
a simplex are all parts but the last, those of a correlation matrix the entries below its diagonal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass, register_pytree_node_class

from invmass.errors import UsageError
from invmass.model.bijectors import Transforms, default_transform
from invmass.model.distributions import Array, Distribution, ObservedDistribution
from invmass.model.layout import CoordinateLayout, check_shapes
from invmass.model.precision import copy_for_tracing

Sites = Mapping[str, Array]


@partial(register_dataclass, data_fields=["prior"], meta_fields=["shape"])
@dataclass(frozen=True)
class Site:
    """A parameter.

    Attributes:
        prior: the distribution of one repetition.
        shape: shape of an array of independent repetitions; `()` for a single one.
    """

    prior: Distribution
    shape: tuple[int, ...] = ()

    def distribution(self, x: Sites) -> Distribution:
        """The prior given the constrained sites declared before, in JAX's present precision."""
        return copy_for_tracing(self.prior.given(x))

    @property
    def value_shape(self) -> tuple[int, ...]:
        """Shape of the constrained value."""
        return (*self.shape, *self.prior.event_shape)

    @property
    def free_shape(self) -> tuple[int, ...]:
        """Shape of the unconstrained value; K - 1 for a simplex with K parts, for example."""
        return self.prior.support.free_shape(self.value_shape)


@partial(register_dataclass, data_fields=["data", "constants"], meta_fields=["family"])
@dataclass(frozen=True)
class Observation:
    """Data, and their distribution as a function of the sites.

    Args:
        family: a function of the constrained sites, and then of the constants, that returns the
            distribution of the data.
        data: the observed values.
        constants: arrays that the function needs, such as a design matrix. The function must not
            close over arrays, because JAX would see them in both precisions; see
            `precision.copy_for_tracing`.
    """

    family: Callable[..., ObservedDistribution]
    data: Array
    constants: tuple[Array, ...] = ()

    def distribution(self, x: Sites) -> ObservedDistribution:
        """The distribution of the data, given the constrained sites."""
        return copy_for_tracing(self.family(x, *copy_for_tracing(self.constants)))

    @property
    def values(self) -> Array:
        """The data in JAX's present precision."""
        return copy_for_tracing(self.data)


@register_pytree_node_class
@dataclass(frozen=True, eq=False)
class Posterior:
    """A posterior density.

    A posterior is a pytree whose leaves are the parameters of the priors, the data and the
    constants. A function that takes the result of `on_device` as an argument is therefore compiled
    once for all posteriors of the same structure.

    Attributes:
        sites: parameters by name, in declared order.
        observations: data with their distributions, by name.

    Raises:
        UsageError: a site whose values are vectors or matrices has repetitions.
    """

    sites: Mapping[str, Site]
    observations: Mapping[str, Observation]

    def tree_flatten(self) -> tuple[Any, Any]:
        """Children and structure for JAX.

        The structure includes the declared order and the classes of the priors. Without the
        classes, JAX gives two dataclasses with the same fields the same structure, and `jit` may
        mistake one for the other (docs/findings.md).
        """
        families = tuple(type(site.prior) for site in self.sites.values())
        children = (tuple(self.sites.values()), tuple(self.observations.values()))
        return children, (tuple(self.sites), tuple(self.observations), families)

    @classmethod
    def tree_unflatten(cls, names: Any, children: Any) -> "Posterior":
        """The inverse of `tree_flatten`."""
        pairs = (dict(zip(*pair, strict=True)) for pair in zip(names[:2], children, strict=True))
        return cls(*pairs)

    @property
    def structure(self) -> Any:
        """A hashable key that is equal for posteriors that share compiled programs."""
        leaves, tree = jax.tree.flatten(self)
        return tree, tuple(jnp.shape(leaf) for leaf in leaves)

    def on_device(self) -> "Posterior":
        """A copy whose leaves are JAX arrays in JAX's present precision."""
        return jax.tree.map(partial(jnp.array, dtype=float), copy_for_tracing(self))

    def __post_init__(self) -> None:
        for name, site in self.sites.items():
            if site.shape and not site.prior.support.scalar:
                kind = type(site.prior.support).__name__.lower()
                raise UsageError(
                    f"site {name!r}: a {kind} site has no repetitions; declare one site for each"
                )

    @cached_property
    def default_transforms(self) -> Transforms:
        """Our own bijector for each site."""
        return {name: default_transform(site.prior.support) for name, site in self.sites.items()}

    @cached_property
    def layout(self) -> CoordinateLayout:
        """The positions of the sites in the vector of unconstrained coordinates."""
        return CoordinateLayout({name: site.free_shape for name, site in self.sites.items()})

    @property
    def coordinates(self) -> tuple[str, ...]:
        """A name for each coordinate, such as `x[0]`; that of a scalar site has no index."""
        return self.layout.coordinates

    @property
    def dimension(self) -> int:
        """Number of unconstrained coordinates d."""
        return self.layout.dimension

    @property
    def slices(self) -> Mapping[str, slice]:
        """For each site, the slice of the vector that holds its coordinates."""
        return self.layout.slices

    # -- between dictionaries of sites and flat coordinates

    def flatten(self, z: Sites) -> Array:
        """Join unconstrained sites to one vector, shape (d,)."""
        return self.layout.flatten(z)

    def unflatten(self, z: Array) -> dict[str, Array]:
        """Split a vector of shape (d,) into unconstrained sites."""
        return self.layout.unflatten(z)

    def to_unconstrained(self, x: Sites, transforms: Transforms | None = None) -> dict[str, Array]:
        """`z = T⁻¹(x)` for each site."""
        check_shapes(x, {name: site.value_shape for name, site in self.sites.items()})
        transforms = transforms or self.default_transforms
        return {name: transforms[name].inverse(jnp.asarray(x[name])) for name in self.sites}

    def to_constrained(self, z: Sites, transforms: Transforms | None = None) -> dict[str, Array]:
        """`x = T(z)` for each site."""
        check_shapes(z, self.layout.shapes)
        transforms = transforms or self.default_transforms
        return {name: transforms[name].forward(jnp.asarray(z[name])) for name in self.sites}

    def free(self, x: Sites) -> Array:
        """Join the free entries of constrained sites to one vector, shape (d,)."""
        return jnp.concatenate(
            [site.prior.support.free(x[name]) for name, site in self.sites.items()]
        )

    def from_free(self, vector: Array) -> dict[str, Array]:
        """Constrained sites from their free entries, shape (d,): the inverse of `free`."""
        values = self.unflatten(vector)
        return {name: site.prior.support.restore(values[name]) for name, site in self.sites.items()}

    # -- densities

    def log_likelihood(self, x: Sites) -> Array:
        """Log likelihood `log L(x)` at constrained sites, a scalar."""
        return sum(
            (o.distribution(x).log_density(o.values) for o in self.observations.values()),
            start=jnp.zeros(()),
        )

    def log_prior(self, x: Sites) -> Array:
        """Log prior density `log p(x)` at constrained sites, a scalar."""
        return sum(
            (site.distribution(x).log_density(x[name]) for name, site in self.sites.items()),
            start=jnp.zeros(()),
        )

    def log_density(self, z: Array, transforms: Transforms | None = None) -> Array:
        """`log π(z) = log L(T(z)) + log p(T(z)) + log|det ∂T/∂z|`, up to a constant.

        Args:
            z: unconstrained coordinates, shape (d,).
            transforms: the bijector `T` of each site; by default our own.
        """
        transforms = transforms or self.default_transforms
        sites = self.unflatten(z)
        x = {name: transforms[name].forward(value) for name, value in sites.items()}
        log_det = sum(transforms[name].log_det(value) for name, value in sites.items())
        return self.log_likelihood(x) + self.log_prior(x) + log_det
