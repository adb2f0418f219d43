"""The claim "converges to its target"."""

from collections.abc import Iterator
from typing import final

from invmass.claims.base import Claim, Deviations, Estimates
from invmass.claims.metric_statistics import target_statistics
from invmass.claims.regularisation_floor import data_statistics
from invmass.results.schema import CONVERGES
from invmass.runs.experiment import Experiment


@final
class ConvergesToItsTarget(Claim):
    """Does the mean of M⁻¹ equal the limit of its estimator, regularised for the actual window?"""

    name = CONVERGES
    summary = "The mean of M⁻¹ is what its estimator converges to on this posterior, regularised."
    reference = "the regularised target of the estimator"
    margin = "10%"
    uses = "`warm_up`: `inverse_mass_matrix`, and `window` if the rule regularises"

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """Ratios of M⁻¹ to the target, and the data's part of entries below the floor."""
        yield Estimates(
            lambda count: target_statistics(experiment, count) + data_statistics(experiment, count)
        )
