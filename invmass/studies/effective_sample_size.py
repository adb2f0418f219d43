"""Effective sample size, R̂ and E-BFMI of the draws of several chains."""

import numpy as np


def ess_summary(positions: np.ndarray, mean: np.ndarray, gradients: int) -> dict[str, float]:
    """Smallest bulk effective sample size over the coordinates, and the largest R̂.

    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner, Bayesian Analysis 16 (2021), as ArviZ
    computes it.

    Args:
        positions: draws of R chains, shape (R, n, d).
        mean: E[z], shape (d,).
        gradients: number of gradient evaluations of all chains together.

    Returns:
        "min_bulk_ess" is the smallest bulk ESS of z, "min_square_ess" that of `(z - mean)²`; each
        is also divided by the number of gradients. If the draws are not finite or no chain ever
        moves, the ESS is 0 and "max_rhat" is not a number.
    """
    from arviz_stats.base import array_stats  # slow to import; only timings need this module

    coordinates = np.moveaxis(positions.astype(np.float64), 2, 0)
    moved = np.all(np.isfinite(positions)) and np.any(np.ptp(coordinates, axis=2) > 0)

    def smallest(values: np.ndarray) -> float:
        if not moved:
            return 0.0
        sizes = [array_stats.ess(c, chain_axis=0, draw_axis=1, method="bulk") for c in values]
        return float(np.nan_to_num(np.min(sizes)))

    ess, square_ess = smallest(coordinates), smallest((coordinates - mean[:, None, None]) ** 2)
    return {
        "min_bulk_ess": ess,
        "min_square_ess": square_ess,
        "max_rhat": largest_rhat(positions) if moved else np.nan,
        "ess_per_gradient": ess / gradients,
        "square_ess_per_gradient": square_ess / gradients,
    }


def largest_rhat(positions: np.ndarray) -> float:
    """The largest rank-normalised R̂ over all coordinates.

    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner, Bayesian Analysis 16 (2021), as ArviZ
    computes it.

    Args:
        positions: draws of R chains, shape (R, n, d).
    """
    from arviz_stats.base import array_stats  # slow to import

    coordinates = np.moveaxis(positions.astype(np.float64), 2, 0)
    return float(np.max([array_stats.rhat(c, chain_axis=0, draw_axis=1) for c in coordinates]))


def e_bfmi(log_densities: np.ndarray, dimension: int) -> float:
    """Expected E-BFMI: `d / (d/2 + Var U)` instead of `mean (E' - E)² / Var E`.

    The two agree up to Monte Carlo error for every metric: the potential energy U depends on the
    posterior alone, and the kinetic energy K of a Gaussian momentum, which is redrawn before each
    transition, has variance d/2. E-BFMI is 1 if the posterior is Gaussian. Below 0.3 resampling
    the momentum changes the energy too little to explore the energies of the posterior.
    Source: Betancourt, arXiv:1604.00695, §3, with `E = U + K`.

    Args:
        log_densities: log densities at draws, up to an additive constant; any shape.
        dimension: number of coordinates d.
    """
    return float(dimension / (dimension / 2 + np.var(log_densities.astype(np.float64))))
