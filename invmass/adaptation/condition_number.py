"""How good a tuned metric is: its condition number, and the best that so many draws give."""

import numpy as np
import scipy.integrate
import scipy.stats
from jaxtyping import Float

from invmass.whitening import Metric, StackedMetrics, whiten

DRAWS = 500  # Stan's last window in 1,000 steps
DRAWS_PER_COORDINATE = 5  # at least
QUALITY = 1.5  # a metric is usable where κ is below so many times its null


def condition(metrics: StackedMetrics, reference: Metric) -> Float[np.ndarray, "..."]:
    """κ of metrics whitened by the reference: largest over smallest eigenvalue, shape (…,).

    What it costs to sample with a metric that is not the reference; its scale costs nothing, the
    step size makes up for it.

    Args:
        metrics: shape (…, d) diagonal or (…, d, d).
        reference: of their shape, (d,) or (d, d).
    """
    whitened = whiten(metrics.astype(np.float64), reference)
    values = np.sort(whitened, axis=-1) if reference.ndim == 1 else np.linalg.eigvalsh(whitened)
    return values[..., -1] / values[..., 0]


def null_condition(dimension: int, draws: int, dense: bool) -> float:
    """κ of the sample covariance of independent draws of a Gaussian, in d dimensions.

    Dense: `((1 + √(d/n)) / (1 - √(d/n)))²`, the edges of Marchenko & Pastur's law (Mathematics of
    the USSR-Sbornik 1, 1967), from above: of 500 draws 15% too large for d = 2, 6% for 100.
    Diagonal: `exp(r √(2/n))`, r the mean range of d standard normals: a log variance has variance
    2/n.
    """
    if not dense:
        return float(np.exp(_mean_range(dimension) * np.sqrt(2.0 / draws)))
    root = np.sqrt(dimension / draws)
    return float(((1 + root) / (1 - root)) ** 2)


def usable_condition(dimension: int, dense: bool) -> float:
    """κ below which a metric is usable: 1.5 times the null of the draws of a usual warm-up.

    Those are 500, or five for each of the coordinates that are estimated together.
    """
    draws = max(DRAWS, DRAWS_PER_COORDINATE * dimension)
    return QUALITY * null_condition(dimension, draws, dense)


def _mean_range(count: int) -> float:
    """Of so many standard normals: `∫ 1 - Φⁿ - (1 - Φ)ⁿ` (Tippett, Biometrika 17, 1925)."""
    normal = scipy.stats.norm

    def beyond(x: float) -> float:
        return 1.0 - normal.cdf(x) ** count - normal.sf(x) ** count

    return float(2.0 * scipy.integrate.quad(beyond, 0.0, np.inf)[0])
