"""A case: a posterior with its true parameters, and the exact answers that samplers must give."""

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
    """A posterior, stated once for all backends.

    Args:
        name: name on the command line; variants of one problem have the same text before the dash.
        summary: a description in one line, with the formula.
        sites: prior of each parameter, in declared order.
        observations: data and their distributions as functions of the sites.
        truth: the constrained parameters x* at which the Fisher information is evaluated.
        groups: groups of sites that are independent of each other in the posterior, if there are
            several; each group is integrated separately.
        gaussian: sites that are jointly normal given the others; integrated in closed form.
        prior_informs: whether the information includes the curvature of the prior, which is needed
            if the data alone do not identify the parameters.
        diagonal_only: whether dense metrics are left out, as in one dimension.
        structured: whether low-rank and block metrics are checked on this case in the full tier,
            also if the case is not in the quick tier.
        source: where real data come from, and their licence.
        tier: "quick" if the case is checked in both tiers, "full" if in the full tier only,
            "named" if only when the user names the case.
        version: to be increased when the problem changes, so that old rows are not compared with
            new ones.
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
        """Deprecated: use `invmass.NumPyroModel(model, truth, …)`; the result is not a `Case`."""
        from invmass.user_model.numpyro_model import NumPyroModel

        warnings.warn(
            "Case.from_numpyro(model, truth, …) is now invmass.NumPyroModel(model, truth, …)",
            DeprecationWarning,
            stacklevel=2,
        )
        return NumPyroModel.from_arguments(model, truth_or_map, args, kwargs, prior)

    @cached_property
    def posterior(self) -> Posterior:
        """The posterior density of the case."""
        return Posterior(self.sites, self.observations)

    @property
    def dimension(self) -> int:
        """Number of unconstrained coordinates d."""
        return self.posterior.dimension

    @cached_property
    def reference(self) -> Quadrature | IndependentQuadratures | Gaussian | ConditionallyGaussian:
        """Moments and exact draws in our own unconstrained space, computed without a sampler.

        Raises:
            UsageError: the groups do not name each site exactly once.
        """
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
        """Moments of the free constrained coordinates, which `Support.free` defines."""
        return self.reference.moments(self._free_points)

    @property
    def truth_in_own_space(self) -> "Truth":
        """The exact answers in our own unconstrained space, that of Stan up to 2.36."""
        return self.truth_in(self.posterior.default_transforms)

    def truth_in(self, transforms: Transforms) -> "Truth":
        """The exact answers in the unconstrained space of these bijectors, computed once."""
        cache = self.__dict__.setdefault("_truths", {})
        return cache.setdefault(tuple(transforms.items()), Truth(self, transforms))


@dataclass(frozen=True, eq=False)
class Truth:
    """The exact answers for a case in one unconstrained space, all computed without a sampler.

    Matrices have shape (d, d), in float64, with the coordinates in declared order.

    Attributes:
        case: the posterior.
        transforms: the bijector of each site.
    """

    case: Case
    transforms: Transforms

    @cached_property
    def free_to_unconstrained(self) -> Callable[[np.ndarray], np.ndarray]:
        """A function from rows of free constrained coordinates to rows of z, (N, d), in float64."""
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
        """A function from rows of z to `log π(z)`, shape (N,), in JAX's present precision."""
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
        """Inverse of the expected Fisher information at z*; see `Case.prior_informs`."""
        return self._inverse_fisher(self.case.truth, "z")

    @cached_property
    def constrained_inverse_fisher(self) -> np.ndarray:
        """Inverse Fisher information at x* in constrained space, a common wrong reference."""
        return self._inverse_fisher(self.case.truth, "x")

    @cached_property
    def misplaced_inverse_fisher(self) -> np.ndarray:
        """Inverse Fisher information in z at `z = x*` instead of z*, a common wrong reference."""
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
        """Distance of Cov(z) from the inverse Fisher (`whitening.gap`), which may be infinite."""
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
