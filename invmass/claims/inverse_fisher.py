"""The claim "inverse Fisher", and the reading of each entry of its verdict."""

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
    """Is M⁻¹ the inverse Fisher information, or the predicted multiple of it?

    The claim passes if the ratio of M⁻¹ to the inverse Fisher information is the ratio predicted
    from the geometry of the posterior (the limit of the estimator) and from the documented
    regularisation; `readings` says whether that ratio is one. Where the regularisation floor
    dominates an entry, the part that the data contribute to the entry is judged as well.
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
        """Ratios of M⁻¹ to the inverse Fisher, and the data's part of entries below the floor."""
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
    """Read a verdict on the inverse Fisher: matches, differs as documented, wrong or undecided.

    Returns:
        One reading for each entry; in large dimensions, one for the mean ratio and one each for
        the smallest and the largest ratio of any direction. Entries that are wrong or differ
        carry a reason.
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
    entry_readings = []
    for (i, j), found in zip(places, verdict.estimates, strict=False):
        parts = (next(data),) if hidden[i] or hidden[j] else ()
        size = geometry[i] if geometry.ndim == 1 else geometry[i, j]
        entry_readings.append(read_entry(found, margin, float(size), parts))
    return tuple(entry_readings)


@dataclass(frozen=True)
class Part:
    """The ratio of a diagonal entry to the inverse Fisher, as a product of three factors.

    Attributes:
        entry: its name.
        geometry: the limit of the estimator over the inverse Fisher.
        regularisation: the regularised limit over the limit.
        remainder: the measured mean over the regularised limit.
    """

    entry: str
    geometry: float
    regularisation: float
    remainder: float


def split(experiment: Experiment, verdict: Verdict) -> list[Part]:
    """Factor the ratio to the inverse Fisher into geometry × regularisation × remainder.

    The ratios are the diagonal of M⁻¹ whitened by the inverse Fisher (for a diagonal metric, its
    ratios). The remainder is the effect of adaptation and the Monte Carlo error.

    Returns:
        One part for each of the d coordinates.
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
    """Ratios of M⁻¹ to the inverse Fisher itself, with the predicted ratios as expectations.

    Off the diagonal the margin is multiplied by the predicted scales of both coordinates. In large
    dimensions the statistics are the mean ratio, and the ratios of the directions where the ratio
    is smallest and largest.
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
