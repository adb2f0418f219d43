"""Backends that break their contract, or are wrong on purpose; each wraps our own HMC."""

from dataclasses import replace

import numpy as np

from invmass.backends.backend import Backend, Draws, Tuned
from invmass.backends.hmc_static import HandRolledHMC


class Wrapped(Backend):
    """Our own HMC under another name."""

    name = "wrapped"
    estimators = HandRolledHMC.estimators
    inner = HandRolledHMC()

    def transforms(self, case):
        return self.inner.transforms(case)

    def log_density(self, case):
        return self.inner.log_density(case)

    def warm_up(self, case, metric, keys, starts, num_warmup, supplied=None) -> Tuned:
        tuned = self.inner.warm_up(case, metric, keys, starts, num_warmup, supplied)
        return replace(tuned, inverse_mass_matrix=self.tamper(tuned.inverse_mass_matrix))

    def sample(self, case, tuned, keys, num_samples) -> Draws:
        return self.inner.sample(case, tuned, keys, num_samples)

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return matrix


class Raises(Wrapped):
    name = "raises"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        raise RuntimeError("the library gave up")


class NotFinite(Wrapped):
    name = "not-finite"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        matrix = matrix.copy()
        matrix[3] = np.nan
        return matrix


class WrongShape(Wrapped):
    name = "wrong-shape"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return matrix[..., :0]


class NotPositive(Wrapped):
    name = "not-positive"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return -matrix


class MassNotInverse(Wrapped):
    name = "mass"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return np.linalg.inv(matrix) if matrix.ndim == 3 else 1 / matrix


class ThirtyPercentLarge(Wrapped):
    name = "thirty-percent"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return 1.3 * matrix


class ForgetsTheJacobian(Wrapped):
    name = "no-jacobian"

    def log_density(self, case):
        def log_density(z):
            x = case.posterior.to_constrained(case.posterior.unflatten(z))
            return case.posterior.log_likelihood(x) + case.posterior.log_prior(x)

        return log_density


class NotInstalled(Wrapped):
    name = "not-installed"
    requires = ("a-library-that-is-not-there",)
