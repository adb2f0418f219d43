"""A posterior, stated once and neutrally: sites with priors, and observations that depend on them.

Coordinates follow the declared order of the sites, each site row by row. On a simplex all parts
but the last are coordinates, of a correlation matrix what is below its diagonal.
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
    """A parameter: its prior, and the shape of independent repetitions of it."""

    prior: Distribution
    shape: tuple[int, ...] = ()

    def distribution(self, x: Sites) -> Distribution:
        """The prior given the sites declared before, ready to be traced in ambient precision."""
        return copy_for_tracing(self.prior.given(x))

    @property
    def value_shape(self) -> tuple[int, ...]:
        """Shape of the constrained value."""
        return (*self.shape, *self.prior.event_shape)

    @property
    def free_shape(self) -> tuple[int, ...]:
        """Shape of the unconstrained value; one part less on a simplex, say."""
        return self.prior.support.free_shape(self.value_shape)


@partial(register_dataclass, data_fields=["data", "constants"], meta_fields=["family"])
@dataclass(frozen=True)
class Observation:
    """Data, and its distribution as a function of the sites.

    Args:
        family: the distribution, given the constrained sites and then the constants.
        data: what was observed.
        constants: arrays that the function needs, such as a design matrix. Arrays that it closes
            over would be seen by JAX in both precisions, which `precision.copy_for_tracing`
            explains.
    """

    family: Callable[..., ObservedDistribution]
    data: Array
    constants: tuple[Array, ...] = ()

    def distribution(self, x: Sites) -> ObservedDistribution:
        """The distribution of the data at constrained sites."""
        return copy_for_tracing(self.family(x, *copy_for_tracing(self.constants)))

    @property
    def values(self) -> Array:
        """The data, ready to be traced in the ambient precision."""
        return copy_for_tracing(self.data)


@register_pytree_node_class
@dataclass(frozen=True, eq=False)
class Posterior:
    """Sites in declared order and observations, keyed by name.

    It is a pytree, whose leaves are the parameters of the priors, the data and the constants: a
    program that takes it as an argument, `on_device`, is compiled once for all posteriors of the
    same structure.
    """

    sites: Mapping[str, Site]
    observations: Mapping[str, Observation]

    def tree_flatten(self) -> tuple[Any, Any]:
        """Leaves and structure for JAX; the declared order is part of the structure.

        The families of the priors are named in it too: to JAX two dataclasses whose fields are
        alike have the same structure, and `jit` may take one for the other (docs/findings.md).
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
        """What posteriors have in common that share compiled programs; hashable."""
        leaves, tree = jax.tree.flatten(self)
        return tree, tuple(jnp.shape(leaf) for leaf in leaves)

    def on_device(self) -> "Posterior":
        """A copy whose leaves are JAX arrays in the ambient precision."""
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
        """Where each site stands among the unconstrained coordinates."""
        return CoordinateLayout({name: site.free_shape for name, site in self.sites.items()})

    @property
    def coordinates(self) -> tuple[str, ...]:
        """A label for each coordinate, such as `x[0]`; a scalar site is its bare name."""
        return self.layout.coordinates

    @property
    def dimension(self) -> int:
        """Number of unconstrained coordinates d."""
        return self.layout.dimension

    @property
    def slices(self) -> Mapping[str, slice]:
        """Which coordinates belong to each site."""
        return self.layout.slices

    # -- between dictionaries of sites and flat coordinates

    def flatten(self, z: Sites) -> Array:
        """Unconstrained sites as one vector, shape (d,)."""
        return self.layout.flatten(z)

    def unflatten(self, z: Array) -> dict[str, Array]:
        """A vector of shape (d,) as unconstrained sites."""
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
        """Constrained sites as one vector, shape (d,): a simplex without its last part, say."""
        return jnp.concatenate(
            [site.prior.support.free(x[name]) for name, site in self.sites.items()]
        )

    def from_free(self, vector: Array) -> dict[str, Array]:
        """The inverse of `free`."""
        values = self.unflatten(vector)
        return {name: site.prior.support.restore(values[name]) for name, site in self.sites.items()}

    # -- densities

    def log_likelihood(self, x: Sites) -> Array:
        """`log L(x)`, a scalar."""
        return sum(
            (o.distribution(x).log_density(o.values) for o in self.observations.values()),
            start=jnp.zeros(()),
        )

    def log_prior(self, x: Sites) -> Array:
        """`log p(x)`, a scalar."""
        return sum(
            (site.distribution(x).log_density(x[name]) for name, site in self.sites.items()),
            start=jnp.zeros(()),
        )

    def log_density(self, z: Array, transforms: Transforms | None = None) -> Array:
        """`log π(z) = log L(T(z)) + log p(T(z)) + log|det ∂T/∂z|` at a vector of shape (d,)."""
        transforms = transforms or self.default_transforms
        sites = self.unflatten(z)
        x = {name: transforms[name].forward(value) for name, value in sites.items()}
        log_det = sum(transforms[name].log_det(value) for name, value in sites.items())
        return self.log_likelihood(x) + self.log_prior(x) + log_det
