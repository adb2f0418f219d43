"""Right samplers, of which something wrong is reported, or whose answers are tampered with."""

from dataclasses import replace

import numpy as np

from faults.wrapped import SMALL, Wrapped, at_strengths, diagonal_of, scaled, unsupplied
from invmass.model.precision import float64
from invmass.sampling.backend import Draws, Tuned, WarmUpRequest


@at_strengths(*SMALL)
class AllEntriesLarge(Wrapped):
    """All variances are larger by the strength; doubled at the full one."""

    name, library = "all-large", "numpyro"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return (1 + self.strength) * matrix


@at_strengths(*SMALL)
class AllEntriesSmall(Wrapped):
    """All variances are smaller by the strength; halved at the full one."""

    name, library = "all-small", "numpyro"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return matrix / (1 + self.strength)


@at_strengths(*SMALL)
class OneEntryLarge(Wrapped):
    """The variance of the last coordinate is larger by the strength."""

    name, library = "one-large", "numpyro"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        factors = np.ones(matrix.shape[1])
        factors[-1] += self.strength
        return scaled(matrix, factors)


@at_strengths(*SMALL)
class CorrelationsShrunk(Wrapped):
    """Correlations are smaller by the strength; at the full one the dense flag is ignored."""

    name, library = "correlations-shrunk", "numpyro"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        variances = np.eye(matrix.shape[1]) * matrix
        return (1 - self.strength) * matrix + self.strength * variances


class CorrelationsFlipped(Wrapped):
    """The sign of each correlation of the first coordinate is flipped."""

    name = "correlations-flipped"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        signs = np.where(np.arange(matrix.shape[1]) == 0, -1.0, 1.0)
        return matrix * np.outer(signs, signs)


class Identity(Wrapped):
    """The identity is given back, as if nothing had been tuned."""

    name = "identity"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        size = matrix.shape[1]
        return np.broadcast_to(np.eye(size) if matrix.ndim == 3 else np.ones(size), matrix.shape)


class MassNotInverse(Wrapped):
    """M where M⁻¹ belongs."""

    name = "mass"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return np.linalg.inv(matrix) if matrix.ndim == 3 else 1 / matrix


class StandardDeviations(Wrapped):
    """Standard deviations where variances belong."""

    name = "standard-deviations"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return scaled(matrix, 1 / np.sqrt(diagonal_of(matrix)))


class SitesPermuted(Wrapped):
    """The coordinates come in reverse order."""

    name = "sites-permuted"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return matrix[:, ::-1] if matrix.ndim == 2 else matrix[:, ::-1, ::-1]


class OrderByName(Wrapped):
    """The sites come in the order of their names."""

    name = "order-by-name"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        slices = self.case.posterior.slices
        order = np.concatenate([np.r_[slices[name]] for name in sorted(slices)])
        return matrix[:, order] if matrix.ndim == 2 else matrix[:, order][:, :, order]


class ConstrainedCovariance(Wrapped):
    """The covariance of x where that of z belongs."""

    name = "constrained-covariance"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        with float64():
            truth = self.case.truth_in(self.transforms(self.case))
        found, right = self.case.constrained_moments.covariance, truth.moments.covariance
        return scaled(matrix, np.diag(found) / np.diag(right))


class ScoresNotInverted(Wrapped):
    """The covariance of the scores, not inverted."""

    name = "scores-not-inverted"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        with float64():
            truth = self.case.truth_in(self.transforms(self.case))
        return scaled(matrix, np.diag(truth.score_covariance) / np.diag(truth.moments.covariance))


class AnotherEstimator(Wrapped):
    """The diagonal of the Fisher divergence, sqrt(Σᵢᵢ / Gᵢᵢ), where variances are declared."""

    name = "another-estimator"

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        if request.inverse_mass_matrix is not None or request.metric != "diagonal":
            return super().warm_up(request)
        dense = super().warm_up(replace(request, metric="dense")).inverse_mass_matrix
        scores = diagonal_of(np.linalg.inv(dense))
        tuned = super().warm_up(request)
        return replace(tuned, inverse_mass_matrix=np.sqrt(diagonal_of(dense) / scores))


class RegularisationChanged(Wrapped):
    """Stan's shrinkage n/(n+5) C + 1e-3·5/(n+5) I with another weight than 5/(n+5)."""

    def weight(self, n: int) -> float:
        raise NotImplementedError

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        floor = 1e-3 * (np.eye(matrix.shape[1]) if matrix.ndim == 3 else 1.0)
        old, new = 5 / (self.window + 5), self.weight(self.window)
        return (1 - new) * (matrix - old * floor) / (1 - old) + new * floor


class RegularisationDropped(RegularisationChanged):
    """Stan's shrinkage is left out."""

    name = "regularisation-dropped"

    def weight(self, n: int) -> float:
        return 0.0


class RegularisationDoubled(RegularisationChanged):
    """Stan's shrinkage is twice as strong."""

    name = "regularisation-doubled"

    def weight(self, n: int) -> float:
        return 10 / (n + 10)


class RegularisationTimesDraws(RegularisationChanged):
    """Stan's floor of 1e-3·5/(n+5) is not divided by n+5."""

    name = "regularisation-times-n"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        floor = 1e-3 * (np.eye(matrix.shape[1]) if matrix.ndim == 3 else 1.0)
        return matrix + 5 * floor


class TenfoldUnderTheFloor(Wrapped):
    """Variances are ten times too large before Stan's floor is added to them."""

    name = "tenfold-under-the-floor"
    factor = 10.0

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        each = 1e-3 * 5 / (self.window + 5)
        floor = each * (np.eye(matrix.shape[1]) if matrix.ndim == 3 else 1.0)
        changed = self.factor * (matrix.astype(np.float64) - floor) + floor
        return changed.astype(matrix.dtype)


