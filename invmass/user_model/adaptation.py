"""A user's model: does NumPyro's adaptation find its inverse Fisher information?

The posterior of a user's model is no Gaussian. That M⁻¹ differs from the inverse Fisher information
is therefore no fault of the model or of the sampler, but the answer to the question: each entry is
reported with its difference and the cause of it, α for all entries of a structure together.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from invmass.user_model.entries import Entry, EntryJudge
from invmass.user_model.forecast import Floor, floor_of
from invmass.user_model.posterior_covariance import PosteriorMoments
from invmass.user_model.reference import Reference
from invmass.user_model.warm_up_runs import WarmUpRuns


class Adaptation(WarmUpRuns):
    """Warm-ups of a model under one structure of the metric, and what is found out from them.

    Args:
        model: the model.
        structure: "diagonal", "dense" or dense blocks of sites.
        settings: `replicates` is the cap.
        regularise: whether NumPyro shrinks what it estimates; `regularize_mass_matrix`.

    Raises:
        UsageError: no such structure, or the warm-up is too short for a metric of it.
    """

    @cached_property
    def compared_with(self) -> Reference:
        """What M⁻¹ is compared with, and how well that is known."""
        return Reference(self)

    @property
    def why_no_fisher(self) -> str | None:
        """Why no Fisher information serves as reference; None if one does."""
        return self.compared_with.why_no_fisher

    @property
    def reference_name(self) -> str:
        """What the reference is called."""
        return self.compared_with.name

    @property
    def reference(self) -> np.ndarray:
        """The reference, within the structure, shape (d, d), zero outside.

        Raises:
            UsageError: there is no Fisher information, and the posterior's covariance is not known.
        """
        return self.compared_with.matrix

    @property
    def posterior(self) -> PosteriorMoments:
        """The posterior's moments by long runs, as far as they can be known."""
        return self.compared_with.posterior

    @cached_property
    def floor(self) -> Floor | None:
        """What regularisation will do to small scales, predicted before anything is sampled."""
        if not self.regularise or self.model.why_no_fisher:
            return None
        return floor_of(self.model, self.metric, self.nuts.last_window, self.settings.seed)

    def entries(self) -> Iterator[Entry]:
        """Each entry of the structure, as soon as it is decided.

        Raises:
            BackendFaultError: warm-up left something that is not finite.
            UsageError: there is no reference to compare M⁻¹ with.
        """
        return EntryJudge(self, self.compared_with).entries()
