"""Inverse mass matrices that a sampler tuned outside this suite and that were read from files."""

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

STAN, OLDER_STAN = "stan", "stan-2.36"  # names of unconstrained spaces
TEXT = "utf-8-sig"  # encoding of text files: UTF-8, with or without a byte order mark
FILE = "file"  # default name in rows of the sampler that tuned recorded matrices
# Asymmetry, relative to the largest entry, that is taken for rounding: the precision with which a
# file was written is unknown.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Recorded:
    """Inverse mass matrices of R independently tuned replicates.

    Attributes:
        inverse_mass_matrix: shape (R, d) diagonal or (R, d, d) dense, in the case's order.
        origin: name of the file, for messages.
        window: number of draws in the last window, from which the metric was estimated; None if
            the file does not state it.
        estimator: name in `ESTIMATORS` of the rule that tuned the matrices, if the file states it.
        space: name of the unconstrained space of the matrices, if the file states it; see
            `transforms_of`.
    """

    inverse_mass_matrix: np.ndarray
    origin: str
    window: int | None = None
    estimator: str | None = None
    space: str | None = None

    @property
    def dense(self) -> bool:
        """Whether the metrics are dense."""
        return self.inverse_mass_matrix.ndim == 3


def matched(matrices: np.ndarray, names: Sequence[str], case: Case, origin: str) -> np.ndarray:
    """Check matrices with named coordinates, and put them into the case's order of coordinates.

    Args:
        matrices: shape (R, d) diagonal or (R, d, d) dense, in the order of the names.
        names: names of the d coordinates.
        case: the case to whose coordinates the names belong.
        origin: name of the file in error messages.

    Returns:
        The matrices in float64, of the same shape.

    Raises:
        UsageError: the matrices have another shape or are not floats, or the names do not match.
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
    """Metrics, shape (R, d, d), made exactly symmetric if the asymmetry is mere rounding.

    Larger asymmetries, and diagonal metrics of shape (R, d), are returned unchanged.
    """
    if metrics.ndim == 2:
        return metrics
    transposed = np.swapaxes(metrics, 1, 2)
    rounded = np.max(np.abs(metrics - transposed)) <= _ROUNDING * np.max(np.abs(metrics))
    return (metrics + transposed) / 2 if rounded else metrics


def joined(parts: Sequence[Recorded]) -> Recorded:
    """Join the replicates of several files.

    Args:
        parts: the contents of at least one file.

    Raises:
        UsageError: the files differ in metric kind, window, estimator or space.
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
    """The bijector of each site that defines an unconstrained space.

    Args:
        space: "stan" for Stan since 2.37, "stan-2.36" for earlier versions, which map a simplex by
            stick-breaking, or the name of a backend.
        case: the case whose sites are transformed.

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
    """A backend that cannot run: it only has recorded matrices. Metrics are named by estimator."""

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
    """Recorded matrices as the result of a warm-up; everything else about it is not a number.

    Args:
        recorded: the matrices of R replicates.
        dimension: number of coordinates d.
        window: number of draws in the last window.

    Raises:
        BackendFaultError: a matrix is not a valid metric.
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
