"""A NumPyro model of the user's: where it is judged, and its inverse Fisher information there.

A NumPyro model states its priors in NumPyro's distributions, which may depend on each other, so it
is no `Case`: it has no reference by quadrature and no exact draws. It has a point, the log density
that NumPyro samples, and the information of its observations.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from invmass.errors import NoModeError, SingularFisherError, UsageError
from invmass.model.mode import find_mode
from invmass.model.posterior import Sites
from invmass.model.precision import float64
from invmass.user_model.information import Kind, ModelInformation
from invmass.user_model.metric_structure import MetricStructure, Structure
from invmass.user_model.numpyro_density import NumPyroDensity, jax_float64


class NumPyroModel(NumPyroDensity):
    """A NumPyro model with a point at which its Fisher information is taken.

    Coordinates are those of NumPyro's own inverse mass matrix: sites sorted by name, each row by
    row, unconstrained by NumPyro's own bijectors. Matrices have shape (d, d), float64.

    Args:
        model: a function of NumPyro primitives, whose latent sites are all continuous.
        truth: constrained value of every latent site, or "map": the mode of the density in z,
            Jacobian included, which is the density that the sampler sees.
        args: positional arguments of the model.
        prior: whether minus the Hessian of the log prior (in z, Jacobian included) is added to the
            information of the observations. None: only where that is singular, as it is in every
            hierarchical model, whose observations say nothing about its topmost parameters.
        kwargs: keyword arguments of the model. `from_arguments` takes those that are called
            `model`, `truth` or `prior`.

    Raises:
        UsageError: the model cannot be run, has a site that NUTS cannot move, or does not fit the
            values.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        truth: Sites | Literal["map"] = "map",
        *args: Any,
        prior: bool | None = None,
        **kwargs: Any,
    ) -> None:
        self._set_up(model, truth, args, kwargs, prior)

    @classmethod
    def from_arguments(
        cls,
        model: Callable[..., Any],
        truth: Sites | Literal["map"] = "map",
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        prior: bool | None = None,
    ) -> "NumPyroModel":
        """The same, with the model's arguments as a tuple and a mapping.

        Args:
            model: as the class takes it.
            truth: likewise.
            args: positional arguments of the model.
            kwargs: keyword arguments of the model, of any names.
            prior: as the class takes it.

        Raises:
            UsageError: as the class does.
        """
        made = cls.__new__(cls)
        made._set_up(model, truth, args, kwargs or {}, prior)
        return made

    def _set_up(
        self,
        model: Callable[..., Any],
        truth: Sites | Literal["map"],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        prior: bool | None,
    ) -> None:
        if isinstance(truth, str) and truth != "map":
            raise UsageError(
                f"the point is a dictionary of constrained values or 'map', not {truth!r}"
            )
        self.truth, self.prior = truth, prior
        super().__init__(model, args, kwargs, None if isinstance(truth, str) else truth)

    def counting_prior(self, prior: bool | None) -> "NumPyroModel":
        """The same model at the same point, with another choice of `prior`."""
        return self.from_arguments(self.function, self.truth, self.args, self.kwargs, prior)

    # -- the point

    @property
    def at_mode(self) -> bool:
        """Whether the point is the mode in z, and not values that were given."""
        return isinstance(self.truth, str)

    @cached_property
    def position(self) -> np.ndarray:
        """z* at which the information is taken, shape (d,).

        Raises:
            NoModeError: no mode was found.
            UsageError: a value on the edge of its site's support.
        """
        with self.computing():
            if isinstance(self.truth, str):
                return find_mode(self.log_density, self.coordinates)
            values = self.to_unconstrained(jax_float64(self.truth))
            z = np.asarray(self.layout.flatten(values))
        for name, part in self.layout.slices.items():
            if not np.all(np.isfinite(z[part])):
                raise UsageError(f"the value of site {name!r} lies on the edge of its support")
        return z

    @cached_property
    def point(self) -> dict[str, np.ndarray]:
        """The same point in constrained space."""
        with float64():
            x = self.to_constrained(jnp.asarray(self.position))
        return {name: np.asarray(x[name]) for name in self.sites}

    # -- the information there

    @cached_property
    def information(self) -> ModelInformation:
        """The information of the observations and the curvature of the prior at `position`."""
        return ModelInformation(self, self.position, self.prior)

    @property
    def sources(self) -> Mapping[str, str]:
        """For each observed site "expected", or "observed" and why its information is not known."""
        return self.information.sources

    @property
    def kind(self) -> Kind:
        """Which information this is: "expected", "observed" or "mixed"."""
        return self.information.kind

    @property
    def with_prior(self) -> bool:
        """Whether the prior is counted: as asked for, else only where it has to be."""
        return self.information.with_prior

    @cached_property
    def inverse_fisher(self) -> np.ndarray:
        """Inverse Fisher information in z at `position`.

        Raises:
            SingularFisherError: names the direction about which the model says nothing.
            NoModeError: there is no point at which to take the information.
        """
        return self.information.inverse_fisher

    @property
    def inverses(self) -> Mapping[str, np.ndarray]:
        """The inverse information with the prior's curvature and without, where there is one."""
        return self.information.inverses

    @cached_property
    def why_no_fisher(self) -> str | None:
        """Why there is no inverse Fisher information, if there is none.

        Raises:
            UsageError: the model cannot be run, or the point lies on the edge of a support.
        """
        try:
            _ = self.inverse_fisher
        except NoModeError as error:
            return error.reason
        except SingularFisherError as error:
            return str(error).rstrip(".")
        return None

    # -- for NumPyro

    def metric(self, structure: Structure) -> MetricStructure:
        """The entries of a metric, and NumPyro's dictionary of them.

        Args:
            structure: "diagonal", "dense", or a list of tuples of sites, each of them a dense
                block; the other sites are diagonal, as with NumPyro's `dense_mass`.

        Raises:
            UsageError: no such structure.
        """
        return MetricStructure(self.layout, structure)

    def inverse_mass_matrix(
        self, structure: Structure, matrix: np.ndarray | None = None
    ) -> dict[tuple[str, ...], jax.Array]:
        """The inverse Fisher as NumPyro takes it: `NUTS(model, inverse_mass_matrix=…)`.

        Keys are tuples of sites, sorted by name, or as they were given in a block, which is the
        order of its rows. A diagonal block holds the diagonal of the inverse.

        Args:
            structure: as `metric` takes it.
            matrix: another matrix in place of the inverse Fisher, shape (d, d).

        Raises:
            UsageError: no such structure.
            SingularFisherError: there is no inverse.
        """
        metric = self.metric(structure)
        return metric.dictionary(self.inverse_fisher if matrix is None else matrix)

    def dense_mass(self, structure: Structure) -> list[tuple[str, ...]]:
        """What NumPyro's `dense_mass` must be for that dictionary."""
        return self.metric(structure).dense_mass
