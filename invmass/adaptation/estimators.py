"""What each rule of metric adaptation converges to, and what it does to it at finite length."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float

from invmass.errors import NoTargetError, UsageError
from invmass.whitening import Matrix, Metric, StackedMetrics, whiten


class Rule(enum.Enum):
    """Which moments of the warm-up draws become the inverse mass matrix."""

    VARIANCE = "the covariance of the draws (Welford's algorithm, or a running variance)"
    FISHER_DIVERGENCE = "sqrt(Var z / Var ∇ log π), or the mean Cov z # (Cov ∇ log π)⁻¹ of matrices"


class Regularisation(enum.Enum):
    """How an estimate from n draws is shrunk.

    BlackJAX's `fisher_low_rank` adds γ/n = 1e-5/n to variances that are at least 1 in the units
    that it takes. That counts as none: 2e-8 of them at 500 draws.
    """

    NONE = "none"
    BIASED = "(n-1)/n C"
    STAN = "n/(n+5) C + 1e-3 · 5/(n+5) I"
    ORACLE = "variances as they are, correlations (1 - ρ) R, ρ of oracle approximating shrinkage"


_UNDECIDED = 0.15  # in log λ, of which 225 effective draws leave a standard deviation of 0.03-0.07


@dataclass(frozen=True)
class LowRank:
    """A matrix `D (I + U (Λ - I) Uᵀ) D`, D diagonal, with few eigenvectors U.

    Attributes:
        rank: how many: those whose eigenvalues are farthest from 1.
        cutoff: eigenvalues within [1/cutoff, cutoff] are left at 1, by design.
    """

    rank: int
    cutoff: float


@dataclass(frozen=True)
class Estimator:
    """A rule of adaptation, for a dense or a diagonal metric.

    A diagonal metric is a vector of shape (d,), a dense one a matrix of shape (d, d).

    Attributes:
        rule: the moments that it takes.
        dense: whether its metric is a matrix.
        regularisation: what it does at finite length.
        low_rank: how it builds a matrix of few eigenvectors, if it does.
        min_draws_per_dim: a dense metric is diagonal if its window has fewer draws for each
            coordinate than this.
        block: whether it estimates the block of `block_sites` and otherwise the diagonal alone.
        entries: for a block, which entries it estimates: booleans, (d, d), set by `for_layout`.
    """

    rule: Rule
    dense: bool
    regularisation: Regularisation
    low_rank: LowRank | None = None
    min_draws_per_dim: int = 0
    block: bool = False
    entries: Bool[np.ndarray, "d d"] | None = field(default=None, compare=False)

    @property
    def needs_scores(self) -> bool:
        """Whether the target depends on the covariance of the scores."""
        return self.rule is Rule.FISHER_DIVERGENCE

    def for_layout(self, slices: Mapping[str, slice]) -> "Estimator":
        """The same rule, with the entries of its block found for the sites of one posterior.

        Args:
            slices: where the coordinates of each site are, sites in declared order.
        """
        if not self.block:
            return self
        inside = np.zeros(max(part.stop for part in slices.values()), dtype=bool)
        for name in block_sites(slices):
            inside[slices[name]] = True
        return replace(self, entries=np.diag(~inside) | np.outer(inside, inside))

    def target(self, covariance: Matrix, score_covariance: Matrix | None = None) -> Metric:
        """What the rule converges to.

        Args:
            covariance: Cov(z), shape (d, d).
            score_covariance: Cov(∇ log π(z)), shape (d, d), if the rule needs it.

        Raises:
            UsageError: the rule needs the covariance of the scores.
            NoTargetError: what the rule converges to is left to chance here.
        """
        if self.needs_scores and score_covariance is None:
            raise UsageError("the Fisher-divergence rule needs the covariance of the scores")
        scores = score_covariance if self.needs_scores else None
        if self.low_rank:
            return _low_rank_target(self.low_rank, covariance, scores)
        if scores is None:
            return self.restrict(covariance)
        if self.dense:
            return geometric_mean(covariance, scores)
        return np.sqrt(np.diag(covariance) / np.diag(scores))

    def restrict(self, matrix: Matrix) -> Metric:
        """A covariance restricted to what this metric estimates: all of it, diagonal, or block.

        Args:
            matrix: shape (d, d).

        Returns:
            Shape (d,) of a diagonal metric, else (d, d), zero in entries that are not estimated.

        Raises:
            UsageError: a block metric before `for_layout`.
        """
        if not self.dense:
            return np.diag(matrix)
        if not self.block:
            return matrix
        if self.entries is None:
            raise UsageError("a block metric depends on the sites: call for_layout first")
        return np.where(self.entries, matrix, 0.0)

    def regularised(self, metric: Metric, draws: int) -> Metric:
        """Expectation of the tuned metric after a window of `draws`, if `metric` is its target.

        Source: Stan Reference Manual, "Euclidean metric"; the rule is Stan's
        `covar_adaptation.hpp`. Oracle approximating shrinkage: Chen, Wiesel, Eldar & Hero, IEEE
        Transactions on Signal Processing 58 (2010), equation 23, with the expectation of `tr R²`
        over n independent draws.
        """
        if self.dense and draws < self.min_draws_per_dim * len(metric):
            return np.diag(replace(self, dense=False).regularised(np.diag(metric), draws))
        if self.regularisation is Regularisation.NONE:
            return metric
        if self.regularisation is Regularisation.ORACLE:
            return _oracle_shrunk(metric, draws)
        if self.regularisation is Regularisation.BIASED:
            return self.weight(draws) * metric
        identity = np.eye(len(metric)) if self.dense else np.ones(len(metric))
        return self.weight(draws) * metric + self.floor(draws) * identity

    def weight(self, draws: int) -> float:
        """What a variance of the draws is multiplied by after a window of `draws`."""
        if self.regularisation is Regularisation.STAN:
            return draws / (draws + 5)
        return (draws - 1) / draws if self.regularisation is Regularisation.BIASED else 1.0

    def floor(self, draws: int) -> float:
        """What the rule itself adds to each variance after a window of `draws`, in units of z²."""
        return 1e-3 * 5 / (draws + 5) if self.regularisation is Regularisation.STAN else 0.0

    def data_share(self, target: Metric, draws: int) -> Float[np.ndarray, " d"]:
        """Fraction of each variance of the tuned metric that comes from the draws, shape (d,).

        Of the metric in units of its target, so that what regularisation adds in another
        direction counts, too.

        Args:
            target: what the rule converges to, shape (d,) diagonal or (d, d) dense.
            draws: n, of the last window.
        """
        ratios = whiten(self.regularised(target, draws)[None], target)[0]
        return self.weight(draws) / (np.diag(ratios) if ratios.ndim == 2 else ratios)

    def data_part(self, metrics: StackedMetrics, draws: int) -> StackedMetrics:
        """Tuned metrics without what the rule added: `((n+5)/n) (M⁻¹ - floor I)` by Stan's rule.

        Args:
            metrics: tuned M⁻¹, shape (…, d) diagonal or (…, d, d) dense.
            draws: n, of the window that they come from.
        """
        identity = np.eye(metrics.shape[-1]) if self.dense else 1.0
        return (metrics - self.floor(draws) * identity) / self.weight(draws)


def _oracle_shrunk(covariance: Matrix, draws: int) -> Matrix:
    """Correlations times `1 - ρ`, ρ of what n draws show of them; (d, d)."""
    d, scale = len(covariance), np.sqrt(np.diag(covariance))
    if d == 1 or not np.any(covariance):
        return covariance
    correlations = covariance / np.outer(scale, scale)
    off = correlations**2 - np.eye(d)
    squares = d + np.sum(off) + np.sum((1 - correlations**2) ** 2) / draws
    shrinkage = ((1 - 2 / d) * squares + d**2) / ((draws + 1 - 2 / d) * (squares - d))
    return np.where(np.eye(d, dtype=bool), covariance, (1 - min(shrinkage, 1.0)) * covariance)


def block_sites(names: Iterable[str]) -> tuple[str, ...]:
    """The sites that a block metric holds together: the first declared, the third, and so on.

    They are neighbours in no order, and a site alone is a block: its metric is the dense one.
    """
    return tuple(names)[::2]


def geometric_mean(covariance: Matrix, precision: Matrix) -> Matrix:
    """`C # P⁻¹`, the affine-invariant geometric mean: the one X with `X P X = C`; (d, d) each."""
    values, vectors = scipy.linalg.eigh(covariance, precision, type=2)
    return (vectors * np.sqrt(values)) @ vectors.T


def _low_rank_target(
    low_rank: LowRank, covariance: Matrix, score_covariance: Matrix | None
) -> Matrix:
    """What BlackJAX's low-rank recipes make of unlimited draws, as a (d, d) matrix.

    With scores, D² is the diagonal metric of the same rule, and Λ and U are those of the geometric
    mean in its units, within the leading eigenvectors of draws and of scores. Without, D² is the
    variance, and Λ and U are those of the correlation matrix.

    Source: `blackjax.adaptation.metric_estimators`, `fisher_score_low_rank` (Algorithm 1 of
    Seyboldt, Carlson & Carpenter 2026, arXiv:2603.18845) and `sample_covariance_eigh_low_rank`.

    Raises:
        NoTargetError: an eigenvalue so near the cutoff that chance decides if it is left at 1.
    """
    if score_covariance is None:
        scale = np.sqrt(np.diag(covariance))
        values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    else:
        scale = (np.diag(covariance) / np.diag(score_covariance)) ** 0.25
        draws = covariance / np.outer(scale, scale)
        scores = score_covariance * np.outer(scale, scale)
        leading = [np.linalg.eigh(matrix)[1][:, -low_rank.rank :] for matrix in (draws, scores)]
        basis = np.linalg.qr(np.concatenate(leading, axis=1))[0]
        values, vectors = np.linalg.eigh(
            geometric_mean(basis.T @ draws @ basis, basis.T @ scores @ basis)
        )
        vectors = basis @ vectors
    farthest = np.argsort(-np.abs(values - 1.0))[: low_rank.rank]
    values, vectors = values[farthest], vectors[:, farthest]
    beyond = np.abs(np.log(values)) - np.log(low_rank.cutoff)
    if low_rank.cutoff > 1.0 and np.any(np.abs(beyond) < _UNDECIDED):
        nearest = values[np.argmin(np.abs(beyond))]
        raise NoTargetError(
            f"the low-rank metric has no one target here: an eigenvalue of {nearest:.3g} is so "
            f"near the cutoff {low_rank.cutoff:g} that some replicates keep it and some do not; "
            "judge another metric"
        )
    values = np.where(beyond > 0.0, values, 1.0)
    return np.outer(scale, scale) * (np.eye(len(scale)) + (vectors * (values - 1.0)) @ vectors.T)


WELFORD_DIAGONAL = Estimator(Rule.VARIANCE, dense=False, regularisation=Regularisation.STAN)
WELFORD_DENSE = Estimator(Rule.VARIANCE, dense=True, regularisation=Regularisation.STAN)
WELFORD_BLOCK = replace(WELFORD_DENSE, block=True)
RUNNING_VARIANCE = Estimator(Rule.VARIANCE, dense=False, regularisation=Regularisation.NONE)
RUNNING_COVARIANCE = Estimator(Rule.VARIANCE, dense=True, regularisation=Regularisation.NONE)
BIASED_VARIANCE = Estimator(Rule.VARIANCE, dense=False, regularisation=Regularisation.BIASED)
POOLED_DENSE = Estimator(Rule.VARIANCE, dense=True, regularisation=Regularisation.ORACLE)
FISHER_DIAGONAL = Estimator(Rule.FISHER_DIVERGENCE, dense=False, regularisation=Regularisation.NONE)
FISHER_LOW_RANK = Estimator(
    Rule.FISHER_DIVERGENCE,
    dense=True,
    regularisation=Regularisation.NONE,
    low_rank=LowRank(rank=10, cutoff=2.0),
)
COVARIANCE_LOW_RANK = Estimator(
    Rule.VARIANCE,
    dense=True,
    regularisation=Regularisation.NONE,
    low_rank=LowRank(rank=10, cutoff=1.0),
)

ESTIMATORS: Mapping[str, Estimator] = {
    "welford_diagonal": WELFORD_DIAGONAL,
    "welford_dense": WELFORD_DENSE,
    "welford_block": WELFORD_BLOCK,
    "running_variance": RUNNING_VARIANCE,
    "running_covariance": RUNNING_COVARIANCE,
    "biased_variance": BIASED_VARIANCE,
    "pooled_dense": POOLED_DENSE,
    "fisher_diagonal": FISHER_DIAGONAL,
    "fisher_low_rank": FISHER_LOW_RANK,
    "covariance_low_rank": COVARIANCE_LOW_RANK,
}
