"""The claim "supplied metric"."""

from collections.abc import Callable, Iterator
from typing import final

import numpy as np
import scipy.linalg

from invmass.claims.base import GAUSSIAN_FIT, Claim, Deviations, Estimates
from invmass.claims.intervals import Statistic
from invmass.claims.replicates import as_matrices, in_batches, replicates_that_differ
from invmass.runs.experiment import Experiment
from invmass.sampling.backend import Tuned, WarmUpRequest

STEP_SIZE_LAW = 0.25  # relative margin
SHORT_WARMUP = 200  # steps: enough to tune only the step size


@final
class SuppliedMetric(Claim):
    """Does warm-up return a supplied metric bit for bit, and does it sample with that metric?

    Two metrics are supplied: the covariance, and the covariance rescaled by a factor for each
    coordinate, with alternating signs. The ratio of the step sizes tuned under them must follow
    the law for Gaussians, `ε ∝ (Σ λᵢ⁻⁴)^(-1/4)`, where λᵢ² are the eigenvalues of `M^½ Σ M^½`.
    """

    name = "supplied metric"
    summary = (
        "A metric that is handed over is read back bit for bit, and the step size is tuned to it."
    )
    reference = (
        "read back bit for bit; step sizes under two of them as `ε ∝ (Σλᵢ⁻⁴)^(-¼)`, λᵢ² the "
        "eigenvalues of `M^½ Σ M^½`"
    )
    margin = "exact; 25% of the step-size law"
    uses = "`warm_up` with a supplied metric"
    cases = (GAUSSIAN_FIT, "gaussian_mean")
    quick_cases = (GAUSSIAN_FIT,)
    per = "backend"
    per_in_full = "metric"
    needs = "a backend that can keep a supplied metric"

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """The number of replicates that changed the metric; then the ratio of step sizes."""
        covariance = experiment.truth.moments.covariance
        # alternating signs flip the correlations of neighbours, so that a sampler which uses only
        # the diagonal of a dense metric tunes another step size
        stretch = (
            2.0 * (-1.0) ** np.arange(len(covariance)) * np.linspace(1.0, 0.5, len(covariance))
        )
        sheared = covariance * np.outer(stretch, stretch)
        metrics = [
            experiment.estimator.restrict(m).astype(experiment.starts(1).dtype)
            for m in (covariance, sheared)
        ]
        case, name, size = experiment.case, experiment.metric, experiment.batch

        def warm_up(metric: np.ndarray) -> Callable[[int], Tuned]:
            def batch(number: int) -> Tuned:
                starts = experiment.starts((number + 1) * experiment.batch)[-experiment.batch :]
                keys = experiment.keys(number)
                request = WarmUpRequest(
                    case, name, keys, starts, SHORT_WARMUP, metric, adapt_metric=False
                )
                return experiment.checked_tuned(lambda: experiment.backend.warm_up(request))

            return in_batches(batch, experiment.batch)

        runs = [warm_up(metric) for metric in metrics]
        changed = {
            f"replicates that changed the {which} metric": replicates_that_differ(
                run(size).inverse_mass_matrix, np.broadcast_to(metric, (size, *metric.shape))
            )
            for which, run, metric in zip(("first", "second"), runs, metrics, strict=True)
        }
        yield Deviations(changed)
        laws = [_stable_step_size(covariance, metric) for metric in metrics]

        def ratio(count: int) -> list[Statistic]:
            first, second = (run(count).step_size.astype(np.float64) for run in runs)
            return [Statistic("ratio of step sizes", first / second, laws[0] / laws[1], "log")]

        yield Estimates(ratio, STEP_SIZE_LAW)

    def unmet_need(self, experiment: Experiment) -> str | None:
        """Why the backend cannot sample with a fixed, supplied metric; None if it can."""
        return experiment.backend.supplied_metric_reason(adapt_metric=False)


def _stable_step_size(covariance: np.ndarray, metric: np.ndarray) -> float:
    """The step size on a Gaussian, up to a factor that depends only on the acceptance.

    That is `(Σ λᵢ⁻⁴)^(-1/4)`, where λᵢ² are the eigenvalues of `M^½ Σ M^½`.
    """
    squares = scipy.linalg.eigh(covariance, as_matrices(metric[None])[0], eigvals_only=True)
    return float(np.sum(squares**-2.0) ** -0.25)
