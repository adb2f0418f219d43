"""A sequential equivalence test with three outcomes, on arrays and independent of any sampler.

Each statistic has one value per replicate. The test decides that the mean of the statistic is
within the margin of the expected value (pass) or outside the margin (fail), or it is inconclusive,
which is never a pass. The probabilities of a wrong pass and of a wrong fail are each at most α for
the whole verdict; the n-th look at the growing set of replicates spends α/(n(n+1)). To pass, every
entry must be within its margin, so each is tested at the full level (Berger, Technometrics 24,
1982). To fail, one entry suffices, so the level is divided by the number of entries (Bonferroni).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from invmass.claims.intervals import Interval, Statistic, interval, linear_ends, log_ends
from invmass.results.status import Status

SETTLING = 8  # a pass that is not settled continues up to this multiple of the first replicates


@dataclass(frozen=True)
class Deviation:
    """An entry of a deterministic claim, with its exactly computed deviation.

    Attributes:
        entry: name of the entry.
        found: the deviation, at least 0.
        tolerance: the largest allowed deviation.
    """

    entry: str
    found: float
    tolerance: float

    @property
    def offsets(self) -> tuple[float, float]:
        """The deviation in units of the tolerance, as both ends of an interval."""
        return self.found / self.tolerance, self.found / self.tolerance

    @property
    def inside(self) -> bool:
        """Whether the deviation is at most the tolerance."""
        return self.found <= self.tolerance

    @property
    def outside(self) -> bool:
        """Whether the deviation exceeds the tolerance."""
        return not self.inside

    @property
    def blind(self) -> bool:
        """Always false: rounding cannot hide a deviation that is computed exactly."""
        return False

    def row(self) -> dict[str, Any]:
        """The fields of a row, as for an interval with expected value 0."""
        bounds = {"low": self.found, "high": self.found, "expected": 0.0}
        return {
            "entry": self.entry,
            "found": self.found,
            **bounds,
            "margin": self.tolerance,
            "scale": "linear",
            "rounding": 0.0,
        }

    def __str__(self) -> str:
        return f"{self.entry}: {self.found:.4g}, at most {self.tolerance:.3g} is allowed"


@dataclass(frozen=True)
class Verdict:
    """The outcome of a test.

    Attributes:
        status: pass, fail or inconclusive.
        intervals: the confidence interval of each entry at the level of the last decision, or
            the deviation of each entry of a deterministic claim.
        replicates: number of replicates at the last look.
        looks: number of looks.
        alpha: bound on the probability of a wrong pass and on that of a wrong fail.
        margin: margin of the entries that have none of their own.
    """

    status: Status
    intervals: tuple[Interval | Deviation, ...]
    replicates: int
    looks: int
    alpha: float
    margin: float

    def furthest(self, count: int) -> tuple[Interval | Deviation, ...]:
        """The `count` intervals furthest from expectation, worst first; all, in order, if fewer."""
        if len(self.intervals) <= count:
            return self.intervals
        return tuple(sorted(self.intervals, key=lambda i: -max(map(abs, i.offsets)))[:count])

    @property
    def estimates(self) -> tuple[Interval, ...]:
        """The entries that are estimated from replicates."""
        return tuple(entry for entry in self.intervals if isinstance(entry, Interval))

    @property
    def worst(self) -> Interval | Deviation:
        """The entry furthest from expectation, among those outside the margin if there are any."""
        outside = [interval for interval in self.intervals if interval.outside]
        return max(
            outside or self.intervals,
            key=lambda i: min(map(abs, i.offsets)) if outside else max(map(abs, i.offsets)),
        )


def look(statistics: Sequence[Statistic], margin: float, alpha: float, number: int) -> Verdict:
    """Judge once, at one look of a sequence.

    Args:
        statistics: of the replicates so far.
        margin: relative on the log scale, absolute on the linear scale.
        alpha: bound on the probability of a wrong pass, and of a wrong fail, for all looks.
        number: of this look, counted from one.
    """
    level = alpha / (number * (number + 1))

    def intervals(level: float) -> tuple[Interval, ...]:
        return tuple(
            interval(entry, margin if entry.margin is None else entry.margin, level)
            for entry in statistics
        )

    found, status = intervals(2 * level), Status.PASS
    if not all(i.inside for i in found):
        found = intervals(level / len(statistics))
        status = Status.FAIL if any(i.outside for i in found) else Status.INCONCLUSIVE
    return Verdict(status, found, len(statistics[0].values), number, alpha, margin)


def sequential(
    draw: Callable[[int], Sequence[Statistic]],
    margin: float,
    alpha: float,
    first: int,
    cap: int,
    settled: Callable[[Verdict], bool] = lambda _: True,
) -> Verdict:
    """Test `first` replicates, then more and more, until the test decides or reaches the cap.

    Each look adds a quarter of the replicates so far, rounded up to a multiple of `first`. If
    rounding alone reaches the margin of an entry, there is only one look, which may fail and
    cannot pass.

    Args:
        draw: a function that returns the statistics of the first R replicates, given R.
        margin: relative on the log scale, absolute on the linear scale.
        alpha: bound on the probability of a wrong pass, and of a wrong fail, for the verdict.
        first: number of replicates at the first look.
        cap: largest number of replicates.
        settled: whether a passing verdict is final; if not, the test goes on while it has fewer
            than `SETTLING` times the first replicates.
    """
    replicates, number = min(first, cap), 1
    while True:
        verdict = look(draw(replicates), margin, alpha, number)
        continues = verdict.status is Status.INCONCLUSIVE or (
            verdict.status is Status.PASS and replicates < SETTLING * first and not settled(verdict)
        )
        if not continues or replicates >= cap or any(entry.blind for entry in verdict.intervals):
            return verdict
        replicates += first * math.ceil(replicates / (4 * first))
        replicates, number = min(replicates, cap), number + 1


def replicates_wanted(verdict: Verdict, most: int = 1_000_000) -> int | None:
    """About how many replicates would decide a verdict at a single look, if these are typical.

    On the linear scale, an interval is assumed to shrink as Student's quantile over the square root
    of the number of replicates. On the log scale, the variance is inferred from the shorter side
    of the interval, since the longer side may be infinite.

    Args:
        verdict: an inconclusive verdict.
        most: largest number to consider.

    Returns:
        More than the replicates of the verdict; None if more than `most` are needed, or if
        rounding prevents a decision.
    """
    if any(entry.blind for entry in verdict.intervals):
        return None
    level = verdict.alpha / 2
    level_now = level / len(verdict.estimates) / 2  # of each side of each interval
    now = verdict.replicates, level_now
    interval_ends = [
        (log_ends if i.scale == "log" else linear_ends)(i, *now) for i in verdict.estimates
    ]

    count = verdict.replicates + 1
    while count <= most:
        narrow = np.array([ends(count, level) for ends in interval_ends])
        low, high = np.array([ends(count, level_now) for ends in interval_ends]).T
        if np.all(np.abs(narrow) < 1) or np.any((low > 1) | (high < -1)):
            return count
        count += math.ceil(count / 8)
    return None


def exact(deviations: Mapping[str, float], tolerance: float) -> Verdict:
    """The verdict of a deterministic claim: no deviation may exceed the tolerance.

    Args:
        deviations: by the name of their entry, each at least 0.
        tolerance: the largest allowed deviation.
    """
    found = tuple(Deviation(entry, value, tolerance) for entry, value in deviations.items())
    status = Status.PASS if all(entry.inside for entry in found) else Status.FAIL
    return Verdict(status, found, 1, 1, 0.0, tolerance)
