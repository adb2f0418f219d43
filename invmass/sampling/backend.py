"""The contract between a sampler library and the suite.

Arrays cross this border in the case's declared order of coordinates: unconstrained positions as
vectors of shape (d,), metrics as (d,) diagonal or (d, d) dense, blocks and low rank included.
Reordering into the library's own layout is the backend's business.
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

from invmass.adaptation.estimators import Estimator
from invmass.errors import BackendFaultError, BackendUnavailableError, UsageError
from invmass.model.bijectors import Transforms
from invmass.model.case import Case
from invmass.model.distributions import Array


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
        window: draws from which the metric was estimated; 0 if it was supplied.
    """

    inverse_mass_matrix: np.ndarray
    step_size: np.ndarray
    position: np.ndarray
    gradients: np.ndarray
    acceptance: np.ndarray
    divergences: np.ndarray
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

    position: np.ndarray
    gradients: np.ndarray
    acceptance: np.ndarray
    divergences: np.ndarray

    def check(self, dimension: int, replicates: int, count: int, origin: str) -> None:
        """Hold the arrays to the contract.

        Raises:
            BackendFaultError: names the first array that breaks it, and how.
        """
        _check_array(self.position, (replicates, count, dimension), f"{origin}: position")
        for name in ("gradients", "acceptance", "divergences"):
            _check_array(getattr(self, name), (replicates,), f"{origin}: {name}")


class Lack(enum.StrEnum):
    """Why a backend does not do what others do."""

    NOT_IMPLEMENTED = "not implemented"  # ours to do
    NOT_YET = "not yet"  # the library's to do
    NEVER = "never"  # it would make no sense there


class Backend(abc.ABC):
    """One sampler library. Subclasses are final, and import their library inside their methods.

    Attributes:
        name: how it is called on the command line.
        requires: distributions that must be installed, the first of them the library itself.
        extra: the extra of `invmass` that installs them, if there is one.
        estimators: for each metric that it can tune, the rule by which it does so.
        lacks: for each metric that others tune and it does not, why, and the reason; so too for
            `"supplied"`, if it cannot keep a metric that is handed to it.
        unregularised: for a metric whose rule shrinks, the one that the library tunes if it is told
            not to; judged only if it is named, or by `--no-regularise`.
        default_cases: those that it is judged on where neither cases nor backends are named; None
            for all.
        default_tier: "full" for a very slow library: unless it is named itself, it is judged on
            them alone, and in the full tier.
        largest_dense: coordinates up to which a dense metric is tuned in reasonable time.
        target_acceptance: what its step size is tuned for; None if it does not say.
        metropolis: a draw either is the end of its trajectory or repeats the one before, so that
            acceptance can be counted; not so for NUTS.
    """

    name: str
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    estimators: ClassVar[Mapping[str, Estimator]]
    lacks: ClassVar[Mapping[str, tuple[Lack, str]]] = MappingProxyType({})
    unregularised: ClassVar[Mapping[str, str]] = MappingProxyType({})
    default_cases: ClassVar[frozenset[str] | None] = None
    default_tier: ClassVar[Literal["quick", "full"]] = "quick"
    largest_dense: ClassVar[int] = 100
    target_acceptance: ClassVar[float | None] = None
    metropolis: ClassVar[bool] = False

    @abc.abstractmethod
    def transforms(self, case: Case) -> Transforms:
        """The library's own bijector for each site of the case."""

    @abc.abstractmethod
    def log_density(self, case: Case) -> Callable[[Array], Array]:
        """The unconstrained log density that the library itself would sample, up to a constant."""

    @abc.abstractmethod
    def warm_up(
        self,
        case: Case,
        metric: str,
        keys: jax.Array,
        starts: np.ndarray,
        num_warmup: int,
        supplied: np.ndarray | None = None,
        *,
        kept: bool = True,
    ) -> Tuned:
        """Tune step size and metric, each replicate alone.

        Args:
            case: the problem.
            metric: one of `estimators`.
            keys: JAX random keys, shape (R,).
            starts: exact draws of the posterior, unconstrained, shape (R, d).
            num_warmup: number of warm-up steps.
            supplied: an inverse mass matrix, (d,) or (d, d), to be kept instead of tuned.
            kept: if not, tuning starts from the supplied matrix and goes on as ever. A backend
                that cannot do so has no such argument.
        """

    @abc.abstractmethod
    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        """Draw with each replicate's own tuned metric and step size, from where it stopped."""

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

    def why_lacking(self, metric: str) -> str | None:
        """Why it does not tune `metric`, or keep a `"supplied"` one; None if undeclared."""
        if metric not in self.lacks:
            return None
        word, reason = self.lacks[metric]
        return f"{metric}: {word}: {reason}"

    def versions(self) -> dict[str, str]:
        """Version of each required distribution that is installed."""
        found = {}
        for distribution in self.requires:
            try:
                found[distribution] = importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
        return found


def check_metrics(matrices: np.ndarray, dimension: int, dense: bool, origin: str) -> None:
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


def _check_array(array: np.ndarray, shape: tuple[int, ...], origin: str) -> None:
    if np.shape(array) != shape:
        raise BackendFaultError(f"{origin} has shape {np.shape(array)}, expected {shape}")
    if not np.all(np.isfinite(array)):
        bad = np.argwhere(~np.isfinite(np.asarray(array, dtype=np.float64)))
        raise BackendFaultError(
            f"{origin} is not finite in {len(np.unique(bad[:, 0]))} of {shape[0]} replicates "
            f"(first at index {tuple(int(i) for i in bad[0])})"
        )
