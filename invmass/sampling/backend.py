"""The contract between a sampler library and the suite.

All arrays are in the case's declared order of coordinates: unconstrained positions as vectors of
shape (d,), metrics as (d,) diagonal or (d, d) dense, blocks and low rank included. A library that
keeps another order is reordered inside its backend, on both sides.
"""

import abc
import enum
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal

import jax
import numpy as np
from jaxtyping import Float, Key, Real, Shaped

from invmass.adaptation.estimators import Estimator
from invmass.errors import BackendFaultError, BackendUnavailableError, UsageError
from invmass.model.bijectors import Transforms
from invmass.model.case import Case
from invmass.whitening import Metric

# Of R replicates; counts are integers or floats.
Metrics = Float[np.ndarray, "R d"] | Float[np.ndarray, "R d d"]  # diagonal or dense
Counts = Real[np.ndarray, " R"]
Keys = Key[jax.Array, " R"]

LogDensity = Callable[[Float[jax.Array, " d"]], Float[jax.Array, ""]]


@dataclass(frozen=True)
class Tuned:
    """What warm-up left behind, for R replicates.

    Attributes:
        inverse_mass_matrix: M⁻¹, shape (R, d) diagonal or (R, d, d) dense.
        step_size: shape (R,).
        position: unconstrained position after warm-up, shape (R, d).
        gradients: evaluations of the gradient over all warm-up, shape (R,).
        acceptance: mean acceptance statistic over warm-up, shape (R,).
        divergences: divergent transitions during warm-up, shape (R,).
        window: draws from which the metric was estimated; 0 if it was supplied and kept.
    """

    inverse_mass_matrix: Metrics
    step_size: Float[np.ndarray, " R"]
    position: Float[np.ndarray, "R d"]
    gradients: Counts
    acceptance: Float[np.ndarray, " R"]
    divergences: Counts
    window: int

    @property
    def replicates(self) -> int:
        """Number of replicates R."""
        return len(self.step_size)

    def check(self, dimension: int, replicates: int, dense: bool, origin: str) -> None:
        """Hold the arrays to the contract.

        Raises:
            BackendFaultError: names the first array that breaks it, and how.
        """
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_PER_REPLICATE, (replicates,))
        shapes["inverse_mass_matrix"] = (replicates, *[dimension] * (2 if dense else 1))
        shapes["position"] = (replicates, dimension)
        for name, shape in shapes.items():
            _check_array(getattr(self, name), shape, f"{origin}: {name}")
        check_metrics(self.inverse_mass_matrix, dimension, dense, origin)

    def save(self, path: Path, names: Sequence[str] = ()) -> None:
        """Write all arrays to one `.npz` file, with coordinates' names if it is to be judged."""
        arrays = asdict(self) | ({"names": np.asarray(names)} if names else {})
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Tuned":
        """Read what `save` wrote.

        Raises:
            UsageError: an array is missing.
        """
        with np.load(path) as file:
            missing = [name for name in cls.__dataclass_fields__ if name not in file]
            if missing:
                raise UsageError(f"{path} lacks the arrays {', '.join(missing)}")
            arrays = {name: file[name] for name in cls.__dataclass_fields__}
        return cls(**arrays | {"window": int(arrays["window"])})


_PER_REPLICATE = ("step_size", "gradients", "acceptance", "divergences")


@dataclass(frozen=True)
class Draws:
    """Draws after warm-up, for R replicates of n draws.

    Attributes:
        position: unconstrained, shape (R, n, d).
        gradients: evaluations of the gradient, shape (R,).
        acceptance: mean acceptance statistic, shape (R,).
        divergences: divergent transitions, shape (R,).
    """

    position: Float[np.ndarray, "R n d"]
    gradients: Counts
    acceptance: Float[np.ndarray, " R"]
    divergences: Counts

    def check(self, dimension: int, replicates: int, count: int, origin: str) -> None:
        """Hold the arrays to the contract.

        Raises:
            BackendFaultError: names the first array that breaks it, and how.
        """
        _check_array(self.position, (replicates, count, dimension), f"{origin}: position")
        for name in ("gradients", "acceptance", "divergences"):
            _check_array(getattr(self, name), (replicates,), f"{origin}: {name}")


