"""What draws are worth: their effective number, and how freely their energy moves."""

import numpy as np


def worth(positions: np.ndarray, mean: np.ndarray, gradients: int) -> dict[str, float]:
    """Smallest bulk-ESS over the coordinates, and that of `(z - mean)²`; largest R̂.

    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner, Bayesian Analysis 16 (2021), as ArviZ
    computes it. Chains that never move are worth nothing.

    Args:
        positions: draws of R chains, shape (R, n, d).
        mean: E[z], shape (d,).
        gradients: evaluations that the draws took, of all chains.
    """
    from arviz_stats.base import array_stats  # slow to import, and only timings need it

    coordinates = np.moveaxis(positions.astype(np.float64), 2, 0)
    moved = np.all(np.isfinite(positions)) and np.any(np.ptp(coordinates, axis=2) > 0)

    def smallest(values: np.ndarray) -> float:
        if not moved:
            return 0.0
        found = [array_stats.ess(c, chain_axis=0, draw_axis=1, method="bulk") for c in values]
        return float(np.nan_to_num(np.min(found)))

    ess, square_ess = smallest(coordinates), smallest((coordinates - mean[:, None, None]) ** 2)
    return {
        "min_bulk_ess": ess,
        "min_square_ess": square_ess,
        "max_rhat": largest_rhat(positions) if moved else np.nan,
        "ess_per_gradient": ess / gradients,
        "square_ess_per_gradient": square_ess / gradients,
    }


def largest_rhat(positions: np.ndarray) -> float:
    """The largest rank-normalised R̂ of all coordinates.

    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner, Bayesian Analysis 16 (2021), as ArviZ
    computes it.

    Args:
        positions: draws of R chains, shape (R, n, d).
    """
    from arviz_stats.base import array_stats  # slow to import

    coordinates = np.moveaxis(positions.astype(np.float64), 2, 0)
    return float(np.max([array_stats.rhat(c, chain_axis=0, draw_axis=1) for c in coordinates]))


def e_bfmi(log_densities: np.ndarray, dimension: int) -> float:
    """What E-BFMI, `mean (E' - E)² / Var E` of successive energies, comes to: `d / (d/2 + Var U)`.

    Up to its own Monte Carlo error, whatever the metric: the potential U is the posterior's, and a
    Gaussian momentum has a kinetic energy of variance d/2, drawn anew for each draw. 1 on a
    Gaussian; below 0.3 momenta are too weak for the energies that the posterior has.
    Source: Betancourt, arXiv:1604.00695, §3, with `E = U + K`.

    Args:
        log_densities: at draws, up to a constant, any shape.
        dimension: d.
    """
    return float(dimension / (dimension / 2 + np.var(log_densities.astype(np.float64))))
