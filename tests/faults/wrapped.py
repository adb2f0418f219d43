"""What all planted faults stand on: a right backend under another name."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np

from invmass.sampling.backend import Backend, Draws, Tuned, WarmUpRequest
from invmass.sampling.registry import load_backend

SMALL = (20, 10, 5)  # per cent


class Wrapped(Backend):
    """The right sampler itself: nothing is planted."""

    name = "wrapped"
    library: ClassVar[str] = "hmc"
    strength: ClassVar[float] = 1.0
    supports_fixed_metric = True

    def __init__(self) -> None:
        self.inner = load_backend(self.library)

    @property
    def estimators(self):
        return self.inner.estimators

    @property
    def unsupported(self):
        return self.inner.unsupported

    @property
    def target_acceptance(self):
        return self.inner.target_acceptance

    @property
    def has_accept_reject(self):
        return self.inner.has_accept_reject

    def why_unavailable(self) -> str | None:
        return super().why_unavailable() or self.inner.why_unavailable()

    def transforms(self, case):
        return self.inner.transforms(case)

    def log_density(self, case):
        return self.inner.log_density(case)

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        tuned = self.inner.warm_up(request)
        if request.inverse_mass_matrix is not None:
            return tuned
        self.case, self.metric, self.window = request.case, request.metric, tuned.window
        return replace(tuned, inverse_mass_matrix=self.tamper(tuned.inverse_mass_matrix))

    def sample(self, case, tuned, keys, num_samples) -> Draws:
        return self.inner.sample(case, tuned, keys, num_samples)

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return matrix


def unsupplied(request: WarmUpRequest) -> WarmUpRequest:
    """The same request without a supplied metric."""
    return replace(request, inverse_mass_matrix=None, adapt_metric=True)


def at_strengths(*percent: int) -> Callable[[type[Wrapped]], type[Wrapped]]:
    """A class for each strength beside the full one: `Fault`, `Fault20`, `Fault10`, …"""

    def add(kind: type[Wrapped]) -> type[Wrapped]:
        for each in percent:
            name = f"{kind.__name__}{each}"
            members = {
                "name": f"{kind.name}-{each}",
                "strength": each / 100,
                "__module__": kind.__module__,
                "__doc__": kind.__doc__,
            }
            setattr(sys.modules[kind.__module__], name, type(name, (kind,), members))
        return kind

    return add


def diagonal_of(matrices: np.ndarray) -> np.ndarray:
    """Diagonals, (R, d)."""
    return matrices if matrices.ndim == 2 else np.diagonal(matrices, axis1=1, axis2=2)


def scaled(matrices: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Metrics with variances multiplied by `factors`, (d,) or (R, d); correlations are kept."""
    if matrices.ndim == 2:
        return matrices * factors
    roots = np.sqrt(np.broadcast_to(factors, matrices.shape[:2]))
    return matrices * roots[:, :, None] * roots[:, None, :]


class Wrapped10(Wrapped):
    """The right sampler itself, judged as small faults are."""

    name, strength = "wrapped-10", 0.1


class RightNumPyro(Wrapped):
    """NumPyro itself: nothing is planted."""

    name, library = "right-numpyro", "numpyro"


class RightNumPyro10(RightNumPyro):
    """NumPyro itself, judged as small faults are."""

    name, strength = "right-numpyro-10", 0.1
