"""Statistics of tuned matrices, shared by the claims about M⁻¹."""

import numpy as np
from jaxtyping import Float

from invmass.claims.intervals import Statistic
from invmass.claims.pooled import pooled_statistics
from invmass.runs.experiment import Experiment
from invmass.sampling.backend import Metrics
from invmass.whitening import Matrix, Metric, whiten


def target_statistics(experiment: Experiment, count: int) -> list[Statistic]:
    """What decides whether M⁻¹ converges to its target, of the first `count` replicates."""
    expected = experiment.regularised(experiment.target)
    return metric_statistics(experiment, count, expected)


def metric_statistics(experiment: Experiment, count: int, expected: Metric) -> list[Statistic]:
    tuned = tuned_matrices(experiment, count)
    if experiment.large:
        return pooled_statistics(whiten(tuned, expected), "ratios", experiment.settings.tolerance)
    ratios = whiten(tuned, expected)
    if ratios.ndim == 2:
        return [
            Statistic(entry, ratios[:, i], 1.0, "log")
            for i, entry in enumerate(diagonal_names(experiment))
        ]
    return matrix_statistics(ratios, np.eye(len(expected)), "S")


def matrix_statistics(
    matrices: Float[np.ndarray, "R d d"], centre: Matrix, name: str
) -> list[Statistic]:
    """Diagonal entries on the log scale, those below it on the linear one."""
    return [
        Statistic(
            f"{name}[{i},{j}]",
            matrices[:, i, j],
            float(centre[i, j]),
            "log" if i == j else "linear",
        )
        for i in range(len(centre))
        for j in range(i + 1)
    ]


def judged_entries(experiment: Experiment) -> list[tuple[int, int]]:
    """Entries that are judged one by one: the diagonal, and of a dense metric those below it."""
    indices = range(experiment.case.dimension)
    dense = experiment.estimator.dense
    return [(i, j) for i in indices for j in (range(i + 1) if dense else (i,))]


def tuned_matrices(experiment: Experiment, count: int) -> Metrics:
    """Tuned M⁻¹ of the first replicates in float64."""
    return experiment.tuned(count).inverse_mass_matrix.astype(np.float64)


def inverse_fisher_for_metric(experiment: Experiment) -> Metric:
    """The inverse Fisher as the metric holds it."""
    return experiment.estimator.restrict(experiment.truth.inverse_fisher)


def predicted_ratios(experiment: Experiment) -> tuple[Metric, Metric]:
    """The target whitened by the inverse Fisher, and the same regularised."""
    target = experiment.target
    geometry, predicted = whiten(
        np.stack([target, experiment.regularised(target)]), inverse_fisher_for_metric(experiment)
    )
    return geometry, predicted


def diagonal_names(experiment: Experiment) -> list[str]:
    if experiment.estimator.dense:
        return [f"S[{i},{i}]" for i in range(experiment.case.dimension)]
    return list(experiment.case.posterior.coordinates)
