"""What a known metric saves: how long it takes until warm-up has a usable one."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from invmass.adaptation.condition_number import condition, usable_condition
from invmass.errors import BackendFaultError
from invmass.results.schema import Phase
from invmass.runs.experiment import Experiment
from invmass.sampling.backend import Tuned, WarmUpRequest

LENGTHS = (50, 100, 200, 400, 800, 1600)  # warm-up steps that are tried
METRICS = ("diagonal", "block", "dense")  # that can be handed to a sampler


class InitialMetric(enum.StrEnum):
    """The metric that warm-up begins with."""

    IDENTITY = Phase.FROM_IDENTITY.value
    FISHER = Phase.FROM_FISHER.value
    FISHER_FIXED = Phase.FISHER_FIXED.value


@dataclass(frozen=True)
class ShortestWarmup:
    """The shortest warm-up that ends with a usable metric, or, if none does, the longest that ran.

    Attributes:
        call: runs it again.
        tuned: what it left.
        steps: its length.
        condition: κ of its metrics, whitened by the target; median over replicates.
        bound: κ of a usable metric is smaller.
    """

    call: Callable[[], Tuned]
    tuned: Tuned
    steps: int
    condition: float
    bound: float

    @property
    def usable(self) -> bool:
        """Whether it is."""
        return self.condition < self.bound


def not_timed_reason(experiment: Experiment, begin: InitialMetric) -> str | None:
    """Why a cell is not timed with this initial metric; None if it is."""
    if experiment.metric not in METRICS:
        return f"timed for the metrics {', '.join(METRICS)}"
    if reason := experiment.why_no_target:
        return reason
    if begin is InitialMetric.IDENTITY:
        return None
    return experiment.backend.supplied_metric_reason(adapt_metric=begin is InitialMetric.FISHER)


def shortest_warmup(experiment: Experiment, begin: InitialMetric) -> ShortestWarmup:
    """Try ever longer warm-ups of one batch of replicates, until the metric is usable.

    Raises:
        BackendFaultError: each of them broke the contract, as a short one may.
    """
    bound, fault, learned = usable_condition(*_size(experiment)), None, None
    for steps in LENGTHS:
        call = _call(experiment, begin, steps)
        try:
            tuned = experiment.checked_tuned(call)
        except BackendFaultError as error:
            fault = error
            continue
        found = float(np.median(condition(tuned.inverse_mass_matrix, experiment.target)))
        learned = ShortestWarmup(call, tuned, steps, found, bound)
        if learned.usable or begin is InitialMetric.FISHER_FIXED:  # whose step size alone is tuned
            break
    if learned is None:
        raise fault or BackendFaultError("no length was tried")
    return learned


def _size(experiment: Experiment) -> tuple[int, bool]:
    """Coordinates that are estimated together, and whether their correlations are."""
    estimator = experiment.estimator
    if estimator.entries is not None:
        return int(np.max(np.sum(estimator.entries, axis=1))), True
    return experiment.case.dimension, estimator.dense


def _call(experiment: Experiment, begin: InitialMetric, steps: int) -> Callable[[], Tuned]:
    """The warm-up, with the inverse Fisher supplied unless it begins with the identity."""
    starts, keys = experiment.starts(experiment.batch), experiment.keys(0)
    fisher = experiment.estimator.restrict(experiment.truth.inverse_fisher).astype(starts.dtype)
    request = WarmUpRequest(
        experiment.case,
        experiment.metric,
        keys,
        starts,
        steps,
        inverse_mass_matrix=None if begin is InitialMetric.IDENTITY else fisher,
        adapt_metric=begin is not InitialMetric.FISHER_FIXED,
    )
    return lambda: experiment.backend.warm_up(request)
