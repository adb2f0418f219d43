"""A sequential equivalence test with three answers; it knows arrays, and no sampler.

Each statistic has one value per replicate. Its expectation is within the margin of what is
expected (pass), outside it (fail), or not yet known (inconclusive, which is never a pass). The
probability of a wrong pass and that of a wrong fail are each at most α for the whole verdict, of
which α/(n(n+1)) is spent at the n-th look at the growing set of replicates. To pass, every entry
must be within its margin, so each is tested at the full level (Berger, Technometrics 24, 1982). To
fail, one entry suffices, so the level is divided among all of them (Bonferroni).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from invmass.claims.intervals import Interval, Statistic, interval, linear_ends, log_ends
from invmass.results.status import Status

SETTLING = 8  # times the first replicates: up to there a pass may be looked at again


@dataclass(frozen=True)
class Deviation:
    """An entry of a deterministic claim: how far something that is computed exactly is off.

    Attributes:
        entry: its name.
        found: the deviation, at least 0.
        tolerance: the largest that is allowed.
    """

    entry: str
    found: float
    tolerance: float

    @property
    def offsets(self) -> tuple[float, float]:
        """The deviation in units of the tolerance, as both ends of an interval have it."""
        return self.found / self.tolerance, self.found / self.tolerance

    @property
    def inside(self) -> bool:
        """Whether it is allowed."""
        return self.found <= self.tolerance

    @property
    def outside(self) -> bool:
        """Whether it is not."""
        return not self.inside

    @property
    def blind(self) -> bool:
        """Never: nothing here is estimated."""
        return False

    def row(self) -> dict[str, Any]:
        """The fields as rows have them: those of an interval that expects 0."""
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
    """The answer, and all that it rests on: the intervals are those that decided."""

    status: Status
    intervals: tuple[Interval | Deviation, ...]
    replicates: int
    looks: int
    alpha: float
    margin: float

    def furthest(self, count: int) -> tuple[Interval | Deviation, ...]:
        """At most so many intervals: all in their order, or those that are furthest out."""
        if len(self.intervals) <= count:
            return self.intervals
        return tuple(sorted(self.intervals, key=lambda i: -max(map(abs, i.offsets)))[:count])

    @property
    def estimates(self) -> tuple[Interval, ...]:
        """Those of the entries that are estimated from replicates."""
        return tuple(entry for entry in self.intervals if isinstance(entry, Interval))

    @property
    def worst(self) -> Interval | Deviation:
        """The entry that is furthest out; the one that decided, if any did."""
        outside = [interval for interval in self.intervals if interval.outside]
        return max(
            outside or self.intervals,
            key=lambda i: min(map(abs, i.offsets)) if outside else max(map(abs, i.offsets)),
        )


def look(statistics: Sequence[Statistic], margin: float, alpha: float, number: int) -> Verdict:
    """Judge once, at the `number`-th look (counted from one) of a sequence."""
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
    """Look at `first` replicates, then at ever more of them, until decided or at the cap.

    Each time a quarter is added, in multiples of `first`. Where rounding alone reaches the margin
    of an entry there is one look, which may fail and cannot pass.

    Args:
        draw: the statistics of the first R replicates.
        margin: relative on the log scale, absolute on the linear one.
        alpha: bound on a wrong pass and on a wrong fail, for the whole verdict.
        first: replicates at the first look.
        cap: replicates at the last look.
        settled: whether a pass says all that is to be said; if not, and there are fewer than
            `SETTLING` times the first replicates, it is looked at again.
    """
    replicates, number = min(first, cap), 1
    while True:
        verdict = look(draw(replicates), margin, alpha, number)
        goes_on = verdict.status is Status.INCONCLUSIVE or (
            verdict.status is Status.PASS and replicates < SETTLING * first and not settled(verdict)
        )
        if not goes_on or replicates >= cap or any(entry.blind for entry in verdict.intervals):
            return verdict
        replicates += first * math.ceil(replicates / (4 * first))
        replicates, number = min(replicates, cap), number + 1


def replicates_wanted(verdict: Verdict, most: int = 1_000_000) -> int | None:
    """About how many replicates would decide at one look, if these are typical; None beyond `most`.

    More than there are, which did not.

    On the linear scale intervals are taken to shrink as Student's quantile over the root of the
    number; on the log scale the variance is that of which the shorter side would come, since the
    longer may reach to infinity.
    """
    if any(entry.blind for entry in verdict.intervals):
        return None
    level = verdict.alpha / 2
    level_now = level / len(verdict.estimates) / 2  # of each interval, on either side
    now = verdict.replicates, level_now
    rulers = [(log_ends if i.scale == "log" else linear_ends)(i, *now) for i in verdict.estimates]

    count = verdict.replicates + 1
    while count <= most:
        narrow = np.array([ends(count, level) for ends in rulers])
        low, high = np.array([ends(count, level_now) for ends in rulers]).T
        if np.all(np.abs(narrow) < 1) or np.any((low > 1) | (high < -1)):
            return count
        count += math.ceil(count / 8)
    return None


def exact(deviations: Mapping[str, float], tolerance: float) -> Verdict:
    """The verdict of a deterministic claim: no deviation may exceed the tolerance.

    Args:
        deviations: by the name of their entry.
        tolerance: the largest that is allowed.
    """
    found = tuple(Deviation(entry, value, tolerance) for entry, value in deviations.items())
    status = Status.PASS if all(entry.inside for entry in found) else Status.FAIL
    return Verdict(status, found, 1, 1, 0.0, tolerance)
