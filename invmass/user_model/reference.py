"""What tuned metrics of a user's model are compared with."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from invmass.errors import BackendFaultError, InvmassError, UsageError
from invmass.user_model.posterior_covariance import (
    PosteriorMoments,
    posterior_moments,
    unknown_moments,
)
from invmass.user_model.warm_up_runs import WarmUpRuns
from invmass.whitening import gap

OBSERVATIONS, WITH_PRIOR = "inverse Fisher", "inverse Fisher with the prior"
COVARIANCE = "posterior covariance"
SMALL = 0.02  # relative: smaller differences are not mentioned


@dataclass(frozen=True, eq=False)
class Reference:
    """The inverse Fisher information, or the posterior's covariance where there is none.

    Matrices have shape (d, d), with zeros outside the structure of the metric.

    Args:
        runs: warm-ups of the model, which show whether chains go to the point of the information.
    """

    runs: WarmUpRuns

    @cached_property
    def why_no_fisher(self) -> str | None:
        """Why no Fisher information serves as reference; None if one does."""
        return self.runs.model.why_no_fisher or self.runs.why_elsewhere

    @property
    def name(self) -> str:
        """What the reference is called."""
        if self.why_no_fisher:
            return COVARIANCE
        return WITH_PRIOR if self.runs.model.with_prior else OBSERVATIONS

    @cached_property
    def matrix(self) -> np.ndarray:
        """The reference itself.

        Raises:
            UsageError: there is no Fisher information, and the covariance is not known.
        """
        if not self.why_no_fisher:
            return self.runs.metric.restrict(self.runs.model.inverse_fisher)
        if self.posterior.trouble:
            raise UsageError(
                f"no Fisher information serves as reference: {self.why_no_fisher}. And the "
                f"posterior's covariance is not known: {self.posterior.trouble}. State the model "
                "otherwise, or give it a prior that is proper."
            )
        return self.covariance

    @property
    def covariance(self) -> np.ndarray:
        """The posterior's covariance by long runs."""
        return self.runs.metric.restrict(self.posterior.covariance)

    @cached_property
    def others(self) -> dict[str, np.ndarray]:
        """The other references that there are, by their names.

        The inverse Fisher with the prior's curvature, or without; none if that makes no difference.
        """
        if self.why_no_fisher:
            return {}
        prior = not self.runs.model.with_prior
        try:
            other = self.runs.metric.restrict(self.runs.model.information.inverse(prior))
        except InvmassError:
            return {}
        if gap(other, self.matrix) < SMALL:
            return {}
        return {WITH_PRIOR if prior else OBSERVATIONS: other}

    @property
    def laplace(self) -> np.ndarray:
        """Covariance of the Laplace approximation, if the information with the prior is known."""
        return self.others.get(WITH_PRIOR, self.matrix)

    @cached_property
    def posterior(self) -> PosteriorMoments:
        """The posterior's moments by long runs, as far as they can be known."""
        runs, settings = self.runs, self.runs.settings
        try:
            ends = runs.run(1).position
        except BackendFaultError as error:
            return unknown_moments(runs.model.dimension, str(error))
        return posterior_moments(
            runs.model, ends, settings.seed, settings.tolerance, settings.false_alarm
        )

    @property
    def error(self) -> float:
        """How far the reference itself may be off, relative."""
        return self.posterior.largest_error if self.why_no_fisher else 0.0
