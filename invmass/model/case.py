"""A case: a posterior with its true parameters, and every answer that a sampler is held to."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from invmass.errors import UsageError
from invmass.model import fisher
from invmass.model.bijectors import Transforms
from invmass.model.conditional_gaussian import ConditionallyGaussian, Gaussian
from invmass.model.distributions import Array
from invmass.model.posterior import Observation, Posterior, Site, Sites
from invmass.model.precision import float64, float64_arrays
from invmass.model.quadrature import IndependentQuadratures, Moments, Quadrature, by_rows
from invmass.whitening import gap

if TYPE_CHECKING:
    from invmass.user_model.numpyro_model import NumPyroModel

_START_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Case:
    """A posterior stated once, for every backend.

    Args:
        name: how it is called on the command line; variants of one problem share what stands
            before the dash.
        summary: one line for people, with the formula.
        sites: prior of each parameter, in declared order.
        observations: the data and their distribution as functions of the sites.
        truth: the constrained parameters x* at which the Fisher information is taken.
        groups: the sites in groups that are independent of each other, if there are several;
            each is integrated by itself.
        gaussian: sites that are jointly normal given the others; integrated in closed form.
        prior_informs: whether the information includes the curvature of the prior; it must where
            the data say too little alone.
        diagonal_only: whether dense metrics are left out, as of one coordinate, which has no other.
        structured: whether metrics of low rank and of blocks are judged on it, where they are
            neither the dense metric nor the diagonal one; in the full tier alone.
        source: where the data come from, and their licence, if they are real.
        tier: "quick", "full" if it is left out unless that tier is asked for, or "named" if it is
            left out of both.
        version: raised when the problem changes, so that old rows are not compared with new.
    """

    name: str
    summary: str
    sites: Mapping[str, Site]
    observations: Mapping[str, Observation]
    truth: Sites
    groups: tuple[tuple[str, ...], ...] = ()
    gaussian: tuple[str, ...] = ()
    prior_informs: bool = False
    diagonal_only: bool = False
    structured: bool = False
    source: str = ""
    tier: Literal["quick", "full", "named"] = "quick"
    version: int = 1

    @staticmethod
    def from_numpyro(
        model: Callable[..., Any],
        truth_or_map: Sites | Literal["map"],
        *args: Any,
        prior: bool | None = None,
        **kwargs: Any,
    ) -> "NumPyroModel":
        """The old name of `invmass.NumPyroModel(model, truth, …)`, which is no case. Deprecated."""
        from invmass.user_model.numpyro_model import NumPyroModel

        warnings.warn(
            "Case.from_numpyro(model, truth, …) is now invmass.NumPyroModel(model, truth, …)",
            DeprecationWarning,
            stacklevel=2,
        )
        return NumPyroModel.from_arguments(model, truth_or_map, args, kwargs, prior)

    @cached_property
    def posterior(self) -> Posterior:
        """The mathematics behind the case."""
        return Posterior(self.sites, self.observations)

    @property
    def dimension(self) -> int:
        """Number of unconstrained coordinates d."""
        return self.posterior.dimension

    @cached_property
    def reference(self) -> Quadrature | IndependentQuadratures | Gaussian | ConditionallyGaussian:
        """Moments and exact draws in our own unconstrained space, without a sampler."""
        posterior = self.posterior
        with float64():
            z = posterior.to_unconstrained(float64_arrays(self.truth))
            start = np.asarray(posterior.flatten(z))

        if self.groups:
            if sorted(name for group in self.groups for name in group) != sorted(self.sites):
                raise UsageError(f"the groups of case {self.name!r} must name each site once")
            groups = [posterior.layout.indices(group) for group in self.groups]
            return IndependentQuadratures(posterior.log_density, start, groups)
        if not self.gaussian:
            return Quadrature.of(posterior.log_density, start)
        if set(self.gaussian) == set(self.sites):
            return Gaussian(posterior.log_density, start)
        inner = posterior.layout.indices(self.gaussian)
        return ConditionallyGaussian(posterior.log_density, start, inner)

    def starts(self, seed: int, count: int) -> np.ndarray:
        """Exact independent draws of the free constrained coordinates, shape (count, d).

        The first draws do not depend on `count`.
        """
        blocks = range(-(-count // _START_BLOCK))
        return np.concatenate([self._start_block(seed, block) for block in blocks])[:count]

    def _start_block(self, seed: int, block: int) -> np.ndarray:
        cache = self.__dict__.setdefault("_start_blocks", {})
        if (seed, block) not in cache:
            draws = self.reference.exact_draws(_START_BLOCK, (seed, block))
            cache[seed, block] = self.truth_in_own_space.unconstrained_to_free(draws)
        return cache[seed, block]

    @cached_property
    def _free_points(self) -> np.ndarray:
        return self.truth_in_own_space.unconstrained_to_free(self.reference.points)

    @cached_property
    def constrained_moments(self) -> Moments:
        """Moments of the free constrained coordinates."""
        return self.reference.moments(self._free_points)

    @property
    def truth_in_own_space(self) -> "Truth":
        """The answers where our own bijectors, which are Stan's, define z."""
        return self.truth_in(self.posterior.default_transforms)

    def truth_in(self, transforms: Transforms) -> "Truth":
        """The answers in the unconstrained space that `transforms` define, computed once."""
        cache = self.__dict__.setdefault("_truths", {})
        return cache.setdefault(tuple(transforms.items()), Truth(self, transforms))


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of a case in one unconstrained space; nothing here comes from a sampler.

    Matrices have shape (d, d), float64, coordinates in declared order.
    """

    case: Case
    transforms: Transforms

    @cached_property
    def free_to_unconstrained(self) -> Callable[[np.ndarray], np.ndarray]:
        """Turns rows of free constrained coordinates into rows of z, shape (N, d), in float64."""
        posterior = self.case.posterior

        def to_z(v: Array) -> Array:
            x = posterior.from_free(v)
            return posterior.flatten(posterior.to_unconstrained(x, self.transforms))

        return by_rows(to_z)

    @cached_property
    def unconstrained_to_free(self) -> Callable[[np.ndarray], np.ndarray]:
        """The inverse of `free_to_unconstrained`."""
        posterior = self.case.posterior

        def to_free(z: Array) -> Array:
            return posterior.free(posterior.to_constrained(posterior.unflatten(z), self.transforms))

        return by_rows(to_free)

    @cached_property
    def log_densities(self) -> Callable[[np.ndarray], Array]:
        """Unconstrained log densities of rows of z, shape (N,), in the ambient precision."""
        log_density = self.case.posterior.log_density
        return jax.jit(jax.vmap(lambda z: log_density(z, self.transforms)))

    @cached_property
    def position(self) -> np.ndarray:
        """`z* = T⁻¹(x*)`, shape (d,)."""
        posterior = self.case.posterior
        with float64():
            z = posterior.to_unconstrained(float64_arrays(self.case.truth), self.transforms)
            return np.asarray(posterior.flatten(z))

    @cached_property
    def inverse_fisher(self) -> np.ndarray:
        """Inverse of the expected Fisher information at z*, of the prior too if it informs."""
        return self._inverse_fisher(self.case.truth, "z")

    @cached_property
    def constrained_inverse_fisher(self) -> np.ndarray:
        """Inverse Fisher at x* in constrained space: the first wrong reference."""
        return self._inverse_fisher(self.case.truth, "x")

    @cached_property
    def misplaced_inverse_fisher(self) -> np.ndarray:
        """Inverse Fisher in z, evaluated with x* where z* belongs: the second wrong reference."""
        posterior = self.case.posterior
        with float64():
            free = posterior.free(float64_arrays(self.case.truth))
            as_if_z = posterior.unflatten(jnp.asarray(free))
            x = posterior.to_constrained(as_if_z, self.transforms)
        return self._inverse_fisher(x, "z")

    def starts(self, seed: int, count: int) -> np.ndarray:
        """Exact independent draws of z, shape (count, d); the first do not depend on `count`."""
        blocks = -(-count // _START_BLOCK)
        cache = self.__dict__.setdefault("_starts", {})
        if (seed, blocks) not in cache:
            free = self.case.starts(seed, blocks * _START_BLOCK)
            cache[seed, blocks] = self.free_to_unconstrained(free)
        return cache[seed, blocks][:count]

    @cached_property
    def moments(self) -> Moments:
        """Mean, covariance and kurtosis of z."""
        points = self.free_to_unconstrained(self.case._free_points)
        return self.case.reference.moments(points)

    @property
    def gap(self) -> float:
        """How far Cov(z) is from the inverse Fisher, in whitened entries; infinite if it is."""
        covariance = self.moments.covariance
        return gap(covariance, self.inverse_fisher) if np.all(np.isfinite(covariance)) else np.inf

    @cached_property
    def score_covariance(self) -> np.ndarray:
        """`Cov(∇ log π(z)) = E[-∇² log π(z)]`."""
        posterior = self.case.posterior
        points = self.free_to_unconstrained(self.case._free_points)
        scores = by_rows(jax.grad(lambda z: posterior.log_density(z, self.transforms)))(points)
        return self.case.reference.moments(scores).covariance

    def _inverse_fisher(self, x: Sites, space: fisher.Space) -> np.ndarray:
        answer = fisher.expected(
            self.case.posterior,
            x,
            space=space,
            transforms=self.transforms,
            prior=self.case.prior_informs,
            invert=True,
            flat=True,
        )
        assert isinstance(answer, np.ndarray)
        return answer
