"""The claim "density agrees"."""

from collections.abc import Iterator
from typing import final

import jax
import numpy as np

from invmass.claims.base import Claim, Deviations, Estimates
from invmass.model.precision import float64
from invmass.runs.experiment import Experiment

TOLERANCE = 1e-10  # relative to the largest magnitude among the log densities


@final
class DensityAgrees(Claim):
    """Do the backend's unconstrained log density and the case's differ by one constant?

    The deviation is the range of the difference over exact draws, divided by the largest
    magnitude among the log densities. Both are evaluated in float64, so that only a wrong
    formula, and no rounding, can exceed the tolerance.
    """

    name = "density agrees"
    summary = "The library's unconstrained log density and the case's differ by one constant."
    reference = "the case's log density: the difference at exact draws is one constant"
    margin = "1e-10, exact"
    uses = "`transforms`, `log_density`"
    per = "backend"
    needs_target = False

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """The relative range of the difference over 64 exact draws."""
        case, truth = experiment.case, experiment.truth
        points = truth.starts(experiment.settings.seed, 64)

        def theirs() -> np.ndarray:
            return np.asarray(jax.jit(jax.vmap(experiment.backend.log_density(case)))(points))

        with float64():
            found, expected = experiment.timed(theirs), np.asarray(truth.log_densities(points))
        spread = float(np.ptp(found - expected)) / max(1.0, float(np.max(np.abs(expected))))
        yield Deviations({"spread of the difference": spread}, TOLERANCE)
