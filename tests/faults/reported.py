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


class WindowNotReset(Wrapped):
    """Tunes from four times the draws that it declares."""

    name = "window-not-reset"

    def warm_up(self, case, metric, keys, starts, num_warmup, supplied=None) -> Tuned:
        longer = self.inner.warm_up(case, metric, keys, starts, 4 * num_warmup, supplied)
        window = self.inner.warm_up(case, metric, keys[:1], starts[:1], num_warmup).window
        return replace(longer, window=window)


class WindowMissing(Wrapped):
    """Tunes from a quarter of the draws that it declares."""

    name = "window-missing"

    def warm_up(self, case, metric, keys, starts, num_warmup, supplied=None) -> Tuned:
        tuned = super().warm_up(case, metric, keys, starts, num_warmup, supplied)
        return replace(tuned, window=4 * tuned.window)


class IgnoresSupplied(Wrapped):
    """Tunes a metric of its own, whatever it is handed."""

    name = "ignores-supplied"

    def warm_up(self, case, metric, keys, starts, num_warmup, supplied=None) -> Tuned:
        return super().warm_up(case, metric, keys, starts, num_warmup)


class KeepsSuppliedUnused(Wrapped):
    """Gives a supplied metric back, but moves with another."""

    name = "keeps-supplied-unused"

    def warm_up(self, case, metric, keys, starts, num_warmup, supplied=None) -> Tuned:
        tuned = super().warm_up(case, metric, keys, starts, num_warmup)
        if supplied is None:
            return tuned
        shape = tuned.inverse_mass_matrix.shape
        return replace(tuned, inverse_mass_matrix=np.broadcast_to(supplied, shape), window=0)


class UsesTheDiagonalOfSupplied(Wrapped):
    """Gives a supplied dense metric back, but moves with its diagonal."""

    name = "diagonal-of-supplied"

    def warm_up(self, case, metric, keys, starts, num_warmup, supplied=None) -> Tuned:
        if supplied is None or supplied.ndim == 1:
            return super().warm_up(case, metric, keys, starts, num_warmup, supplied)
        diagonal = np.diag(np.diag(supplied))
        tuned = super().warm_up(case, metric, keys, starts, num_warmup, diagonal)
        shape = tuned.inverse_mass_matrix.shape
        return replace(tuned, inverse_mass_matrix=np.broadcast_to(supplied, shape))


class SitesPermuted(Wrapped):
    name = "sites-permuted"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return matrix[:, ::-1] if matrix.ndim == 2 else matrix[:, ::-1, ::-1]


class StandardDeviations(Wrapped):
    """Takes the square root of each entry's size."""

    name = "standard-deviations"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        if matrix.ndim == 2:
            return np.sqrt(matrix)
        root = np.diagonal(matrix, axis1=1, axis2=2) ** 0.25
        return matrix / root[:, :, None] / root[:, None, :]


class OneForAll(Wrapped):
    """Gives every replicate the matrix of the first."""

    name = "one-for-all"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return np.broadcast_to(matrix[:1], matrix.shape).copy()


class NaiveVariance(Wrapped):
    """Loses as much of the variance as `E[z²] - E[z]²` does in float32, far from zero."""

    name = "naive-variance"

    def warm_up(self, case, metric, keys, starts, num_warmup, supplied=None) -> Tuned:
        tuned = super().warm_up(case, metric, keys, starts, num_warmup, supplied)
        size = np.mean(starts, axis=0) ** 2 * np.finfo(np.float32).eps
        lost = np.diag(size) if tuned.inverse_mass_matrix.ndim == 3 else size
        return replace(tuned, inverse_mass_matrix=tuned.inverse_mass_matrix + lost)


class MisreportsDraws(Wrapped):
    """Its statistics of draws pass through `misreport`."""

    def sample(self, case, tuned, keys, num_samples) -> Draws:
        return self.misreport(super().sample(case, tuned, keys, num_samples), num_samples)

    def misreport(self, draws: Draws, num_samples: int) -> Draws:
        raise NotImplementedError


class CountsDrawsAsGradients(MisreportsDraws):
    name = "counts-draws"

    def misreport(self, draws: Draws, num_samples: int) -> Draws:
        return replace(draws, gradients=np.full_like(draws.gradients, num_samples))


class CountsGradientsTwice(MisreportsDraws):
    name = "counts-twice"

    def misreport(self, draws: Draws, num_samples: int) -> Draws:
        return replace(draws, gradients=2 * draws.gradients)


class AcceptanceMisreported(MisreportsDraws):
    """Reports the square root of the acceptance, which is nought where it is nought."""

    name = "acceptance-misreported"
    metropolis = True

    def misreport(self, draws: Draws, num_samples: int) -> Draws:
        return replace(draws, acceptance=np.sqrt(draws.acceptance))


class HidesDivergences(MisreportsDraws):
    name = "hides-divergences"

    def misreport(self, draws: Draws, num_samples: int) -> Draws:
        return replace(draws, divergences=0 * draws.divergences)


class WarmUpMissesItsTarget(Wrapped):
    """Claims to tune for an acceptance other than that it tunes for."""

    name = "misses-target"
    target_acceptance = 0.8


class SamplesAtAnotherStep(Wrapped):
    """Draws with a fixed step size, whatever was tuned."""

    name = "another-step"

    def sample(self, case, tuned, keys, num_samples) -> Draws:
        fixed = replace(tuned, step_size=np.full_like(tuned.step_size, 0.5))
        return super().sample(case, fixed, keys, num_samples)


class LosesTheMetricInAFile(Wrapped):
    """Remembers which arrays it tuned, and draws with a unit metric from any others."""

    name = "loses-in-a-file"

    def __init__(self) -> None:
        self.known: set[int] = set()

    def sample(self, case, tuned, keys, num_samples) -> Draws:
        if not self.known:
            self.known.add(id(tuned.position))
        elif id(tuned.position) not in self.known:
            tuned = replace(tuned, step_size=tuned.step_size / 2)
        return super().sample(case, tuned, keys, num_samples)
