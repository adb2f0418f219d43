"""The claim "inverse Fisher", and how its verdict is read entry by entry."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from invmass.claims.base import Claim, Deviations, Estimates
from invmass.claims.intervals import Statistic
from invmass.claims.metric_statistics import (
    diagonal_names,
    inverse_fisher_for_metric,
    judged_entries,
    matrix_statistics,
    predicted_ratios,
    tuned_matrices,
)
from invmass.claims.pooled import (
    ONE_DIRECTION,
    extreme_directions,
    mean_and_extremes,
    pooled_statistics,
)
from invmass.claims.reading import EntryReading, read_entry
from invmass.claims.regularisation_floor import below_floor, data_statistics
from invmass.claims.sequential import Verdict
from invmass.results.schema import INVERSE_FISHER
from invmass.runs.experiment import Experiment
from invmass.whitening import whiten


@final
class InverseFisher(Claim):
    """Is M⁻¹ the inverse Fisher information, or what its documented rule makes of this posterior?

    It passes where the ratio to the inverse Fisher itself is the one that geometry (what the
    estimator converges to) and the documented regularisation predict; `readings` says whether it is
    one. What the data contribute to an entry that the regularisation floor hides is judged too.
    """

    name = INVERSE_FISHER
    summary = (
        "M⁻¹ matches the inverse Fisher information, or differs from it by the ratio that "
        "geometry and the documented regularisation predict."
    )
    reference = "`F_z(z*)⁻¹` itself: the ratio of M⁻¹ to it is that of the regularised target"
    margin = "10% of the predicted ratio"
    uses = "`warm_up`: `inverse_mass_matrix`; the rule in `estimators`"

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """Ratios to the inverse Fisher, and the data's part of entries below the floor."""
        margin = experiment.settings.tolerance

        def settled(verdict: Verdict) -> bool:
            return all(entry.reason != "at the margin" for entry in readings(experiment, verdict))

        def statistics(count: int) -> list[Statistic]:
            found = _ratio_statistics(experiment, count)
            if experiment.large:
                expected = experiment.regularised(experiment.target)
                ratios = whiten(tuned_matrices(experiment, count), expected)
                found += pooled_statistics(ratios, "ratios", margin)
            return found + data_statistics(experiment, count)

        yield Estimates(statistics, settled=settled)


def readings(experiment: Experiment, verdict: Verdict) -> tuple[EntryReading, ...]:
    """What a verdict on the inverse Fisher says of each entry; of many coordinates, of all of them.

    Those that are wrong or differ have a reason with them.
    """
    geometry, _ = predicted_ratios(experiment)
    margin = experiment.settings.tolerance
    if experiment.large:
        margins = margin, ONE_DIRECTION, ONE_DIRECTION
        entries, rest = verdict.estimates[: len(margins)], verdict.estimates[len(margins) :]
        sizes = mean_and_extremes(geometry)
        return tuple(map(read_entry, entries, margins, sizes, (rest, (), ())))
    hidden = below_floor(experiment)
    places = judged_entries(experiment)
    data = iter(verdict.estimates[len(places) :])
    told = []
    for (i, j), found in zip(places, verdict.estimates, strict=False):
        parts = (next(data),) if hidden[i] or hidden[j] else ()
        size = geometry[i] if geometry.ndim == 1 else geometry[i, j]
        told.append(read_entry(found, margin, float(size), parts))
    return tuple(told)


@dataclass(frozen=True)
class Part:
    """An entry's ratio to the inverse Fisher as a product of named parts."""

    entry: str
    geometry: float
    regularisation: float
    remainder: float


def split(experiment: Experiment, verdict: Verdict) -> list[Part]:
    """The deviation from the inverse Fisher as geometry × regularisation × remainder.

    All on the diagonal of the whitened matrix (or the ratios of a diagonal metric); what remains
    is adaptivity and Monte Carlo error.
    """

    def diagonal(metric: np.ndarray) -> np.ndarray:
        return metric if metric.ndim == 1 else np.diag(metric)

    geometry, regularised = map(diagonal, predicted_ratios(experiment))
    mean = tuned_matrices(experiment, verdict.replicates).mean(axis=0)
    measured = diagonal(whiten(mean[None], inverse_fisher_for_metric(experiment))[0])
    return [
        Part(entry, float(a), float(b / a), float(c / b))
        for entry, a, b, c in zip(
            diagonal_names(experiment), geometry, regularised, measured, strict=True
        )
    ]


def _ratio_statistics(experiment: Experiment, count: int) -> list[Statistic]:
    """M⁻¹ over the inverse Fisher itself, against what is predicted of it.

    Beside the diagonal the margin is in units of the predicted scales. Of many coordinates the mean
    ratio, and those of the directions where it is smallest and largest.
    """
    ratios = whiten(tuned_matrices(experiment, count), inverse_fisher_for_metric(experiment))
    _, predicted = predicted_ratios(experiment)
    if experiment.large:
        diagonals = ratios if ratios.ndim == 2 else np.diagonal(ratios, axis1=1, axis2=2)
        values = (diagonals.mean(axis=1), *extreme_directions(ratios))
        names, margins = ("mean", "smallest", "largest"), (None, ONE_DIRECTION, ONE_DIRECTION)
        return [
            Statistic(f"{name} of the ratios to the inverse Fisher", value, expected, "log", margin)
            for name, value, expected, margin in zip(
                names, values, mean_and_extremes(predicted), margins, strict=True
            )
        ]
    if ratios.ndim == 2:
        return [
            Statistic(entry, ratios[:, i], float(predicted[i]), "log")
            for i, entry in enumerate(diagonal_names(experiment))
        ]
    scales, margin = np.sqrt(np.diag(predicted)), experiment.settings.tolerance
    return [
        statistic if i == j else replace(statistic, margin=float(margin * scales[i] * scales[j]))
        for (i, j), statistic in zip(
            judged_entries(experiment), matrix_statistics(ratios, predicted, "S"), strict=True
        )
    ]