class NothingLearned(TenfoldUnderTheFloor):
    """Stan's floor alone: the draws are left out."""

    name = "nothing-learned"
    factor = 0.0


class NotSymmetric(Wrapped):
    """A thousandth of an entry above the diagonal is missing below it."""

    name = "not-symmetric"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        upper = np.triu(np.ones(matrix.shape[1:]), 1)
        return matrix * (1 + 5e-5 * upper).astype(matrix.dtype)


class IndefiniteInSinglePrecision(Wrapped):
    """The smallest eigenvalue is lost in rounding, and comes out below zero."""

    name = "indefinite"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(matrix)
        values[:, 0] = -1e-7 * values[:, -1]
        return (vectors * values[:, None, :]) @ np.swapaxes(vectors, 1, 2)


class ForgetsTheJacobian(Wrapped):
    """The log density that is declared lacks the Jacobian."""

    name = "no-jacobian"

    def log_density(self, case):
        def log_density(z):
            x = case.posterior.to_constrained(case.posterior.unflatten(z))
            return case.posterior.log_likelihood(x) + case.posterior.log_prior(x)

        return log_density


@at_strengths(*SMALL)
class DrawsTooWide(Wrapped):
    """Draws scatter about their mean with a variance that is larger by the strength."""

    name = "draws-too-wide"

    def sample(self, case, tuned, keys, num_samples) -> Draws:
        draws = super().sample(case, tuned, keys, num_samples)
        mean = draws.position.mean(axis=(0, 1))
        wide = mean + np.sqrt(1 + self.strength) * (draws.position - mean)
        return replace(draws, position=wide.astype(draws.position.dtype))


class WindowNotReset(Wrapped):
    """Tunes from four times the draws that it declares."""

    name = "window-not-reset"

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        longer = self.inner.warm_up(replace(request, num_warmup=4 * request.num_warmup))
        one = replace(unsupplied(request), keys=request.keys[:1], starts=request.starts[:1])
        return replace(longer, window=self.inner.warm_up(one).window)


class WindowMissing(Wrapped):
    """Tunes from a quarter of the draws that it declares."""

    name = "window-missing"

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        tuned = super().warm_up(request)
        return replace(tuned, window=4 * tuned.window)


class OneForAll(Wrapped):
    """Gives every replicate the matrix of the first."""

    name = "one-for-all"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return np.broadcast_to(matrix[:1], matrix.shape).copy()


class NaiveVariance(Wrapped):
    """Loses as much of the variance as `E[z²] - E[z]²` does in float32, far from zero."""

    name = "naive-variance"

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        tuned = super().warm_up(request)
        size = np.mean(request.starts, axis=0) ** 2 * np.finfo(np.float32).eps
        lost = np.diag(size) if tuned.inverse_mass_matrix.ndim == 3 else size
        return replace(tuned, inverse_mass_matrix=tuned.inverse_mass_matrix + lost)


class MisreportsDraws(Wrapped):
    """Its statistics of draws pass through `misreport`."""

    def sample(self, case, tuned, keys, num_samples) -> Draws:
        return self.misreport(super().sample(case, tuned, keys, num_samples), num_samples)

    def misreport(self, draws: Draws, num_samples: int) -> Draws:
        raise NotImplementedError


@at_strengths(*SMALL)
class CountsTooManyGradients(MisreportsDraws):
    """The number of gradients is larger by the strength."""

    name = "counts-too-many"

    def misreport(self, draws: Draws, num_samples: int) -> Draws:
        return replace(draws, gradients=(1 + self.strength) * draws.gradients)


class CountsDrawsAsGradients(MisreportsDraws):
    """One gradient is reported for each draw."""

    name = "counts-draws"

    def misreport(self, draws: Draws, num_samples: int) -> Draws:
        return replace(draws, gradients=np.full_like(draws.gradients, num_samples))


class AcceptanceMisreported(MisreportsDraws):
    """Reports the square root of the acceptance, which is nought where it is nought."""

    name = "acceptance-misreported"

    def misreport(self, draws: Draws, num_samples: int) -> Draws:
        return replace(draws, acceptance=np.sqrt(draws.acceptance))


class HidesDivergences(MisreportsDraws):
    """No divergence is ever reported."""

    name = "hides-divergences"

    def misreport(self, draws: Draws, num_samples: int) -> Draws:
        return replace(draws, divergences=0 * draws.divergences)


class WarmUpMissesItsTarget(Wrapped):
    """The step size is tuned for another acceptance than is declared."""

    name = "misses-target"
    target_acceptance = 0.8


class SamplesAtAnotherStep(Wrapped):
    """Draws with a fixed step size, whatever was tuned."""

    name = "another-step"

    def sample(self, case, tuned, keys, num_samples) -> Draws:
        fixed = replace(tuned, step_size=np.full_like(tuned.step_size, 0.5))
        return super().sample(case, fixed, keys, num_samples)


class LosesTheMetricInAFile(Wrapped):
    """Goes on at half the step from what was saved and loaded."""

    name = "loses-in-a-file"

    def __init__(self) -> None:
        super().__init__()
        self.known: list[np.ndarray] = []

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        tuned = super().warm_up(request)
        self.known.append(tuned.position)
        return tuned

    def sample(self, case, tuned, keys, num_samples) -> Draws:
        if not any(tuned.position is known for known in self.known):
            tuned = replace(tuned, step_size=tuned.step_size / 2)
        return super().sample(case, tuned, keys, num_samples)
