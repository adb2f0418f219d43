"""Compares the seconds of two sets of timing rounds: their ratio, its interval, and a test.

The functions take arrays, not rows. The test is the exact one-sided test of Mann and Whitney
(Annals of Mathematical Statistics 18, 1947). The confidence interval of the ratio inverts that test
(Hodges and Lehmann, ibid. 34, 1963; Moses in Hollander and Wolfe, Nonparametric Statistical
Methods, 1999, §4.3): its ends are order statistics of all ratios of a new round to a base round.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import scipy.stats

CONFIDENCE = 0.99  # of the interval, both sides together
EXACT = 10_000  # pairs of rounds; for more, the normal approximation is used


@dataclass(frozen=True)
class Ratio:
    """The seconds of new rounds compared with those of base rounds.

    Attributes:
        base: median of the base rounds, in seconds.
        new: median of the new rounds, in seconds.
        low: lower end of the confidence interval of the ratio; None if there are too few rounds.
        high: upper end, likewise.
        p_slower: p-value of the one-sided test for the new rounds being slower.
        p_faster: p-value of the one-sided test for the new rounds being faster.
    """

    base: float
    new: float
    low: float | None
    high: float | None
    p_slower: float
    p_faster: float

    @property
    def ratio(self) -> float:
        """Median of the new rounds over that of the base rounds."""
        return self.new / self.base


def compare_rounds(base: Sequence[float], new: Sequence[float]) -> Ratio:
    """Ratio of new to base rounds, with its confidence interval and one-sided tests.

    Args:
        base: seconds of the base rounds, all positive.
        new: seconds of the new rounds, all positive.
    """
    before, after = np.asarray(base, dtype=float), np.asarray(new, dtype=float)
    quotients = np.sort((after[:, None] / before).ravel())
    cut = _cut_off(len(after), len(before))
    return Ratio(
        float(np.median(before)),
        float(np.median(after)),
        float(quotients[cut - 1]) if cut else None,
        float(quotients[-cut]) if cut else None,
        p_slower=_p_larger(after, before),
        p_faster=_p_larger(before, after),
    )


def noise(turns: Sequence[Sequence[float] | np.ndarray]) -> float:
    """Ratio (at least 1) of the medians of two turns of one timing; 1 if there is only one turn.

    Args:
        turns: seconds of the rounds of each turn. If there are more than two turns, the result is
            the median over all pairs, which is robust against one bad turn.
    """
    medians = [float(np.median(turn)) for turn in turns]
    pairs = [max(pair) / min(pair) for pair in combinations(medians, 2)]
    return float(np.median(pairs)) if pairs else 1.0


def smallest_p(base: int, new: int) -> float:
    """The smallest possible p-value, where every new round is slower than all base rounds.

    Args:
        base: number of base rounds.
        new: number of new rounds.
    """
    return 1 / math.comb(base + new, new)


def level_of_each(level: float, smallest: Sequence[float]) -> float:
    """The level of each test, so that the probability of any wrong rejection is at most `level`.

    Only the tests that can reach their share of it count (Tarone, Biometrics 46, 1990); the others
    can never reject.

    Args:
        level: of all tests together.
        smallest: the smallest p-value that each test can give.
    """
    shares = 1
    while sum(p < level / shares for p in smallest) > shares:
        shares += 1
    return level / shares


def rounds_needed(level: float) -> int:
    """The smallest number of rounds on each side with which a test can reach its level."""
    rounds = 1
    while smallest_p(rounds, rounds) >= level:
        rounds += 1
    return rounds


def _p_larger(these: np.ndarray, those: np.ndarray) -> float:
    """One-sided p-value for `these` being larger than `those`.

    A coarse clock makes ties, for which there is no exact distribution. They are broken in favour
    of the null hypothesis, so that the p-value is exact or too large.
    """
    order = np.lexsort(
        (np.repeat([0, 1], [len(these), len(those)]), np.concatenate([these, those]))
    )
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order))
    method = "exact" if len(these) * len(those) <= EXACT else "asymptotic"
    found = scipy.stats.mannwhitneyu(
        ranks[: len(these)], ranks[len(these) :], alternative="greater", method=method
    )
    return float(found.pvalue)


@cache
def _cut_off(these: int, those: int) -> int:
    """The rank k of the ends of the confidence interval: the k-th smallest and k-th largest ratio.

    It is the largest k for which the Mann-Whitney statistic is below k with at most half the error
    probability; 0 if there is none.
    """
    error, pairs = (1 - CONFIDENCE) / 2, these * those
    if pairs > EXACT:
        deviation = math.sqrt(pairs * (these + those + 1) / 12)
        return math.floor(pairs / 2 + scipy.stats.norm.ppf(error) * deviation)
    # ways[k, u]: to place k rounds among `those` so that u pairs are in order
    ways = np.zeros((these + 1, pairs + 1))
    ways[:, 0] = 1
    for below in range(1, those + 1):
        for placed in range(1, these + 1):
            ways[placed, below:] += ways[placed - 1, :-below]
    return int(np.searchsorted(np.cumsum(ways[-1]) / ways[-1].sum(), error, side="right"))
