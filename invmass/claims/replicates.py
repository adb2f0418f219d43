"""Replicates of variants of a run, in batches; and how many of them differ."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Shaped

from invmass.runs.experiment import Experiment, joined
from invmass.sampling.backend import Draws, Metrics, Tuned

T = TypeVar("T", Tuned, Draws)


def in_batches(batch: Callable[[int], T], size: int) -> Callable[[int], T]:
    """The first `count` replicates of what `batch` makes by its number, each batch made once."""
    batches: list[T] = []

    def first(count: int) -> T:
        while len(batches) * size < count:
            batches.append(batch(len(batches)))
        return joined(batches, count)

    return first


def draws_at_step(experiment: Experiment, factor: float) -> Callable[[int], Draws]:
    """Draws of tuned replicates, but with a multiple of the step size that was tuned."""

    def batch(number: int) -> Draws:
        tuned = experiment.tuned((number + 1) * experiment.batch)
        arrays = {
            entry.name: getattr(tuned, entry.name)[-experiment.batch :]
            for entry in fields(Tuned)
            if entry.name != "window"
        }
        arrays["step_size"] = arrays["step_size"] * arrays["step_size"].dtype.type(factor)
        return experiment.checked_draws(experiment.resample_call(number, replace(tuned, **arrays)))

    return in_batches(batch, experiment.batch)


def replicates_that_moved(experiment: Experiment, draws: Draws) -> float:
    """Number of replicates with draws that are not bit by bit where warm-up ended."""
    ended = experiment.tuned(experiment.batch).position[:, None]
    return replicates_that_differ(draws.position, np.broadcast_to(ended, draws.position.shape))


def replicates_that_differ(
    found: Shaped[np.ndarray, "R ..."], expected: Shaped[np.ndarray, "R ..."]
) -> float:
    """Number of replicates that are not equal bit by bit."""
    return float(np.sum(np.any((found != expected).reshape(len(found), -1), axis=1)))


def as_matrices(metrics: Metrics) -> Float[np.ndarray, "R d d"]:
    """Metrics as matrices, (R, d, d)."""
    return metrics if metrics.ndim == 3 else metrics[:, :, None] * np.eye(metrics.shape[1])


def diagonals(metrics: Metrics) -> Float[np.ndarray, "R d"]:
    """Diagonals of metrics, (R, d)."""
    return metrics if metrics.ndim == 2 else np.diagonal(metrics, axis1=1, axis2=2)
