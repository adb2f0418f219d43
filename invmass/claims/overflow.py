"""The claim "overflow is rejected"."""

from collections.abc import Iterator
from typing import final

import numpy as np

from invmass.claims.base import GAUSSIAN_FIT, Claim, Deviations, Estimates
from invmass.claims.replicates import draws_at_step, replicates_that_moved
from invmass.runs.experiment import Experiment


@final
class OverflowIsRejected(Claim):
    """Does a chain reject a trajectory whose energy overflows to plus or minus infinity?

    At a very long step `½ pᵀ M⁻¹ p` overflows. Its terms may overflow with either sign, so that
    the computed energy may be minus infinity. A sampler that compares energies without a test for
    finite values would accept that state. The search for an initial step size tries such steps
    after every window.
    """

    name = "overflow is rejected"
    summary = "A chain stays where it is when the energy overflows."
    reference = "at the tuned step times the fourth root of the largest number no chain moves"
    margin = "exact"
    uses = "`sample` at any step size"
    cases = (GAUSSIAN_FIT,)
    per = "backend"
    needs_target = False

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """The number of replicates that moved at a step so long that the energy overflows."""
        largest = float(np.finfo(experiment.tuned(experiment.batch).step_size.dtype).max)
        far = draws_at_step(experiment, largest**0.25)(experiment.batch)
        moved = replicates_that_moved(experiment, far)
        yield Deviations({"replicates that moved where the energy overflows": moved})