@dataclass(frozen=True, eq=False)
class WarmUpRequest:
    """One call of a backend's warm-up: R replicates of one case, each tuned alone.

    Attributes:
        case: the problem.
        metric: the metric to tune, one of the backend's `estimators`.
        keys: JAX random keys, one for each replicate, shape (R,).
        starts: where the replicates start: exact draws of the posterior, unconstrained, in the
            units of z, shape (R, d).
        num_warmup: number of warm-up steps of each replicate.
        inverse_mass_matrix: a supplied M⁻¹ in units of z², shape (d,) or (d, d), the same for all
            replicates; None if no metric is supplied.
        adapt_metric: whether the metric is adapted. If not, the supplied one is kept as it is,
            and only the step size is tuned. If a metric is supplied and adapted, adaptation
            starts from it instead of from the library's own first metric.

    Raises:
        UsageError: `adapt_metric` is false and no metric is supplied.
    """

    case: Case
    metric: str
    keys: Keys
    starts: Float[np.ndarray, "R d"]
    num_warmup: int
    inverse_mass_matrix: Metric | None = None
    adapt_metric: bool = True

    def __post_init__(self) -> None:
        if self.inverse_mass_matrix is None and not self.adapt_metric:
            raise UsageError("adapt_metric=False needs an inverse_mass_matrix, which is then kept")

    def initial_metric(self, dense: bool) -> Metric:
        """The metric to begin with: the supplied one, or the identity.

        Args:
            dense: whether the identity is a matrix, (d, d), or a vector of ones, (d,).
        """
        if self.inverse_mass_matrix is not None:
            return self.inverse_mass_matrix
        identity = np.ones(self.case.dimension, self.starts.dtype)
        return np.diag(identity) if dense else identity


class Unsupported(enum.StrEnum):
    """Why a backend does not tune a metric that other backends tune."""

    NOT_IMPLEMENTED = "not implemented"  # the adapter has to be extended
    NOT_YET = "not yet"  # the library has to be extended
    NEVER = "never"  # the metric would make no sense in this library


class Backend(abc.ABC):
    """One sampler library.

    A subclass is final. It imports its library inside its methods, so that it can be listed where
    the library is not installed. It must define `name`, `estimators`, `warm_up` and `sample`; all
    else has a default.

    Attributes:
        name: the name of the backend on the command line.
        requires: distributions that must be installed, the library itself first.
        extra: the extra of `invmass` that installs them, if there is one.
        estimators: for each metric that the library tunes, the rule by which it does so.
        unsupported: special reasons for metrics that other backends tune and this one does not: a
            word and a sentence. A metric that is neither here nor in `estimators` is reported as
            not tuned, so that nothing need be written about it.
        supports_fixed_metric: whether `warm_up` can keep a supplied metric, and tune only the step
            size (`adapt_metric=False`).
        supports_initial_metric: whether `warm_up` can start adaptation from a supplied metric.
        unregularised: for a metric whose rule shrinks, the name in `estimators` of the metric that
            the library tunes with regularisation switched off. That one is judged only if it is
            named, or by `--no-regularise`.
        default_cases: the cases that the backend is judged on where neither cases nor backends are
            named; None for all.
        default_tier: "full" for a very slow library: unless it is named, it is judged on
            `default_cases` alone, and in the full tier.
        largest_dense: largest number of coordinates for which a dense metric is tuned in
            reasonable time.
        target_acceptance: the acceptance statistic that the step size is tuned for; None if the
            library does not say.
        has_accept_reject: whether each draw is either the end of its trajectory or a repetition of
            the draw before, so that acceptances can be counted in the draws. True of static HMC,
            false of NUTS.
    """

    name: str
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    estimators: ClassVar[Mapping[str, Estimator]]
    unsupported: ClassVar[Mapping[str, tuple[Unsupported, str]]] = MappingProxyType({})
    supports_fixed_metric: ClassVar[bool] = False
    supports_initial_metric: ClassVar[bool] = False
    unregularised: ClassVar[Mapping[str, str]] = MappingProxyType({})
    default_cases: ClassVar[frozenset[str] | None] = None
    default_tier: ClassVar[Literal["quick", "full"]] = "quick"
    largest_dense: ClassVar[int] = 100
    target_acceptance: ClassVar[float | None] = None
    has_accept_reject: ClassVar[bool] = False

    def transforms(self, case: Case) -> Transforms:
        """The bijector of each site by which the library moves to unconstrained space.

        By default Stan's, for a library whose users bring their own. A library with bijectors of
        its own overrides this method and `log_density`, both of them.
        """
        return case.posterior.default_transforms

    def log_density(self, case: Case) -> LogDensity:
        """The unconstrained log density that the library samples, up to a constant.

        By default that of the case under `case.posterior.default_transforms`.

        Returns:
            A function of one position, shape (d,), that JAX can trace.
        """
        return case.posterior.log_density

    @abc.abstractmethod
    def warm_up(self, request: WarmUpRequest) -> Tuned:
        """Tune step size and metric, each replicate alone.

        Args:
            request: the case, the metric, random keys, starts and number of steps; a metric is
                supplied only as far as `supports_fixed_metric` and `supports_initial_metric` allow.
        """

    @abc.abstractmethod
    def sample(self, case: Case, tuned: Tuned, keys: Keys, num_samples: int) -> Draws:
        """Draw with each replicate's own tuned metric and step size, from where warm-up ended.

        Args:
            case: the problem.
            tuned: what warm-up left behind, for R replicates; metric and step size stay fixed.
            keys: JAX random keys, shape (R,).
            num_samples: number of draws of each replicate.
        """

    def why_unavailable(self) -> str | None:
        """The reason why this backend cannot run here, with the remedy; None if it can."""
        for distribution in self.requires:
            try:
                importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                target = f"'invmass[{self.extra}]'" if self.extra else distribution
                return f"{distribution} is not installed: python -m pip install {target}"
        return None

    def check_available(self) -> None:
        """
        Raises:
            BackendUnavailableError: the library is not installed.
        """
        if reason := self.why_unavailable():
            raise BackendUnavailableError(f"backend {self.name!r}: {reason}")

    def unsupported_reason(self, metric: str) -> str | None:
        """Why the backend does not tune a metric; None if it does."""
        if metric in self.estimators:
            return None
        if metric not in self.unsupported:
            return f"{metric}: this backend does not tune it"
        word, reason = self.unsupported[metric]
        return f"{metric}: {word}: {reason}"

    def supplied_metric_reason(self, *, adapt_metric: bool) -> str | None:
        """Why the backend cannot use a supplied metric; None if it can.

        Args:
            adapt_metric: whether adaptation is to start from that metric; else it is to be kept.
        """
        if adapt_metric and not self.supports_initial_metric:
            return f"{self.name} does not start adaptation from a supplied metric"
        if not adapt_metric and not self.supports_fixed_metric:
            return f"{self.name} does not keep a supplied metric: its warm-up always tunes one"
        return None

    def versions(self) -> dict[str, str]:
        """Version of each required distribution that is installed."""
        found = {}
        for distribution in self.requires:
            try:
                found[distribution] = importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
        return found


