"""A user's own NumPyro model: where it is judged, and the inverse Fisher information there.

A NumPyro model states its priors in NumPyro's distributions, which may depend on each other, so it
is no `Case`: it has no truth by quadrature and no exact draws. What it has is a point, the log
density that NumPyro samples, and the information of its observations. Coordinates are those of
NumPyro's own inverse mass matrix: sites sorted by name, each row by row, unconstrained by NumPyro's
own bijectors. Everything is computed in float64.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from invmass.errors import NoModeError, SingularFisherError, UsageError
from invmass.model.derivatives import gradient, hessian, how_twice, jacobian, needs_forward_mode
from invmass.model.distributions import Array
from invmass.model.fisher import invert_information
from invmass.model.mode import find_mode
from invmass.model.posterior import Sites
from invmass.model.precision import copy_for_tracing, float64
from invmass.user_model import numpyro_sites
from invmass.user_model.numpyro_information import Likelihood, likelihood_of, rule_of

Kind = Literal["expected", "observed", "mixed"]
Structure = str | Sequence[tuple[str, ...]]  # "diagonal", "dense", or dense blocks of sites
Block = tuple[tuple[str, ...], bool]  # its sites, and whether it is dense


@dataclass(frozen=True, eq=False)
class OwnModel:
    """A NumPyro model with a point at which its Fisher information is taken.

    Args:
        model: a function of NumPyro primitives, whose latent sites are all continuous.
        truth_or_map: constrained value of every latent site, or "map": the mode of the density in
            z, Jacobian included, which is the one that the sampler sees.
        args: positional arguments of the model.
        kwargs: keyword arguments of the model.
        prior: whether minus the Hessian of the log prior (in z, Jacobian included) is added to the
            information of the observations. None: only where that is singular, as it is in every
            hierarchical model, whose observations say nothing about its topmost parameters.

    Raises:
        UsageError: the model cannot be run, has a site that NUTS cannot move, or does not fit the
            values.
    """

    model: Callable[..., Any]
    truth_or_map: Sites | Literal["map"] = "map"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    prior: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.truth_or_map, str) and self.truth_or_map != "map":
            raise UsageError(
                f"the point is a dictionary of constrained values or 'map', "
                f"not {self.truth_or_map!r}"
            )
        _ = self.sites  # so that a model that cannot be used is told at once

    # -- the model

    @cached_property
    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of the model, copied (`precision.copy_for_tracing` says why)."""
        return copy_for_tracing(tuple(self.args)), copy_for_tracing(dict(self.kwargs))

    @cached_property
    def _trace(self) -> numpyro_sites.Trace:
        with float64(), numpyro_sites.told(self.model):
            x = {} if isinstance(self.truth_or_map, str) else _float64(self.truth_or_map)
            trace = numpyro_sites.traced(self.model, *self.inputs, x)
            latent = numpyro_sites.latent_sites(trace)
            if not isinstance(self.truth_or_map, str):
                numpyro_sites.check_values(latent, x)
        return trace

    @cached_property
    def sites(self) -> Mapping[str, tuple[int, ...]]:
        """Unconstrained shape of each latent site, sorted by name."""
        latent = numpyro_sites.latent_sites(self._trace)
        with float64(), numpyro_sites.told(self.model):
            z = self.to_unconstrained({name: latent[name]["value"] for name in sorted(latent)})
        return {name: tuple(jnp.shape(z[name])) for name in sorted(latent)}

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Which coordinates belong to each site."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.sites.values())])
        return {
            name: slice(int(a), int(b))
            for name, a, b in zip(self.sites, ends[:-1], ends[1:], strict=True)
        }

    @cached_property
    def coordinates(self) -> tuple[str, ...]:
        """A label for each coordinate, such as `x[0]`; a scalar site is its bare name."""
        return tuple(
            name + (f"[{','.join(map(str, index))}]" if index else "")
            for name, shape in self.sites.items()
            for index in np.ndindex(*shape)
        )

    @property
    def dimension(self) -> int:
        """Number of unconstrained coordinates d."""
        return len(self.coordinates)

    def flatten(self, z: Sites) -> Array:
        """Unconstrained sites as one vector, shape (d,)."""
        return jnp.concatenate([jnp.ravel(z[name]) for name in self.sites])

    def unflatten(self, z: Array) -> dict[str, Array]:
        """A vector of shape (d,) as unconstrained sites."""
        return {
            name: jnp.reshape(z[self.slices[name]], shape) for name, shape in self.sites.items()
        }

    def to_constrained(self, z: Array) -> dict[str, Array]:
        """`x = T(z)` by NumPyro's own bijectors, for z of shape (d,)."""
        from numpyro.infer.util import constrain_fn

        model = numpyro_sites.seeded(self.model)
        return constrain_fn(model, *self.inputs, self.unflatten(z))

    def log_density(self, z: Array) -> Array:
        """The log density that NumPyro samples, at z of shape (d,)."""
        from numpyro.infer.util import potential_energy

        model = numpyro_sites.seeded(self.model)
        return -potential_energy(model, *self.inputs, self.unflatten(z))

    def to_unconstrained(self, x: Sites) -> dict[str, Array]:
        """Unconstrained sites by NumPyro's own bijectors, for constrained values of all of them."""
        from numpyro.infer.util import unconstrain_fn

        return unconstrain_fn(numpyro_sites.seeded(self.model), *self.inputs, dict(x))

    def default_starts(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Where NumPyro starts chains unless it is told otherwise: uniform on (-2, 2) in z.

        Of them those with a finite density and slope, shape (count, d).

        Raises:
            UsageError: hardly any is.
        """
        with float64(), numpyro_sites.told(self.model):
            slope = gradient(self.log_density)

            def valid(z: Array) -> Array:
                return jnp.isfinite(self.log_density(z)) & jnp.all(jnp.isfinite(slope(z)))

            some = jax.jit(lambda points: jax.lax.map(valid, points))
            found: list[np.ndarray] = []
            for _ in range(100):  # as many attempts as NumPyro makes
                points = generator.uniform(-2, 2, (count, self.dimension))
                found += list(points[np.asarray(some(jnp.asarray(points)))])
                if len(found) >= count:
                    return np.stack(found[:count])
        raise UsageError(
            f"the log density or its slope is not finite at {100 * count - len(found)} of "
            f"{100 * count} points of z between -2 and 2, where NumPyro starts: rescale the model"
        )

    # -- the point

    @cached_property
    def position(self) -> np.ndarray:
        """z* at which the information is taken, shape (d,).

        Raises:
            NoModeError: no mode was found.
            UsageError: a value on the edge of its site's support.
        """
        with float64(), numpyro_sites.told(self.model):
            if isinstance(self.truth_or_map, str):
                return find_mode(self.log_density, self.coordinates)
            z = np.asarray(self.flatten(self.to_unconstrained(_float64(self.truth_or_map))))
        for name, part in self.slices.items():
            if not np.all(np.isfinite(z[part])):
                raise UsageError(f"the value of site {name!r} lies on the edge of its support")
        return z

    @cached_property
    def point(self) -> dict[str, np.ndarray]:
        """The same point in constrained space."""
        with float64():
            x = self.to_constrained(jnp.asarray(self.position))
        return {name: np.asarray(x[name]) for name in self.sites}

    @cached_property
    def forward_mode(self) -> bool:
        """Whether the gradient is to be had by forward mode alone, as of `jax.lax.while_loop`."""
        with float64(), numpyro_sites.told(self.model):
            return needs_forward_mode(self.log_density, jnp.zeros(self.dimension))

    @cached_property
    def derivatives(self) -> str:
        """How the log density is differentiated twice."""
        with float64(), numpyro_sites.told(self.model):
            return how_twice(self.log_density, jnp.zeros(self.dimension))

    # -- the information

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """For each observed site "expected", or "observed" and why its information is not known."""
        sites = numpyro_sites.observed_sites(self._trace)
        slopes = self._compute(jacobian(self._data))
        return {
            name: _source(site["fn"], bool(np.any(slopes.get(name, 0.0))))
            for name, site in sites.items()
        }

    @property
    def kind(self) -> Kind:
        """Which information it is; "mixed" if expected for some sites and observed for others."""
        kinds = {source.partition(":")[0] for source in self.sources.values()} or {"expected"}
        if len(kinds) > 1:
            return "mixed"
        return "expected" if "expected" in kinds else "observed"

    @cached_property
    def likelihood_information(self) -> np.ndarray:
        """Information of the observations alone, shape (d, d).

        Expected, `Jηᵀ I(η) Jη`, for each site whose distribution is known; else minus the Hessian
        of its log density. Where a distribution depends on other data, as in a time series, it is
        the information given these.
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
        """Minus the Hessian of the log prior density in z, Jacobian included, shape (d, d)."""

        def log_prior(z: Array) -> Array:
            return self.log_density(z) - self._log_likelihood(z, list(self.sources))

        return -self._compute(hessian(log_prior))

    @cached_property
    def with_prior(self) -> bool:
        """Whether the prior is counted: as asked for, else only where it has to be."""
        if self.prior is not None:
            return self.prior
        try:
            self.inverse_information(prior=False)
        except SingularFisherError:
            return True
        return False

    def inverse_information(self, prior: bool) -> np.ndarray:
        """Inverse of the information of the observations, or of that and the prior's curvature.

        Args:
            prior: whether minus the Hessian of the log prior in z, Jacobian included, is added.

        Returns:
            Shape (d, d), at `position`, in z.

        Raises:
            SingularFisherError: names the direction about which they say nothing.
            NoModeError: there is no point at which to take it.
        """
        cache = self.__dict__.setdefault("_inverses", {})
        if prior not in cache:
            information = self.likelihood_information
            information = information + self.prior_information if prior else information
            cache[prior] = invert_information(information, self.coordinates)
        return cache[prior]

    @cached_property
    def inverse_fisher(self) -> np.ndarray:
        """Inverse Fisher information in z at `position`, shape (d, d).

        Raises:
            SingularFisherError: names the direction about which the model says nothing.
            NoModeError: there is no point at which to take it.
        """
        try:
            return self.inverse_information(self.with_prior)
        except SingularFisherError as error:
            if not self.with_prior:
                raise
            told = str(error).partition(" Add a prior")[0]
            raise SingularFisherError(f"{told} The prior is counted already.") from None

    @cached_property
    def inverses(self) -> Mapping[str, np.ndarray]:
        """The inverse information with the prior's curvature and without, where there is one."""
        found = {}
        for name, prior in (("of the observations alone", False), ("with the prior", True)):
            try:
                found[name] = self.inverse_information(prior)
            except SingularFisherError:
                continue
        return found

    @cached_property
    def why_no_fisher(self) -> str | None:
        """Why there is no inverse Fisher information, if there is none.

        Raises:
            UsageError: the model cannot be run, or the point is none of its own.
        """
        try:
            _ = self.inverse_fisher
        except NoModeError as error:
            return error.reason
        except SingularFisherError as error:
            return str(error).rstrip(".")
        return None

    def _compute(self, function: Callable[[Array], Any]) -> Any:
        """A function of z at `position`, compiled, in float64, as NumPy arrays."""
        position = self.position
        with float64(), numpyro_sites.told(self.model):
            return jax.tree.map(np.asarray, jax.jit(function)(jnp.asarray(position)))

    def _observed_at(self, z: Array) -> dict[str, Any]:
        x = self.to_constrained(z)
        return numpyro_sites.observed_sites(numpyro_sites.traced(self.model, *self.inputs, x))

    def _data(self, z: Array) -> dict[str, Array]:
        """The observed values that might depend on z, as floats have it in them."""
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

        model, x = numpyro_sites.seeded(self.model), self.to_constrained(z)
        each, _ = compute_log_probs(model, *self.inputs, x)
        return sum((each[name] for name in names), start=jnp.zeros(()))

    # -- for NumPyro

    def blocks(self, structure: Structure) -> list[Block]:
        """The blocks of a metric, in NumPyro's order.

        Args:
            structure: "diagonal", "dense", or a list of tuples of sites, each of them a dense
                block; the other sites are diagonal, as with NumPyro's `dense_mass`.

        Raises:
            UsageError: not such a structure.
        """
        everything = tuple(self.sites)
        if structure in ("diagonal", "dense"):
            return [(everything, structure == "dense")]
        if isinstance(structure, str) or not all(isinstance(names, tuple) for names in structure):
            raise UsageError(
                "the structure of a metric is 'diagonal', 'dense' or a list of tuples of sites, "
                f"not {structure!r}"
            )
        named = [name for names in structure for name in names]
        unknown = [name for name in named if name not in everything]
        if unknown or len(set(named)) < len(named):
            problem = f"unknown site {unknown[0]!r}" if unknown else "a site stands in two blocks"
            raise UsageError(f"{problem}; the sites are: {', '.join(everything)}")
        rest = tuple(name for name in everything if name not in named)
        return [(tuple(names), True) for names in structure if names] + [(rest, False)] * bool(rest)

    def inverse_mass_matrix(
        self, structure: Structure, matrix: np.ndarray | None = None
    ) -> dict[tuple[str, ...], jax.Array]:
        """The inverse Fisher as NumPyro takes it: `NUTS(model, inverse_mass_matrix=…)`.

        Keys are tuples of sites, sorted by name, or as they were given in a block, which is the
        order of its rows. A diagonal block holds the diagonal of the inverse. Each call makes a
        new dictionary, because NumPyro writes into the one that it is given.

        Args:
            structure: as `blocks` takes it.
            matrix: another matrix in place of the inverse Fisher, shape (d, d).
        """
        whole = self.inverse_fisher if matrix is None else matrix
        matrices = {}
        for names, dense in self.blocks(structure):
            indices = self.indices(names)
            block = whole[np.ix_(indices, indices)]
            matrices[names] = jnp.array(block if dense else np.diag(block), dtype=float)
        return matrices

    def dense_mass(self, structure: Structure) -> list[tuple[str, ...]]:
        """What NumPyro's `dense_mass` must be for that dictionary."""
        return [names for names, dense in self.blocks(structure) if dense]

    def indices(self, names: Sequence[str]) -> np.ndarray:
        """Coordinates of sites, in the order given."""
        return np.concatenate([np.r_[self.slices[name]] for name in names])


def _source(distribution: Any, depends: bool) -> str:
    if depends:
        return "observed: its value depends on the parameters"
    if rule_of(distribution) is None:
        return f"observed: no Fisher information is known here of {type(distribution).__name__}"
    return "expected"


def _float64(x: Sites) -> dict[str, Array]:
    """As arrays of JAX, which NumPyro's `scan` can index; in the context of that precision."""
    return {name: jnp.asarray(value, dtype=np.float64) for name, value in x.items()}
