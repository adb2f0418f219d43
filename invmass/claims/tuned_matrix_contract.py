"""The claim "contract of a tuned matrix"."""

from collections.abc import Iterator
from typing import final

import numpy as np
import scipy.stats

from invmass.adaptation.estimators import Rule
from invmass.claims.base import Claim, Deviations, Estimates
from invmass.claims.replicates import as_matrices, diagonals
from invmass.runs.experiment import Experiment

# Norm of the difference of log variances, below which two conventions cannot be distinguished.
MIN_LOG_SEPARATION = 0.5
EQUAL = 1e-5  # probability that two variances with 3% standard deviation agree to six digits
ROUNDING = 64  # in units of the last place: sums of 500 products differed by up to 7


@final
class TunedMatrixContract(Claim):
    """Does each replicate have an M⁻¹ of its own: a metric, of variances, in declared order?

    A backend might report another quantity: M, standard deviations, or coordinates in another
    order. Where such a quantity would differ clearly from the target, the logarithm of the mean
    diagonal must be less than half as far from the target as from that quantity. This needs a
    target. Symmetry and positive definiteness are judged in the precision of the matrices.
    """

    name = "contract of a tuned matrix"
    summary = (
        "Each replicate has its own M⁻¹, not M, of variances in declared order, symmetric and "
        "positive definite."
    )
    reference = (
        "shape, order, symmetry and definiteness; the diagonal is nearer to the target than "
        "to M, to standard deviations and to other orders"
    )
    margin = "exact; half the distance to another reading"
    uses = "`warm_up`: one matrix for each key"
    needs_target = False

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """Symmetry, definiteness, distinct matrices, and distances from other quantities."""
        count = experiment.batch
        matrices = experiment.tuned(count).inverse_mass_matrix
        transposed = np.swapaxes(matrices, 1, 2) if matrices.ndim == 3 else matrices
        distinct = len(np.unique(matrices.reshape(count, -1), axis=0))
        size = np.max(np.abs(matrices).reshape(count, -1), axis=1)
        asymmetry = np.max(np.abs(matrices - transposed).reshape(count, -1), axis=1) / size
        rounding = ROUNDING * np.finfo(matrices.dtype).eps
        deviations = {
            "replicates that are not symmetric": float(np.sum(asymmetry > rounding)),
            "replicates that are not positive definite": float(
                np.sum(
                    ~np.vectorize(_has_cholesky_factor, signature="(d,d)->()")(
                        as_matrices(matrices)
                    )
                )
            ),
        }
        # other rules may be exact on a Gaussian, so that all replicates have the same matrix
        if experiment.estimator.rule is Rule.VARIANCE:
            shared = count - distinct - _coincidences(count, experiment.case.dimension)
            deviations["replicates with the matrix of another"] = float(max(0, shared))
        if experiment.why_no_target:
            yield Deviations(deviations)
            return
        found = np.log(np.mean(diagonals(matrices.astype(np.float64)), axis=0))
        right = np.log(diagonals(experiment.regularised(experiment.target)[None])[0])
        for name, reading in _misreadings(experiment, right).items():
            if np.linalg.norm(reading - right) > MIN_LOG_SEPARATION:
                nearness = np.linalg.norm(found - right) / np.linalg.norm(found - reading)
                deviations[f"nearness to {name}"] = float(nearness)
        yield Deviations(deviations)


def _coincidences(count: int, dimension: int) -> int:
    """Number of equal pairs of matrices that chance exceeds with a probability of 1e-6."""
    pairs = 0.5 * count**2
    return int(scipy.stats.poisson.isf(1e-6, pairs * EQUAL**dimension))


def _misreadings(experiment: Experiment, right: np.ndarray) -> dict[str, np.ndarray]:
    """Logarithms of the diagonal if another quantity than M⁻¹ in declared order is reported."""
    slices = experiment.case.posterior.slices
    by_name = np.concatenate([np.r_[slices[name]] for name in sorted(slices)])
    return {
        "M": -right,
        "standard deviations": right / 2,
        "the order by name": right[by_name],
        "the reverse order": right[::-1],
    }


def _has_cholesky_factor(matrix: np.ndarray) -> bool:
    """Whether a matrix has a Cholesky factor, in its own precision."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True
