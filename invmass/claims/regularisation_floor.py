"""Entries of M⁻¹ that the regularisation floor dominates: the data contribute less than half."""

from dataclasses import replace

import numpy as np

from invmass.claims.intervals import Statistic
from invmass.claims.metric_statistics import diagonal_names, judged_entries
from invmass.claims.pooled import ONE_DIRECTION, pooled_statistics
from invmass.claims.reading import BELOW_FLOOR
from invmass.claims.sequential import Verdict
from invmass.model.precision import relative_rounding
from invmass.results.status import Status
from invmass.runs.experiment import Experiment
from invmass.whitening import whiten

HALF = 0.5  # the data's part of an entry is judged by itself if it is below this fraction
UNITS = 4  # in the last place: allowance for rounding in a library's shrinkage


def data_statistics(experiment: Experiment, count: int) -> list[Statistic]:
    """The data's part of the entries that the regularisation floor dominates.

    With Stan's rule the data's part of M⁻¹ is `((n+5)/n) (M⁻¹ - floor)`. Whitened by the target,
    its expectation is the identity. The subtraction loses digits, so intervals are widened by the
    effect of a few units in the last place of M⁻¹.

    Args:
        experiment: the cell.
        count: number of replicates R.

    Returns:
        Statistics with R values each; none if the floor dominates no entry.
    """
    hidden, estimator = below_floor(experiment), experiment.estimator
    if not np.any(hidden):
        return []
    window, target = experiment.tuned(1).window, experiment.target
    tuned = experiment.tuned(count).inverse_mass_matrix
    parts = whiten(estimator.data_part(tuned.astype(np.float64), window), target)
    unit = UNITS * relative_rounding(tuned) / estimator.weight(window)
    lost = unit * _whitened_error_bound(np.abs(tuned.astype(np.float64)).max(axis=0), target)
    if experiment.large:
        rounding = float(np.max(lost if lost.ndim == 1 else np.diag(lost)[hidden]))
        chosen = parts[:, hidden] if parts.ndim == 2 else parts[:, hidden][:, :, hidden]
        tolerance = experiment.settings.tolerance
        return [
            replace(
                statistic,
                scale="linear",
                margin=HALF if statistic.margin == ONE_DIRECTION else statistic.margin,
                rounding=(
                    2 * tolerance * rounding + rounding**2  # of a square, about the margin
                    if statistic.margin == tolerance**2
                    else rounding
                ),
            )
            for statistic in pooled_statistics(chosen, "data in hidden entries", tolerance)
        ]
    names, found = diagonal_names(experiment), []
    for i, j in judged_entries(experiment):
        if not (hidden[i] or hidden[j]):
            continue
        place = (i,) if parts.ndim == 2 else (i, j)
        name = names[i] if i == j else f"S[{i},{j}]"
        values, rounding = parts[:, *place], float(lost[place])
        found.append(
            Statistic(f"data in {name}", values, float(i == j), "linear", rounding=rounding)
        )
    return found


def why_open(experiment: Experiment, verdict: Verdict) -> str:
    """Why an inconclusive verdict cannot be decided by more replicates; empty if it might be."""
    blind = [entry for entry in verdict.estimates if entry.blind]
    if verdict.status is not Status.INCONCLUSIVE or not blind:
        return ""
    worst = max(blind, key=lambda entry: entry.rounding)
    floor = experiment.estimator.floor(experiment.tuned(1).window)
    return (
        f"{BELOW_FLOOR}: the rule adds {floor:.3g} to each variance, and rounding of the sum alone "
        f"may move {worst.entry} by {worst.rounding:.2g}, more than the margin of "
        f"{worst.margin:.2g}; rescale the parameters, run in float64, or tune without "
        "regularisation"
    )


def _whitened_error_bound(sizes: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Bounds on the errors of a whitened metric, given bounds `sizes` on those of its entries."""
    if reference.ndim == 1:
        return sizes / reference
    inverse = np.abs(np.linalg.inv(np.linalg.cholesky(reference)))
    return inverse @ sizes @ inverse.T


def below_floor(experiment: Experiment) -> np.ndarray:
    """Whether the data contribute less than half to a coordinate or direction; shape (d,), bool."""
    target, window = experiment.target, experiment.tuned(1).window
    ratios = whiten(experiment.regularised(target)[None], target)[0]
    ratios = ratios if ratios.ndim == 1 else np.diag(ratios)
    if experiment.estimator.floor(window) == 0:
        return np.zeros(len(ratios), dtype=bool)
    return experiment.estimator.weight(window) / ratios < HALF
