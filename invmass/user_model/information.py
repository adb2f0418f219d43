"""The Fisher information of a NumPyro model at a point, in the unconstrained space of NumPyro.

Expected, `Jηᵀ I(η) Jη`, for each observed site whose distribution is known; else observed, minus
the Hessian of the site's log density. Source: Lehmann & Casella, *Theory of Point Estimation*, §2.6
(chain rule of the information).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from invmass.errors import SingularFisherError
from invmass.model.derivatives import hessian, jacobian
from invmass.model.distributions import Array
from invmass.model.fisher import invert_information
from invmass.user_model import numpyro_sites
from invmass.user_model.distribution_information import Likelihood, likelihood_of, rule_of
from invmass.user_model.numpyro_density import NumPyroDensity

Kind = Literal["expected", "observed", "mixed"]


@dataclass(frozen=True, eq=False)
class ModelInformation:
    """The information of a model's observations, and the curvature of its prior, at a point.

    Matrices have shape (d, d), float64.

    Args:
        density: the model.
        position: z* at which the information is taken, shape (d,).
        prior: whether the curvature of the prior is added. None: only where the information of
            the observations alone is singular.
    """

    density: NumPyroDensity
    position: np.ndarray
    prior: bool | None = None

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """For each observed site "expected", or "observed" and why its information is not known."""
        sites = numpyro_sites.observed_sites(self.density.trace)
        slopes = self._compute(jacobian(self._data))
        return {
            name: _source(site["fn"], bool(np.any(slopes.get(name, 0.0))))
            for name, site in sites.items()
        }

    @property
    def kind(self) -> Kind:
        """Which information this is; "mixed" if expected for some sites, observed for others."""
        kinds = {source.partition(":")[0] for source in self.sources.values()} or {"expected"}
        if len(kinds) > 1:
            return "mixed"
        return "expected" if "expected" in kinds else "observed"

    @cached_property
    def likelihood_information(self) -> np.ndarray:
        """Information of the observations alone.

        Where a distribution depends on other data, as in a time series, it is the information given
        these data.
        """
        expected = [name for name, source in self.sources.items() if source == "expected"]
        observed = [name for name in self.sources if name not in expected]

        def information(z: Array) -> Array:
            likelihoods = self._likelihoods(z, expected)
            slopes = jacobian(
                lambda v: {name: each.parameters for name, each in self._likelihoods(v, expected)}
            )(z)
            total = -hessian(lambda v: self._log_likelihood(v, observed))(z)
            return total + sum(each.information(slopes[name]) for name, each in likelihoods)

        return self._compute(information)

    @cached_property
    def prior_information(self) -> np.ndarray:
        """Minus the Hessian of the log prior density in z, Jacobian included."""

        def log_prior(z: Array) -> Array:
            return self.density.log_density(z) - self._log_likelihood(z, list(self.sources))

        return -self._compute(hessian(log_prior))

    @cached_property
    def with_prior(self) -> bool:
        """Whether the prior is counted: as asked for, else only where it has to be."""
        if self.prior is not None:
            return self.prior
        try:
            self.inverse(prior=False)
        except SingularFisherError:
            return True
        return False

    def inverse(self, prior: bool) -> np.ndarray:
        """Inverse of the information of the observations, or of that and the prior's curvature.

        Args:
            prior: whether minus the Hessian of the log prior in z, Jacobian included, is added.

        Raises:
            SingularFisherError: names the direction about which the information says nothing.
        """
        cache = self.__dict__.setdefault("_inverses", {})
        if prior not in cache:
            information = self.likelihood_information
            information = information + self.prior_information if prior else information
            cache[prior] = invert_information(information, self.density.coordinates)
        return cache[prior]

    @cached_property
    def inverse_fisher(self) -> np.ndarray:
        """The inverse, with the prior's curvature if `with_prior`.

        Raises:
            SingularFisherError: names the direction about which the model says nothing.
        """
        try:
            return self.inverse(self.with_prior)
        except SingularFisherError as error:
            if not self.with_prior:
                raise
            problem = str(error).partition(" Add a prior")[0]
            raise SingularFisherError(f"{problem} The prior is counted already.") from None

    @cached_property
    def inverses(self) -> Mapping[str, np.ndarray]:
        """The inverse with the prior's curvature and without, where there is one."""
        found = {}
        for name, prior in (("of the observations alone", False), ("with the prior", True)):
            try:
                found[name] = self.inverse(prior)
            except SingularFisherError:
                continue
        return found

    def _compute(self, function: Callable[[Array], Any]) -> Any:
        """A function of z at `position`, compiled, in float64, as NumPy arrays."""
        with self.density.computing():
            return jax.tree.map(np.asarray, jax.jit(function)(jnp.asarray(self.position)))

    def _observed_at(self, z: Array) -> dict[str, Any]:
        density = self.density
        x = density.to_constrained(z)
        trace = numpyro_sites.traced(density.function, *density.inputs, x)
        return numpyro_sites.observed_sites(trace)

    def _data(self, z: Array) -> dict[str, Array]:
        """The observed values that might depend on z: those that are floats."""
        values = {name: jnp.asarray(site["value"]) for name, site in self._observed_at(z).items()}
        return {name: v for name, v in values.items() if jnp.issubdtype(v.dtype, jnp.floating)}

    def _likelihoods(self, z: Array, names: Sequence[str]) -> list[tuple[str, Likelihood]]:
        sites = self._observed_at(z)
        return [
            (name, likelihood_of(sites[name]["fn"], sites[name]["value"], sites[name]["scale"]))
            for name in names
        ]

    def _log_likelihood(self, z: Array, names: Sequence[str]) -> Array:
        """Log density of the observed sites that are named, a scalar."""
        from numpyro.infer.util import compute_log_probs

        density = self.density
        seeded, x = numpyro_sites.seeded(density.function), density.to_constrained(z)
        each, _ = compute_log_probs(seeded, *density.inputs, x)
        return sum((each[name] for name in names), start=jnp.zeros(()))


def _source(distribution: Any, depends: bool) -> str:
    if depends:
        return "observed: its value depends on the parameters"
    if rule_of(distribution) is None:
        return f"observed: no Fisher information is known here of {type(distribution).__name__}"
    return "expected"