def check_metrics(matrices: Metrics, dimension: int, dense: bool, origin: str) -> None:
    """Hold inverse mass matrices to the contract: shape (R, d) or (R, d, d), each a metric.

    Raises:
        BackendFaultError: says how they break it.
    """
    replicates = len(matrices)
    shape = (replicates, *[dimension] * (2 if dense else 1))
    _check_array(matrices, shape, f"{origin}: inverse_mass_matrix")
    matrices = matrices.astype(np.float64)
    if not dense:
        smallest = np.min(matrices, axis=1)
    else:
        asymmetry = np.max(np.abs(matrices - np.swapaxes(matrices, 1, 2)), axis=(1, 2))
        if np.any(asymmetry > 1e-4 * np.max(np.abs(matrices), axis=(1, 2))):
            raise BackendFaultError(
                f"{origin}: inverse_mass_matrix is not symmetric in replicate "
                f"{int(np.argmax(asymmetry))}"
            )
        smallest = np.linalg.eigvalsh(matrices)[:, 0]
    if np.any(smallest <= 0):
        worst = int(np.argmin(smallest))
        raise BackendFaultError(
            f"{origin}: inverse_mass_matrix is not positive definite in "
            f"{np.sum(smallest <= 0)} of {replicates} replicates (smallest eigenvalue "
            f"{smallest[worst]:.3g} in replicate {worst})"
        )


def _check_array(array: Shaped[np.ndarray, "..."], shape: tuple[int, ...], origin: str) -> None:
    if np.shape(array) != shape:
        raise BackendFaultError(f"{origin} has shape {np.shape(array)}, expected {shape}")
    if not np.all(np.isfinite(array)):
        bad = np.argwhere(~np.isfinite(np.asarray(array, dtype=np.float64)))
        raise BackendFaultError(
            f"{origin} is not finite in {len(np.unique(bad[:, 0]))} of {shape[0]} replicates "
            f"(first at index {tuple(int(i) for i in bad[0])})"
        )
