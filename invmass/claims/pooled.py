"""Statistics of many coordinates together: per-entry intervals would need too many replicates."""

import numpy as np
from jaxtyping import Float

from invmass.claims.intervals import Statistic
from invmass.sampling.backend import Metrics
from invmass.whitening import Metric

ONE_DIRECTION = 1.0  # margin of a single one of many coordinates: a factor of two


def pooled_statistics(ratios: Metrics, name: str, tolerance: float) -> list[Statistic]:
    """Ratios, (R, d), that should all be one, or matrices, (R, d, d), that should be the identity.

    The mean of the ratios (or diagonals) should be one, and their mean square deviation from it,
    `Σ (E[Sᵢᵢ] - 1)² / d`, within the square of the tolerance. Of what is off the diagonal,
    `Σ E[Sᵢⱼ]² / d` should be zero. What is wrong in a single direction hardly shows in these; it
    does in the direction that is furthest off, which is judged by a margin of its own.
    """
    dense = ratios.ndim == 3
    diagonals = np.diagonal(ratios, axis1=1, axis2=2) if dense else ratios
    found = [
        Statistic(f"mean of the {name}", diagonals.mean(axis=1), 1.0, "log"),
        Statistic(
            f"mean square deviation of the {name}",
            squared_means(diagonals - 1) / diagonals.shape[1],
            0.0,
            "linear",
            tolerance**2,
        ),
    ]
    if dense:
        off_diagonal = ratios * (1 - np.eye(ratios.shape[1]))
        squares = squared_means(off_diagonal.reshape(len(ratios), -1)) / ratios.shape[1]
        found.append(Statistic("squares off the diagonal", squares, 0.0, "linear"))
    smallest, largest = extreme_directions(ratios)
    found += [
        Statistic(f"smallest of the {name}", smallest, 1.0, "log", ONE_DIRECTION),
        Statistic(f"largest of the {name}", largest, 1.0, "log", ONE_DIRECTION),
    ]
    return found


def extreme_directions(ratios: Metrics) -> Float[np.ndarray, "2 R"]:
    """Smallest and largest ratio of any coordinate, or direction; shape (2, R).

    Of ratios, (R, d), or matrices, (R, d, d). Each replicate is asked where the mean of the others
    is smallest and largest, so that noise which makes it so there is not in what is found here.
    Near the margin all ask for the same direction, and their answers are independent. Where noise
    alone decides which one that is, they are not, but there they are far from the margin.
    """
    means = (ratios.sum(axis=0) - ratios) / (len(ratios) - 1)
    if ratios.ndim == 2:
        where = np.stack([means.argmin(axis=1), means.argmax(axis=1)])
        return ratios[np.arange(len(ratios)), where]
    found = []
    for own, others in zip(ratios, means, strict=True):
        directions = np.linalg.eigh(others)[1][:, [0, -1]]
        found.append(np.einsum("ik,ij,jk->k", directions, own, directions))
    return np.stack(found, axis=1)


def squared_means(values: Float[np.ndarray, "R k"]) -> Float[np.ndarray, " R"]:
    """Of values (R, k) those whose mean estimates `Σ E[vᵢ]²`, and whose scatter its error; (R,).

    Each replicate times the mean of the others: what is noise in one is not in the others, and
    adds nothing on average. As every replicate stands in all the products, their mean scatters
    twice as far as theirs would tell, and they are spread as much. Source: Hoeffding, Annals of
    Mathematical Statistics 19 (1948), theorem 7.1, for products of two.
    """
    others = (values.sum(axis=0) - values) / (len(values) - 1)
    found = np.einsum("rk,rk->r", values, others)
    return 2 * found - found.mean()


def mean_and_extremes(ratios: Metric) -> tuple[float, float, float]:
    """Mean, smallest and largest of ratios, (d,), or of a matrix of them, (d, d)."""
    values = ratios if ratios.ndim == 1 else np.linalg.eigvalsh(ratios)
    return float(np.mean(values)), float(np.min(values)), float(np.max(values))
