"""Shortest warm-up that ends with a usable metric, from the identity and from the inverse Fisher.

A metric is usable if the condition number of M⁻¹, whitened by its target, is below the bound of
`condition_number.usable_condition`.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from invmass.adaptation.condition_number import condition, usable_condition
from invmass.errors import BackendFaultError
from invmass.results.schema import Phase
from invmass.runs.experiment import Experiment
from invmass.sampling.backend import Tuned, WarmUpRequest

LENGTHS = (50, 100, 200, 400, 800, 1600)  # numbers of warm-up steps that are tried in turn
METRICS = ("diagonal", "block", "dense")  # metrics that a user can supply to a sampler


class InitialMetric(enum.StrEnum):
    """The metric at the start of warm-up, and whether it is adapted."""

    IDENTITY = Phase.FROM_IDENTITY.value
    FISHER = Phase.FROM_FISHER.value
    FISHER_FIXED = Phase.FISHER_FIXED.value


@dataclass(frozen=True)
class ShortestWarmup:
    """The shortest warm-up that ends with a usable metric; else the longest valid one.

    Attributes:
        call: runs the same warm-up again.
        tuned: its result.
        steps: number of warm-up steps.
        condition: condition number κ of M⁻¹ whitened by the target, median over replicates.
        bound: a metric is usable if its κ is below this bound.
    """

    call: Callable[[], Tuned]
    tuned: Tuned
    steps: int
    condition: float
    bound: float

    @property
    def usable(self) -> bool:
        """Whether the metric is usable."""
        return self.condition < self.bound


def not_timed_reason(experiment: Experiment, initial_metric: InitialMetric) -> str | None:
    """The reason why a cell is not timed with this initial metric; None if it is timed."""
    if experiment.metric not in METRICS:
        return f"timed for the metrics {', '.join(METRICS)}"
    if reason := experiment.why_no_target:
        return reason
    if initial_metric is InitialMetric.IDENTITY:
        return None
    adapt_metric = initial_metric is InitialMetric.FISHER
    return experiment.backend.supplied_metric_reason(adapt_metric=adapt_metric)


def shortest_warmup(experiment: Experiment, initial_metric: InitialMetric) -> ShortestWarmup:
    """Run warm-ups of increasing length (`LENGTHS`) until the metric is usable.

    Args:
        experiment: the cell; one batch of replicates is warmed up at each length.
        initial_metric: if the metric is fixed, only the shortest valid warm-up is run.

    Raises:
        BackendFaultError: no length gave a result that satisfies the contract.
    """
    bound, fault, shortest = usable_condition(*_size(experiment)), None, None
    for steps in LENGTHS:
        call = _call(experiment, initial_metric, steps)
        try:
            tuned = experiment.checked_tuned(call)
        except BackendFaultError as error:
            fault = error
            continue
        median = float(np.median(condition(tuned.inverse_mass_matrix, experiment.target)))
        shortest = ShortestWarmup(call, tuned, steps, median, bound)
        only_step_size_is_tuned = initial_metric is InitialMetric.FISHER_FIXED
        if shortest.usable or only_step_size_is_tuned:
            break
    if shortest is None:
        raise fault or BackendFaultError("no length was tried")
    return shortest


def _size(experiment: Experiment) -> tuple[int, bool]:
    """Size of the largest block of the metric, and whether its correlations are estimated."""
    estimator = experiment.estimator
    if estimator.entries is not None:
        return int(np.max(np.sum(estimator.entries, axis=1))), True
    return experiment.case.dimension, estimator.dense


def _call(experiment: Experiment, initial_metric: InitialMetric, steps: int) -> Callable[[], Tuned]:
    """The warm-up call; the inverse Fisher is supplied unless warm-up starts at the identity."""
    starts, keys = experiment.starts(experiment.batch), experiment.keys(0)
    fisher = experiment.estimator.restrict(experiment.truth.inverse_fisher).astype(starts.dtype)
    request = WarmUpRequest(
        experiment.case,
        experiment.metric,
        keys,
        starts,
        steps,
        inverse_mass_matrix=None if initial_metric is InitialMetric.IDENTITY else fisher,
        adapt_metric=initial_metric is not InitialMetric.FISHER_FIXED,
    )
    return lambda: experiment.backend.warm_up(request)
