"""The density of a NumPyro model in the unconstrained space in which NumPyro's NUTS moves.

Coordinates are those of NumPyro's own inverse mass matrix: sites sorted by name, each row by row,
unconstrained by NumPyro's own bijectors. Everything is computed in float64.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invmass.errors import UsageError
from invmass.model.derivatives import gradient, how_twice, needs_forward_mode
from invmass.model.distributions import Array
from invmass.model.layout import CoordinateLayout
from invmass.model.posterior import Sites
from invmass.model.precision import copy_for_tracing, float64, float64_arrays
from invmass.user_model import numpyro_sites

_ATTEMPTS = 100  # of NumPyro itself to find a start with a finite density


class NumPyroDensity:
    """A NumPyro model with its arguments, as a density of an unconstrained vector z.

    Args:
        function: of NumPyro primitives; all its latent sites are continuous.
        args: its positional arguments.
        kwargs: its keyword arguments.
        values: constrained values at which the model is traced; None: random ones.

    Attributes:
        function: as it was given.
        args: likewise.
        kwargs: likewise.

    Raises:
        UsageError: the model cannot be run, has a site that NUTS cannot move, or does not fit the
            values.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        values: Sites | None = None,
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs or {}
        self._values = values
        _ = self.layout  # a model that cannot be used raises its error now

    @property
    def name(self) -> str:
        """What the model's function is called."""
        return numpyro_sites.model_name(self.function)

    @cached_property
    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of the model, copied; `precision.copy_for_tracing` says why."""
        return copy_for_tracing(tuple(self.args)), copy_for_tracing(dict(self.kwargs))

    @contextmanager
    def computing(self) -> Iterator[None]:
        """A context in which to run the model: float64, and its errors as `UsageError`."""
        with float64(), numpyro_sites.model_errors_as_usage_errors(self.function):
            yield

    @cached_property
    def trace(self) -> numpyro_sites.Trace:
        """Every site of the model, at the values that were given or at random ones."""
        with self.computing():
            values = {} if self._values is None else jax_float64(self._values)
            trace = numpyro_sites.traced(self.function, *self.inputs, values)
            latent = numpyro_sites.latent_sites(trace)
            if self._values is not None:
                numpyro_sites.check_values(latent, values)
        return trace

    @cached_property
    def layout(self) -> CoordinateLayout:
        """Where each latent site stands among the coordinates of z."""
        latent = numpyro_sites.latent_sites(self.trace)
        with self.computing():
            z = self.to_unconstrained({name: latent[name]["value"] for name in sorted(latent)})
        return CoordinateLayout({name: tuple(jnp.shape(z[name])) for name in sorted(latent)})

    @property
    def sites(self) -> Mapping[str, tuple[int, ...]]:
        """Unconstrained shape of each latent site, sorted by name."""
        return self.layout.shapes

    @property
    def coordinates(self) -> tuple[str, ...]:
        """A label for each coordinate, such as `x[0]`; a scalar site is its bare name."""
        return self.layout.coordinates

    @property
    def dimension(self) -> int:
        """Number of unconstrained coordinates d."""
        return self.layout.dimension

    def to_constrained(self, z: Array) -> dict[str, Array]:
        """`x = T(z)` by NumPyro's own bijectors, for z of shape (d,)."""
        from numpyro.infer.util import constrain_fn

        seeded = numpyro_sites.seeded(self.function)
        return constrain_fn(seeded, *self.inputs, self.layout.unflatten(z))

    def to_unconstrained(self, x: Sites) -> dict[str, Array]:
        """`z = T⁻¹(x)` by NumPyro's own bijectors, for constrained values of all sites."""
        from numpyro.infer.util import unconstrain_fn

        return unconstrain_fn(numpyro_sites.seeded(self.function), *self.inputs, dict(x))

    def log_density(self, z: Array) -> Array:
        """The log density that NumPyro samples, Jacobian included, at z of shape (d,)."""
        from numpyro.infer.util import potential_energy

        seeded = numpyro_sites.seeded(self.function)
        return -potential_energy(seeded, *self.inputs, self.layout.unflatten(z))

    @cached_property
    def forward_mode(self) -> bool:
        """Whether only forward mode gives the gradient, as through `jax.lax.while_loop`."""
        with self.computing():
            return needs_forward_mode(self.log_density, jnp.zeros(self.dimension))

    @cached_property
    def derivatives(self) -> str:
        """By which mode the log density is differentiated twice."""
        with self.computing():
            return how_twice(self.log_density, jnp.zeros(self.dimension))

    def default_starts(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Points at which NumPyro starts chains by default: uniform on (-2, 2) in z.

        Args:
            generator: of the random numbers.
            count: how many points.

        Returns:
            Points with a finite density and gradient, shape (count, d).

        Raises:
            UsageError: in a hundred attempts there were too few of them.
        """
        with self.computing():
            slope = gradient(self.log_density)

            def valid(z: Array) -> Array:
                return jnp.isfinite(self.log_density(z)) & jnp.all(jnp.isfinite(slope(z)))

            all_valid = jax.jit(lambda points: jax.lax.map(valid, points))
            found: list[np.ndarray] = []
            for _ in range(_ATTEMPTS):
                points = generator.uniform(-2, 2, (count, self.dimension))
                found += list(points[np.asarray(all_valid(jnp.asarray(points)))])
                if len(found) >= count:
                    return np.stack(found[:count])
        tried = _ATTEMPTS * count
        raise UsageError(
            f"the log density or its slope is not finite at {tried - len(found)} of "
            f"{tried} points of z between -2 and 2, where NumPyro starts: rescale the model"
        )


def jax_float64(values: Sites) -> dict[str, Array]:
    """Values as float64 arrays of JAX, which NumPyro's `scan` can index; call it in `float64()`."""
    return {name: jnp.asarray(value) for name, value in float64_arrays(values).items()}
