"""What the two claims about wrong references share: M⁻¹ must be told from each of them."""

import abc
from collections.abc import Iterator

from invmass.claims.base import NOTEBOOK, Claim, Deviations, Estimates
from invmass.claims.metric_statistics import metric_statistics
from invmass.runs.experiment import Experiment
from invmass.whitening import Matrix


class RejectedReference(Claim):
    """M⁻¹ differs from a matrix that is easily mistaken for the inverse Fisher in z."""

    margin = "more than 10%"
    cases = (NOTEBOOK,)

    @abc.abstractmethod
    def wrong_matrix(self, experiment: Experiment) -> Matrix:
        """The wrong matrix, (d, d)."""

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """M⁻¹ whitened by the wrong reference, regularised."""
        wrong = experiment.estimator.restrict(self.wrong_matrix(experiment))
        expected = experiment.regularised(wrong)
        yield Estimates(
            lambda count: metric_statistics(experiment, count, expected), must_differ=True
        )
