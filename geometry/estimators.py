"""What each rule of metric adaptation converges to, and what it does to it at finite length."""

import enum
from dataclasses import dataclass

import numpy as np

from invmass.geometry.errors import UsageError


class Rule(enum.Enum):
    """Which moments of the warm-up draws become the inverse mass matrix."""

    VARIANCE = "the covariance of the draws (Welford's algorithm, or a running variance)"
    FISHER_DIVERGENCE = "sqrt(Var z / Var ∇ log π)"


class Regularisation(enum.Enum):
    """How an estimate from n draws is shrunk."""

    NONE = "none"
    STAN = "n/(n+5) C + 1e-3 · 5/(n+5) I"


@dataclass(frozen=True)
class Estimator:
    """A rule of adaptation, for a dense or a diagonal metric.

    A diagonal metric is a vector of shape (d,), a dense one a matrix of shape (d, d).
    """

    rule: Rule
    dense: bool
    regularisation: Regularisation

    def __post_init__(self) -> None:
        if self.rule is Rule.FISHER_DIVERGENCE and self.dense:
            raise UsageError("the Fisher-divergence rule is known here for diagonal metrics only")

    @property
    def needs_scores(self) -> bool:
        """Whether the target depends on the covariance of the scores."""
        return self.rule is Rule.FISHER_DIVERGENCE

    def target(
        self, covariance: np.ndarray, score_covariance: np.ndarray | None = None
    ) -> np.ndarray:
        """What the rule converges to.

        Args:
            covariance: Cov(z), shape (d, d).
            score_covariance: Cov(∇ log π(z)), shape (d, d), if the rule needs it.

        Raises:
            UsageError: the rule needs the covariance of the scores.
        """
        if self.rule is Rule.FISHER_DIVERGENCE:
            if score_covariance is None:
                raise UsageError("the Fisher-divergence rule needs the covariance of the scores")
            return np.sqrt(np.diag(covariance) / np.diag(score_covariance))
        return self.shaped(covariance)

    def shaped(self, matrix: np.ndarray) -> np.ndarray:
        """A covariance as this metric holds it: itself, or its diagonal."""
        return matrix if self.dense else np.diag(matrix)

    def regularised(self, metric: np.ndarray, draws: int) -> np.ndarray:
        """Expectation of the tuned metric after a window of `draws`, if `metric` is its target.

        Source: Stan Reference Manual, "Euclidean metric"; the rule is Stan's
        `covar_adaptation.hpp`.
        """
        if self.regularisation is Regularisation.NONE:
            return metric
        floor = np.eye(len(metric)) if self.dense else np.ones(len(metric))
        return draws / (draws + 5) * metric + 1e-3 * 5 / (draws + 5) * floor


WELFORD_DIAGONAL = Estimator(Rule.VARIANCE, dense=False, regularisation=Regularisation.STAN)
WELFORD_DENSE = Estimator(Rule.VARIANCE, dense=True, regularisation=Regularisation.STAN)
RUNNING_VARIANCE = Estimator(Rule.VARIANCE, dense=False, regularisation=Regularisation.NONE)
RUNNING_COVARIANCE = Estimator(Rule.VARIANCE, dense=True, regularisation=Regularisation.NONE)
FISHER_DIAGONAL = Estimator(Rule.FISHER_DIVERGENCE, dense=False, regularisation=Regularisation.NONE)
