"""The claim "window effective sample size"."""

from collections.abc import Iterator
from typing import final

import numpy as np

from invmass.adaptation.estimators import Rule
from invmass.claims.base import GAUSSIAN_FIT, Claim, Deviations, Estimates
from invmass.claims.intervals import Statistic
from invmass.claims.replicates import diagonals
from invmass.runs.experiment import Experiment
from invmass.sampling.backend import Draws
from invmass.whitening import whiten, whiten_points

# Beyond this kurtosis a few draws dominate the sample variance, and the delta method fails.
LARGEST_KURTOSIS = 4.0
FACTOR_TWO, FACTOR_THREE_HALVES = 1.0, 0.5  # relative margins
GROUPS = 8  # of replicates, so that a few stuck replicates affect only a few groups


@final
class WindowEffectiveSampleSize(Claim):
    """Does the variance of M⁻¹ over replicates imply the effective sample size of one window?

    The implied sample size is `(κ₄-1)/Var(log Sᵢᵢ)`, where S is M⁻¹ whitened by its regularised
    target and κ₄ the kurtosis of a whitened coordinate. It is compared with the length of the
    window times the ratio of effective to actual draws for z², pooled over the coordinates; this
    ratio and κ₄ are estimated from the draws. The constant that regularisation adds to Sᵢᵢ has no
    variance and is accounted for. A window that is not reset, is skipped or is counted twice
    changes this variance, but not the mean of M⁻¹.

    The margin is a factor of 2, and of 1.5 on the Gaussian, where the formula is exact, so that a
    window of half the length is detected.
    """

    name = "window effective sample size"
    summary = (
        "The between-replicate variance of M⁻¹ matches the effective sample size of the last "
        "window."
    )
    reference = (
        "the sample size that the scatter over replicates implies, against the window's "
        "effective sample size"
    )
    margin = "a factor of 2; 1.5 on quadratic_fit"
    uses = "`window`, and `sample` for the share of effective draws"
    needs = "a variance-based estimator and a kurtosis of at most 4"
    per = "backend"
    quick_cases = (GAUSSIAN_FIT,)

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """The implied sample size, with the effective sample size of the window as expectation."""
        experiment_draws = experiment.draws(experiment.batch)
        expected = experiment.regularised(experiment.target)
        floor = experiment.regularised(np.zeros_like(expected))
        data_fraction = 1.0 - diagonals(whiten(floor[None], expected))[0]
        effective, kurtosis_less_one = ess_fraction_and_kurtosis(
            experiment, experiment_draws, expected
        )
        window = experiment.tuned(1).window
        size = window * float(np.mean(effective))

        def implied(count: int) -> list[Statistic]:
            matrices = experiment.tuned(count).inverse_mass_matrix.astype(np.float64)
            logs = np.log(diagonals(whiten(matrices, expected)))
            standard_deviations = data_fraction * np.sqrt(kurtosis_less_one / (window * effective))
            values = logs / (standard_deviations * np.sqrt(size))
            return [Statistic("implied sample size", values, size, "precision")]

        is_gaussian = experiment.case.name == GAUSSIAN_FIT
        yield Estimates(implied, FACTOR_THREE_HALVES if is_gaussian else FACTOR_TWO)

    def unmet_need(self, experiment: Experiment) -> str | None:
        """Why the variance over replicates is not predicted: another rule, or heavy tails."""
        if experiment.why_no_target:
            return experiment.why_no_target
        if experiment.estimator.rule is not Rule.VARIANCE:
            rule = experiment.estimator.rule.value
            return f"the spread is predicted for variances alone, not for {rule}"
        kurtosis = float(np.max(experiment.truth.moments.kurtosis))
        if kurtosis > LARGEST_KURTOSIS:
            return (
                f"the spread is predicted up to a kurtosis of {LARGEST_KURTOSIS:g}, "
                f"not {kurtosis:.3g}"
            )
        return None


def ess_fraction_and_kurtosis(
    experiment: Experiment, draws: Draws, expected: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Effective over actual draws for the squares of each whitened coordinate, and κ₄-1.

    The first is the median over groups of replicates. A replicate with a long tuned step may be
    stuck in a curved or extreme region for all its draws; during warm-up, when the step size is
    still adapted, it would not be.

    Args:
        experiment: the cell.
        draws: draws of R replicates.
        expected: the regularised target, shape (d,) or (d, d).

    Returns:
        Two arrays of shape (d,).
    """
    from arviz_stats.base import array_stats  # slow to import

    points, mean = draws.position.astype(np.float64), experiment.truth.moments.mean
    points = points - mean if expected.ndim == 1 else whiten_points(points, mean, expected)
    squares = np.moveaxis(points**2, 2, 0)
    fractions = [
        [array_stats.ess(s, chain_axis=0, draw_axis=1, method="mean") / s.size for s in group]
        for group in np.array_split(squares, min(GROUPS, squares.shape[1]), axis=1)
    ]
    kurtosis_less_one = np.var(squares, axis=(1, 2)) / np.mean(squares, axis=(1, 2)) ** 2
    return np.median(fractions, axis=0), kurtosis_less_one
