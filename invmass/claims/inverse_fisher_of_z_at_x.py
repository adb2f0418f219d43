"""The claim "inverse Fisher of z at x is rejected"."""

from typing import final

from invmass.claims.rejected_reference import RejectedReference
from invmass.runs.experiment import Experiment
from invmass.whitening import Matrix


@final
class InverseFisherOfZAtX(RejectedReference):
    """M⁻¹ differs from the inverse Fisher of z evaluated with x where z belongs."""

    name = "inverse Fisher of z at x is rejected"
    summary = "M⁻¹ differs from the inverse Fisher of z evaluated with x where z belongs."
    reference = "`F_z(x*)⁻¹`, which must be rejected"
    uses = "`warm_up`: `inverse_mass_matrix`"

    def wrong_matrix(self, experiment: Experiment) -> Matrix:
        """The inverse Fisher in z, evaluated with x* where z* belongs."""
        return experiment.truth.misplaced_inverse_fisher
