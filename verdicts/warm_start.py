"""What a known metric saves: how long it takes until warm-up has a usable one."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from invmass.backends.backend import Tuned
from invmass.geometry.quality import condition, usable_condition
from invmass.verdicts.experiment import Experiment

LENGTHS = (50, 100, 200, 400, 800, 1600)  # warm-up steps that are tried
METRICS = ("diagonal", "block", "dense")  # that can be handed to a sampler


class Begin(enum.StrEnum):
    """The metric that warm-up begins with."""

    IDENTITY = "usable metric from the identity"
    FISHER = "usable metric from the inverse Fisher"
    KEPT = "the inverse Fisher kept"


@dataclass(frozen=True)
class Learned:
    """The shortest warm-up that ends with a usable metric, or the longest if none does.

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


def why_not(experiment: Experiment, begin: Begin) -> str | None:
    """The reason why a combination has no answer, None if it has one."""
    if experiment.metric not in METRICS:
        return f"judged for the metrics {', '.join(METRICS)}"
    if reason := experiment.why_no_target:
        return reason
    return experiment.backend.why_lacking("supplied" if begin is Begin.KEPT else "started")


def learn(experiment: Experiment, begin: Begin) -> Learned:
    """Try ever longer warm-ups of one batch of replicates, until the metric is usable."""
    bound = usable_condition(experiment.target)
    for steps in LENGTHS:
        call = _call(experiment, begin, steps)
        tuned = experiment.checked_tuned(call)
        found = float(np.median(condition(tuned.inverse_mass_matrix, experiment.target)))
        if found < bound or begin is Begin.KEPT:  # the length is for its step size alone
            break
    return Learned(call, tuned, steps, found, bound)


def _call(experiment: Experiment, begin: Begin, steps: int) -> Callable[[], Tuned]:
    starts, keys = experiment.starts(experiment.batch), experiment.keys(0)
    identity = np.eye(experiment.case.dimension)
    matrix = identity if begin is Begin.IDENTITY else experiment.truth.inverse_fisher
    supplied = experiment.estimator.shaped(matrix).astype(starts.dtype)
    return lambda: experiment.backend.warm_up(
        experiment.case,
        experiment.metric,
        keys,
        starts,
        steps,
        supplied,
        kept=begin is Begin.KEPT,
    )
