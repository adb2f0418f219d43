"""A metric in units of another: what is left of it where the other is right."""

import numpy as np
from jaxtyping import Float

Matrix = Float[np.ndarray, "d d"]
Metric = Float[np.ndarray, " d"] | Matrix  # diagonal or dense
StackedMetrics = Float[np.ndarray, "... d"] | Float[np.ndarray, "... d d"]


def whiten(metrics: StackedMetrics, reference: Metric) -> StackedMetrics:
    """`L⁻¹ M⁻¹ L⁻ᵀ` with L the Cholesky factor of the reference; ratios if it is a vector."""
    if reference.ndim == 1:
        return metrics / reference
    inverse = np.linalg.inv(np.linalg.cholesky(reference))
    return inverse @ metrics @ inverse.T


def whiten_points(
    points: Float[np.ndarray, "... d"], mean: Float[np.ndarray, " d"], covariance: Matrix
) -> Float[np.ndarray, "... d"]:
    """`L⁻¹ (z - mean)` of rows z, with L the Cholesky factor of the covariance.

    Args:
        points: shape (…, d).
        mean: shape (d,).
        covariance: shape (d, d).
    """
    return (points - mean) @ np.linalg.inv(np.linalg.cholesky(covariance)).T


def gap(metric: Metric, reference: Metric) -> float:
    """Largest deviation of a metric, whitened: of the logarithm of a ratio, or of a correlation.

    Both of shape (d,) or (d, d).
    """
    whitened = whiten(metric[None], reference)[0]
    if whitened.ndim == 1:
        return float(np.max(np.abs(np.log(whitened))))
    ratios = np.diag(whitened)
    correlations = whitened - np.diag(ratios)
    return float(max(np.max(np.abs(np.log(ratios))), np.max(np.abs(correlations))))
