"""Warm-ups of NumPyro's NUTS on a user's model, in batches of replicates, as they are needed.

There are no exact draws to start from; `STARTS` says where replicates start instead.
"""

from dataclasses import dataclass, field
from functools import cached_property

import jax
import numpy as np

from invmass.adaptation.estimators import RUNNING_COVARIANCE, WELFORD_DENSE, Estimator
from invmass.errors import BackendFaultError, UsageError
from invmass.runs.experiment import BATCH, Settings
from invmass.user_model.metric_structure import MetricStructure, Structure
from invmass.user_model.numpyro_model import NumPyroModel
from invmass.user_model.warm_up import NumPyroWarmUp, WarmUps

STARTS = (
    "where an earlier warm-up of the same length ended, the first of which began at draws of the "
    "Laplace approximation, or where there is none, where NumPyro starts chains"
)
FAR = 5.0  # standard deviations of the chains: a point that far off has another curvature


@dataclass(eq=False)
class WarmUpRuns:
    """Warm-ups of a model under one structure of the metric.

    Batch 0 gives batch 1 its starts and is not judged.

    Args:
        model: the model.
        structure: "diagonal", "dense" or dense blocks of sites.
        settings: of the verdict; the seed and the number of warm-up steps, too.
        regularise: whether NumPyro shrinks what it estimates; `regularize_mass_matrix`.

    Raises:
        UsageError: no such structure, or the warm-up is too short for a metric of it.
    """

    model: NumPyroModel
    structure: Structure
    settings: Settings
    regularise: bool = True
    _runs: list[WarmUps] = field(default_factory=list)

    def __post_init__(self) -> None:
        largest_block = self.metric.largest_block
        windows = np.diff([self.nuts.first_interval, *self.nuts.window_ends])
        enough = len(windows) and largest_block < windows[-1]
        if enough and not self.regularise and largest_block >= windows.min():
            raise UsageError(
                f"without regularisation the {windows.min()} draws of the shortest window leave a "
                f"block of {largest_block} coordinates singular: give a metric of smaller "
                "blocks, or rescale the parameters"
            )
        if not enough:
            raise UsageError(
                f"{self.settings.num_warmup} warm-up steps are too few for a block of "
                f"{largest_block} coordinates: give more, or a metric of smaller blocks"
            )

    @cached_property
    def metric(self) -> MetricStructure:
        """The entries that are tuned."""
        return self.model.metric(self.structure)

    @cached_property
    def nuts(self) -> NumPyroWarmUp:
        """The sampler that adapts from the identity."""
        return NumPyroWarmUp(self.model, self.metric, self.settings.num_warmup, self.regularise)

    @property
    def estimator(self) -> Estimator:
        """The rule that tunes the metric."""
        return WELFORD_DENSE if self.regularise else RUNNING_COVARIANCE

    @property
    def divergences(self) -> float:
        """Fraction of divergent transitions in the warm-ups that were judged so far."""
        counts = [run.divergences.mean() for run in self._runs[1:]]
        return float(np.mean(counts)) / self.settings.num_warmup if counts else 0.0

    @property
    def judged(self) -> int:
        """Replicates that were run so far and are judged."""
        return BATCH * (len(self._runs) - 1)

    def run(self, number: int) -> WarmUps:
        """The warm-up of one batch of replicates.

        Args:
            number: of the batch, from 0.

        Raises:
            BackendFaultError: warm-up left values that are not finite, or variances of zero.
        """
        while len(self._runs) <= number:
            next_number = len(self._runs)
            run = self.nuts.run(self.keys(next_number), self.starts(next_number))
            if not all(np.all(np.isfinite(array)) for array in run):
                raise BackendFaultError(
                    "NumPyro's warm-up left values that are not finite: its chains ran off. Is "
                    "the posterior proper?"
                )
            last = np.diagonal(run.matrices[:, -1], axis1=1, axis2=2)
            if next_number > 0 and np.any(last <= 0):
                raise BackendFaultError(
                    "NumPyro's warm-up left variances of zero: its chains did not move"
                )
            self._runs.append(run)
        return self._runs[number]

    def starts(self, number: int) -> np.ndarray:
        """Where the replicates of a batch start, shape (BATCH, d)."""
        model = self.model
        if number == 0:
            generator = np.random.default_rng(self.settings.seed)
            if model.why_no_fisher:
                return model.default_starts(generator, BATCH)
            # half of them where NumPyro would start: they show whether chains go to this point
            normal = generator.normal(size=(BATCH // 2, model.dimension))
            near = model.position + normal @ np.linalg.cholesky(model.inverse_fisher).T
            return np.concatenate([near, model.default_starts(generator, BATCH // 2)])
        ends = self.run(number - 1).position
        if number > 1 or model.why_no_fisher:
            return ends
        half = ends[BATCH // 2 :] if self.why_elsewhere else ends[: BATCH // 2]
        return np.concatenate([half, half])

    @cached_property
    def why_elsewhere(self) -> str | None:
        """That chains from NumPyro's own starts do not go to the model's point; None if they do."""
        ends = self.run(0).position[BATCH // 2 :]
        centre = np.median(ends, axis=0)
        scale = 1.4826 * np.median(np.abs(ends - centre), axis=0)  # σ of a normal distribution
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.nan_to_num(np.abs(self.model.position - centre) / scale)
        furthest = int(np.argmax(distance))
        if distance[furthest] <= FAR:
            return None
        point = "the mode" if self.model.at_mode else "the given point"
        return (
            f"{point} and the middle of the chains that start where NumPyro starts them are "
            f"{distance[furthest]:.3g} standard deviations apart in "
            f"{self.model.coordinates[furthest]}"
        )

    def keys(self, number: int) -> jax.Array:
        """Random keys of a batch of replicates, shape (BATCH,)."""
        return jax.random.split(
            jax.random.fold_in(jax.random.key(self.settings.seed), number), BATCH
        )

    def tuned(self, count: int) -> np.ndarray:
        """M⁻¹ of the first `count` replicates that are judged, shape (count, d, d).

        Raises:
            BackendFaultError: as `run` does.
        """
        runs = [self.run(1 + number) for number in range(-(-count // BATCH))]
        return np.concatenate([run.matrices[:, -1] for run in runs])[:count]
