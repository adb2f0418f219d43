"""Confidence intervals for the expectation of a statistic over independent replicates."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import scipy.optimize
import scipy.stats
from jaxtyping import Float

Scale = Literal["log", "linear", "precision"]


@dataclass(frozen=True)
class Statistic:
    """One entry of a claim.

    Attributes:
        entry: its name.
        values: one for each replicate, shape (R,); positive on the log scale. On the scale
            "precision" there may be several that should have the same variance, shape (R, k).
        expected: what the expectation of the values should be, or one over their variance.
        scale: "log" judges the ratio of the expectation to `expected`, "linear" the difference,
            "precision" the ratio of one over the variance to `expected`.
        margin: its own, where it is not that of the verdict.
        rounding: by how much rounding may have moved the expectation, on the linear scale.
    """

    entry: str
    values: Float[np.ndarray, " R"] | Float[np.ndarray, "R k"]
    expected: float
    scale: Scale
    margin: float | None = None
    rounding: float = 0.0


@dataclass(frozen=True)
class Interval:
    """An entry's estimate with its confidence interval, on the scale of the values.

    `rounding` is what the interval was widened by at either end: more replicates take nothing off
    it.
    """

    entry: str
    found: float
    low: float
    high: float
    expected: float
    margin: float
    scale: Scale
    rounding: float = 0.0

    @property
    def offsets(self) -> tuple[float, float]:
        """Distance of both ends from what is expected, in units of the margin."""
        return self.offset(self.low), self.offset(self.high)

    def offset(self, value: float) -> float:
        """The same of any value."""
        if self.scale == "log":
            return float(np.log(value / self.expected) / np.log1p(self.margin))
        return (value - self.expected) / self.margin

    @property
    def inside(self) -> bool:
        """The whole interval is within the margin."""
        low, high = self.offsets
        return low > -1 and high < 1

    @property
    def outside(self) -> bool:
        """The whole interval is beyond the margin, on one side."""
        low, high = self.offsets
        return low > 1 or high < -1

    @property
    def blind(self) -> bool:
        """Rounding alone reaches the margin, so that no number of replicates makes a pass."""
        return self.rounding >= self.margin

    def row(self) -> dict[str, Any]:
        """The fields as rows have them."""
        return asdict(self)

    def __str__(self) -> str:
        margin = f"{100 * self.margin:.3g}%" if self.scale == "log" else f"{self.margin:.3g}"
        return (
            f"{self.entry}: found {self.found:.4g} in [{self.low:.4g}, {self.high:.4g}], "
            f"expected {self.expected:.4g} ± {margin}"
        )


def interval(statistic: Statistic, margin: float, alpha: float) -> Interval:
    """Two-sided interval of level 1 - α for the expectation of a statistic.

    On the linear scale Student's t, on the log scale that of the likelihood ratio for the mean of
    a log-normal distribution; both widened where the values are skewed (`_quantiles`).
    """
    count = len(statistic.values)
    values = np.asarray(statistic.values, dtype=np.float64)
    scale = statistic.scale
    if scale == "precision":
        scale = "log"
        found, low, high = _precision(values.reshape(count, -1), alpha)
    elif scale == "log":
        found, low, high = _log_normal_mean(np.log(values), alpha)
    else:
        found = float(np.mean(values))
        error = float(np.std(values, ddof=1)) / math.sqrt(count)
        above, below = _quantiles(values, alpha)
        low = found - above * error - statistic.rounding
        high = found + below * error + statistic.rounding
    return Interval(
        statistic.entry,
        float(found),
        float(low),
        float(high),
        statistic.expected,
        margin,
        scale,
        statistic.rounding,
    )


def _quantiles(values: Float[np.ndarray, " R"], alpha: float) -> tuple[float, float]:
    """How many standard errors the mean of R values may be above its expectation, and below.

    Student's quantile, or what Hall's transformation makes of it where that is more: a tail in the
    values shows too seldom below itself, and too often above. Source: Hall, Journal of the Royal
    Statistical Society B 54 (1992), equation 2.1.
    """
    count, spread = len(values), np.std(values)
    student = _student(alpha / 2, count - 1)
    skewness = np.mean((values - np.mean(values)) ** 3) / spread**3 if spread else 0.0
    bend = skewness / (3 * math.sqrt(count))
    if abs(bend) < 1e-9:
        return student, student
    above, below = (
        side * (np.cbrt(1 + 3 * bend * (side * student - bend / 2)) - 1) / bend for side in (1, -1)
    )
    return max(student, above), max(student, below)


def _log_normal_mean(logs: Float[np.ndarray, " R"], alpha: float) -> tuple[float, float, float]:
    """The mean of log-normal values, estimated from R logarithms, and an interval for it.

    That of the likelihood ratio, `2 R` times the divergence. An interval from the estimate and its
    standard error (Cox's) would err too often at its upper end, since the two rise together.
    """
    count, centre = len(logs), float(np.mean(logs))
    # values that are all the same have a variance, too
    variance = max(float(np.var(logs)), float(np.finfo(np.float64).eps) ** 2)
    found = centre + variance / 2
    above, below = _quantiles(logs, alpha)
    ends = found - _reach(variance, count, above, -1), found + _reach(variance, count, below, 1)
    with np.errstate(over="ignore"):  # few values of a wide spread may mean anything
        found, low, high = np.exp([found, *ends])
    return float(found), float(low), float(high)


def _reach(variance: float, count: int, quantile: float, side: int) -> float:
    """From the log mean of R log-normal values to the end of its interval, below (-1) or above (1).

    Args:
        variance: of the logarithms.
        count: R.
        quantile: of Student's t, which has the same likelihood ratio.
        side: of the interval.
    """

    def excess(distance: float) -> float:
        return 2 * log_normal_divergence(variance, distance) - math.log1p(quantile**2 / (count - 1))

    step = -side * quantile * math.sqrt(variance / count)
    while excess(-variance / 2 + step) < 0:
        step *= 2
    furthest = -variance / 2 + step
    distance = float(scipy.optimize.brentq(excess, -variance / 2, furthest, xtol=1e-14))
    return abs(distance + variance / 2)


def log_normal_divergence(variance: float, distance: float) -> float:
    """How far log-normal values are from the nearest log-normal distribution of another mean.

    The Kullback-Leibler divergence of one value, `½ (log(w/v) + w/2 + b)`: v is the variance of
    the logarithms, b the distance of their mean from the other's log mean, and
    `w = 2 (√(1 + v + b²) - 1)` the variance with which that one is nearest. Zero at `b = -v/2`.
    """
    square = variance + distance**2
    nearest = 2 * square / (1 + math.sqrt(1 + square))
    return 0.5 * (math.log(nearest / variance) + nearest / 2 + distance)


@cache
def _student(tail: float, freedom: int) -> float:
    """Quantile of Student's t; cached, for calibration asks for the same ones all the time."""
    return float(scipy.stats.t.isf(tail, freedom))


def _precision(values: Float[np.ndarray, "R k"], alpha: float) -> tuple[float, float, float]:
    """One over the variance that k columns share, with its interval; values of shape (R, k).

    The variance is pooled, and taken for a multiple of χ² whose degrees of freedom ν give it the
    spread that is seen over replicates (Satterthwaite, Biometrics Bulletin 2, 1946), whatever the
    kurtosis and the correlation of the columns; ν is at most that of independent normal values.
    That ν is itself estimated is paid for as Student's t pays for its variance.
    """
    count, columns = values.shape
    squares = np.mean((values - values.mean(axis=0)) ** 2, axis=1) * count / (count - 1)
    tiny = np.finfo(np.float64).eps ** 2  # values that are all the same have a precision, too
    variance = max(np.mean(squares), tiny)
    seen = 2 * count * variance**2 / max(np.var(squares, ddof=1), tiny**2)
    freedom = min(seen, (count - 1) * columns)
    freedom *= (scipy.stats.norm.isf(alpha / 2) / scipy.stats.t.isf(alpha / 2, count - 1)) ** 2
    ends = scipy.stats.chi2.ppf(alpha / 2, freedom), scipy.stats.chi2.isf(alpha / 2, freedom)
    low, high = (float(end / freedom / variance) for end in ends)
    return float(1 / variance), low, high


Ends = Callable[[int, float], tuple[float, float]]  # of replicates and level, in margins


def linear_ends(seen: Interval, replicates: int, level: float) -> Ends:
    """Those that an interval of so many replicates would have with others."""
    centre, lost = seen.offset(seen.found), seen.rounding / seen.margin
    low, high = seen.offsets[0] + lost, seen.offsets[1] - lost
    unit = math.sqrt(replicates) / _student(level, replicates - 1)

    def ends(count: int, level: float) -> tuple[float, float]:
        share = unit * _student(level, count - 1) / math.sqrt(count)
        return centre - share * (centre - low) - lost, centre + share * (high - centre) + lost

    return ends


def log_ends(seen: Interval, replicates: int, level: float) -> Ends:
    """The same on the log scale."""
    centre, unit = math.log(seen.found / seen.expected), math.log1p(seen.margin)
    quantile = _student(level, replicates - 1)

    def variance(reach: float, side: int) -> float:
        def excess(log: float) -> float:
            return _reach(math.exp(log), replicates, quantile, side) - reach

        least, most = -60.0, 6.0
        if excess(least) > 0:
            return 0.0
        return (
            math.exp(scipy.optimize.brentq(excess, least, most)) if excess(most) > 0 else math.inf
        )

    reaches = {
        side: abs(math.log(end / seen.found))
        for side, end in ((-1, seen.low), (1, seen.high))
        if 0 < end < math.inf
    }
    spread = min((variance(reach, side) for side, reach in reaches.items()), default=math.inf)

    def ends(count: int, level: float) -> tuple[float, float]:
        if not 0 < spread < math.inf:
            return (centre / unit,) * 2 if spread == 0 else (-math.inf, math.inf)
        quantile = _student(level, count - 1)
        below, above = (_reach(spread, count, quantile, side) for side in (-1, 1))
        return (centre - below) / unit, (centre + above) / unit

    return ends
