"""Inverse mass matrices that a sampler tuned elsewhere, as they were read from files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from invmass.adaptation.estimators import ESTIMATORS
from invmass.errors import UsageError
from invmass.model.bijectors import Transforms, stan_transform
from invmass.model.case import Case
from invmass.model.distributions import Array
from invmass.recorded.names import places
from invmass.sampling.backend import Backend, Draws, Tuned, WarmUpRequest, check_metrics
from invmass.sampling.registry import load_backend

STAN, OLDER_STAN = "stan", "stan-2.36"
TEXT = "utf-8-sig"  # of files: UTF-8, with a byte order mark or without
FILE = "file"  # what a sampler is called of which nothing but its files is known
_ROUNDING = 1e-5  # of the largest entry: in what precision a file was written is not known


@dataclass(frozen=True)
class Recorded:
    """M⁻¹ of R replicates, each of them tuned independently of the others.

    Attributes:
        inverse_mass_matrix: shape (R, d) diagonal or (R, d, d) dense, in the case's order.
        origin: where they were read from.
        window: draws of the last window, from which the metric was estimated, if that is known.
        estimator: the rule by which the writer of such files tunes, if there is one.
        space: in which z they live, if the file says so; see `transforms_of`.
    """

    inverse_mass_matrix: np.ndarray
    origin: str
    window: int | None = None
    estimator: str | None = None
    space: str | None = None

    @property
    def dense(self) -> bool:
        """Whether they are matrices."""
        return self.inverse_mass_matrix.ndim == 3


def matched(matrices: np.ndarray, names: Sequence[str], case: Case, origin: str) -> np.ndarray:
    """Matrices whose coordinates have names, as float64 in the case's order of coordinates.

    Args:
        matrices: shape (R, d) diagonal or (R, d, d) dense.
        names: of the d coordinates.
        case: whose coordinates they are.
        origin: where they were read from.

    Raises:
        UsageError: they are no matrices of so many coordinates, or the names do not match.
    """
    given = np.asarray(matrices)
    if not np.issubdtype(given.dtype, np.floating):
        raise UsageError(
            f"{origin}: the matrices are not floating-point numbers, but {given.dtype}; write them "
            "as such: astype(float)"
        )
    count = len(names)
    if given.ndim not in (2, 3) or given.shape[1:] != (count,) * (given.ndim - 1):
        raise UsageError(
            f"{origin}: inverse_mass_matrix has shape {given.shape}; for {count} coordinates and R "
            f"replicates it must be (R, {count}) if diagonal, (R, {count}, {count}) if dense"
        )
    order = places(names, case, origin)
    chosen = given.astype(np.float64)[:, order]
    return symmetric(chosen if given.ndim == 2 else chosen[:, :, order])


def symmetric(metrics: np.ndarray) -> np.ndarray:
    """Metrics made symmetric, where they were before they were rounded to float32 or six digits."""
    if metrics.ndim == 2:
        return metrics
    turned = np.swapaxes(metrics, 1, 2)
    rounded = np.max(np.abs(metrics - turned)) <= _ROUNDING * np.max(np.abs(metrics))
    return (metrics + turned) / 2 if rounded else metrics


def joined(parts: Sequence[Recorded]) -> Recorded:
    """Replicates of several files as those of one.

    Raises:
        UsageError: they are not alike.
    """
    first = parts[0]
    for other in parts[1:]:
        for name in ("dense", "window", "estimator", "space"):
            here, there = getattr(first, name), getattr(other, name)
            if here != there:
                raise UsageError(
                    f"{first.origin} and {other.origin} were not tuned alike: {name} is {here} in "
                    f"the one and {there} in the other; judge them apart"
                )
    return Recorded(
        np.concatenate([part.inverse_mass_matrix for part in parts]),
        first.origin if len(parts) == 1 else f"{first.origin} and {len(parts) - 1} more",
        first.window,
        first.estimator,
        first.space,
    )


def transforms_of(space: str, case: Case) -> Transforms:
    """The bijectors of a space by its name.

    "stan" is what Stan uses today, "stan-2.36" what it used up to 2.36, where a simplex was broken
    like a stick; all else is the space that a backend of that name moves in.

    Raises:
        UsageError: there is no such space.
    """
    supports = {name: site.prior.support for name, site in case.sites.items()}
    if space == STAN:
        return {name: stan_transform(support) for name, support in supports.items()}
    if space == OLDER_STAN:
        return case.posterior.default_transforms
    try:
        backend = load_backend(space)
    except UsageError as error:
        raise UsageError(f"unknown space: {STAN}, {OLDER_STAN}, or a backend's: {error}") from error
    backend.check_available()
    return backend.transforms(case)


class RecordedSampler(Backend):
    """A sampler of which only what it tuned is at hand. Its metrics are the names of estimators."""

    estimators = ESTIMATORS

    def __init__(self, space: str, name: str = FILE) -> None:
        self.space, self.name = space, name

    def transforms(self, case: Case) -> Transforms:
        return transforms_of(self.space, case)

    def log_density(self, case: Case) -> Callable[[Array], Array]:
        raise UsageError(_ONLY_MATRICES)

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        raise UsageError(_ONLY_MATRICES)

    def sample(self, *_: object, **__: object) -> Draws:
        raise UsageError(_ONLY_MATRICES)


_ONLY_MATRICES = "a file holds tuned matrices alone: nothing can be run with them"


def as_tuned(recorded: Recorded, dimension: int, window: int) -> Tuned:
    """The matrices as a warm-up of which all else is unknown, and not a number.

    Raises:
        BackendFaultError: one of them is not a metric.
    """
    matrices = recorded.inverse_mass_matrix
    check_metrics(matrices, dimension, recorded.dense, recorded.origin)
    unknown = np.full(len(matrices), np.nan)
    return Tuned(
        inverse_mass_matrix=matrices,
        step_size=unknown,
        position=np.full((len(matrices), dimension), np.nan),
        gradients=unknown,
        acceptance=unknown,
        divergences=unknown,
        window=window,
    )
