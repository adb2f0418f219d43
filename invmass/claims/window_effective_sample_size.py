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
from invmass.whitening import whiten

LARGEST_KURTOSIS = 4.0  # beyond, a few draws decide on a variance, and delta methods fail
FACTOR_TWO, FACTOR_THREE_HALVES = 1.0, 0.5  # margins, relative
GROUPS = 8  # of replicates: a few that are stuck spoil a few of them


@final
class WindowEffectiveSampleSize(Claim):
    """Do the replicates scatter as the effective draws of one window do, within a factor of two?

    On the Gaussian, where the law is exact, within one and a half: so that half a window is seen.

    The sample size that they imply, `(κ₄-1)/Var(log Sᵢᵢ)`, against the length of the window times
    the share of effective draws for z², pooled over the coordinates. Both that share and κ₄ are
    those of the draws. The part of Sᵢᵢ that regularisation adds has no spread, and is left out.
    A window that is not reset, is skipped or counted twice shows here, and nowhere in the mean.
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
        """The implied sample size over that of the window."""
        experiment_draws = experiment.draws(experiment.batch)
        expected = experiment.regularised(experiment.target)
        floor = experiment.regularised(np.zeros_like(expected))
        share = 1.0 - diagonals(whiten(floor[None], expected))[0]
        effective, excess = ess_fraction_and_kurtosis(experiment, experiment_draws, expected)
        window = experiment.tuned(1).window
        size = window * float(np.mean(effective))

        def implied(count: int) -> list[Statistic]:
            matrices = experiment.tuned(count).inverse_mass_matrix.astype(np.float64)
            logs = np.log(diagonals(whiten(matrices, expected)))
            expected_spread = share * np.sqrt(
                excess / (window * effective)
            )  # standard deviation of each column
            values = logs / (expected_spread * np.sqrt(size))
            return [Statistic("implied sample size", values, size, "precision")]

        is_gaussian = experiment.case.name == GAUSSIAN_FIT
        yield Estimates(implied, FACTOR_THREE_HALVES if is_gaussian else FACTOR_TWO)

    def unmet_need(self, experiment: Experiment) -> str | None:
        """The spread is predicted for variances of draws that are not heavy-tailed."""
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
    """Share of effective draws for squares, and κ₄-1, of each whitened coordinate; both (d,).

    The share is the median of those of groups of replicates. One whose tuned step is long may be
    stuck in a bend or a tail for all its draws; in warm-up, where the step still shortens, it would
    not be.
    """
    from arviz_stats.base import array_stats  # slow to import

    points = draws.position.astype(np.float64) - experiment.truth.moments.mean
    if expected.ndim == 2:
        points = points @ np.linalg.inv(np.linalg.cholesky(expected)).T
    squares = np.moveaxis(points**2, 2, 0)
    shares = [
        [array_stats.ess(s, chain_axis=0, draw_axis=1, method="mean") / s.size for s in group]
        for group in np.array_split(squares, min(GROUPS, squares.shape[1]), axis=1)
    ]
    excess = np.var(squares, axis=(1, 2)) / np.mean(squares, axis=(1, 2)) ** 2
    return np.median(shares, axis=0), excess
