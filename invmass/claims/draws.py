"""The claim "draws are right"."""

from collections.abc import Iterator
from typing import final

import numpy as np

from invmass.claims.base import Claim, Deviations, Estimates
from invmass.claims.intervals import Statistic
from invmass.claims.metric_statistics import matrix_statistics
from invmass.claims.pooled import pooled_statistics, squared_means
from invmass.runs.experiment import Experiment
from invmass.whitening import whiten_points


@final
class DrawsAreRight(Claim):
    """Are mean and covariance of the draws those of the posterior, in z and in x?

    In x they are compared only where they are finite. In large dimensions only means and
    variances are compared, whitened and pooled over the coordinates.
    """

    name = "draws are right"
    summary = "Mean and covariance of the draws are the posterior's, in z and in x."
    reference = "mean and covariance of the posterior, in z and in x"
    margin = "10% of a standard deviation or variance"
    uses = "`sample`"
    per = "backend"

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """Mean and covariance of the whitened draws of each replicate."""
        case, truth = experiment.case, experiment.truth
        tolerance = experiment.settings.tolerance
        spaces = {
            "z": (truth.moments, lambda points: points),
            "x": (case.constrained_moments, truth.unconstrained_to_free),
        }
        spaces = {
            name: (moments, convert)
            for name, (moments, convert) in spaces.items()
            if np.all(np.isfinite(moments.covariance))
        }
        subscripts = "rni,rni->ri" if experiment.large else "rni,rnj->rij"
        averages: dict[str, tuple[list[np.ndarray], list[np.ndarray]]]
        averages = {name: ([], []) for name in spaces}  # of whitened draws and of their squares

        def averaged(space: str, count: int) -> tuple[np.ndarray, np.ndarray]:
            """Means and mean products of each replicate; those of earlier looks are reused."""
            means, products = averages[space]
            position = experiment.draws(count).position[sum(map(len, means)) :].astype(np.float64)
            if len(position):
                moments, convert = spaces[space]
                points = convert(position.reshape(-1, case.dimension)).reshape(position.shape)
                points = whiten_points(points, moments.mean, moments.covariance)
                means.append(points.mean(axis=1))
                products.append(np.einsum(subscripts, points, points) / points.shape[1])
            return np.concatenate(means), np.concatenate(products)

        def statistics(count: int) -> list[Statistic]:
            found: list[Statistic] = []
            for space in spaces:
                means, products = averaged(space, count)
                if experiment.large:
                    found.append(
                        Statistic(
                            f"squares of the means {space}", squared_means(means), 0.0, "linear"
                        )
                    )
                    found += pooled_statistics(products, f"variances {space}", tolerance)
                    continue
                found += [
                    Statistic(f"mean {space}[{i}]", values, 0.0, "linear")
                    for i, values in enumerate(means.T)
                ]
                found += matrix_statistics(products, np.eye(case.dimension), f"cov {space}")
            return found

        yield Estimates(statistics)
