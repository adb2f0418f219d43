"""The claim "inverse Fisher of x is rejected"."""

from typing import final

from invmass.claims.rejected_reference import RejectedReference
from invmass.runs.experiment import Experiment
from invmass.whitening import Matrix


@final
class InverseFisherOfX(RejectedReference):
    """M⁻¹ differs from the inverse Fisher of the constrained parameters."""

    name = "inverse Fisher of x is rejected"
    summary = "M⁻¹ differs from the inverse Fisher of the constrained parameters."
    reference = "`F_x(x*)⁻¹`, which must be rejected"
    uses = "`warm_up`: `inverse_mass_matrix`"

    def wrong_matrix(self, experiment: Experiment) -> Matrix:
        """The inverse Fisher at x* in constrained space."""
        return experiment.truth.constrained_inverse_fisher
