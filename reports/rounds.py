"""Seconds of rounds before and after: how many times as long, and whether by more than chance.

It knows arrays, and no rows. The test is that of Mann and Whitney (Annals of Mathematical
Statistics 18, 1947), one-sided, exact. The interval is its inversion (Hodges and Lehmann, ibid. 34,
1963; Moses in Hollander and Wolfe, Nonparametric Statistical Methods, 1999, §4.3): of all quotients
of a round after and one before, so many are cut off at each end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import scipy.stats

CONFIDENCE = 0.99  # of the interval, both sides together
EXACT = 10_000  # pairs of rounds; beyond, the normal approximation is as good


@dataclass(frozen=True)
class Ratio:
    """What rounds after and before amount to.

    Attributes:
        base, new: medians, in seconds.
        low, high: interval of the ratio; None if there are too few rounds for one.
        p_slower, p_faster: of one-sided tests against no difference.
    """

    base: float
    new: float
    low: float | None
    high: float | None
    p_slower: float
    p_faster: float

    @property
    def ratio(self) -> float:
        """Of the medians, new over base."""
        return self.new / self.base


def compare_rounds(base: Sequence[float], new: Sequence[float]) -> Ratio:
    """Ratio of the rounds after to those before, with its interval and tests; all positive."""
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
    """How far two turns of the same are apart: ratio of their medians, 1 if there is but one.

    Of several turns the median over all pairs, which one bad turn does not spoil.
    """
    medians = [float(np.median(turn)) for turn in turns]
    pairs = [max(pair) / min(pair) for pair in combinations(medians, 2)]
    return float(np.median(pairs)) if pairs else 1.0


def smallest_p(base: int, new: int) -> float:
    """What the test gives at the least: where every round after is slower than all before."""
    return 1 / math.comb(base + new, new)


def level_of_each(level: float, smallest: Sequence[float]) -> float:
    """The level of each test, so that the probability of any wrong rejection is at most `level`.

    It is divided among the tests that can reach their share of it (Tarone, Biometrics 46, 1990):
    the others reject nothing, and so cost nothing.

    Args:
        level: of all tests together.
        smallest: the smallest p that each can give.
    """
    shares = 1
    while sum(p < level / shares for p in smallest) > shares:
        shares += 1
    return level / shares


def rounds_needed(level: float) -> int:
    """Rounds before, and as many after, from which on a test can reach its level."""
    rounds = 1
    while smallest_p(rounds, rounds) >= level:
        rounds += 1
    return rounds


def _p_larger(these: np.ndarray, those: np.ndarray) -> float:
    """That these are as large by chance alone; a tie counts against it, so that p is exact or more.

    A clock that is coarse makes ties, for which there is no exact distribution.
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
    """The largest k for which fewer than k of the pairs are in order with half the error or less.

    The interval of the ratio goes from the k-th quotient to the k-th last.
    """
    error, pairs = (1 - CONFIDENCE) / 2, these * those
    if pairs > EXACT:
        spread = math.sqrt(pairs * (these + those + 1) / 12)
        return math.floor(pairs / 2 + scipy.stats.norm.ppf(error) * spread)
    # ways[k, u]: to place k rounds among `those` so that u pairs are in order
    ways = np.zeros((these + 1, pairs + 1))
    ways[:, 0] = 1
    for below in range(1, those + 1):
        for placed in range(1, these + 1):
            ways[placed, below:] += ways[placed - 1, :-below]
    return int(np.searchsorted(np.cumsum(ways[-1]) / ways[-1].sum(), error, side="right"))
