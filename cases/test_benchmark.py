"""What does it cost? Compilation, warm-up and sampling apart, timed by pytest-benchmark."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
import pytest

from invmass.backends.backend import Draws, Tuned
from invmass.verdicts.experiment import NUM_SAMPLES, Experiment

ROUNDS = 5

T = TypeVar("T", Tuned, Draws)
Record = Callable[[dict[str, Any]], None]


@pytest.fixture(autouse=True)
def _no_persistent_cache() -> Any:
    """Compilation is timed, so nothing compiled earlier may be found."""
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    jax.clear_caches()
    yield
    jax.config.update("jax_enable_compilation_cache", before)


@pytest.mark.invmass_timing("warm-up")
def test_warm_up_time(experiment: Experiment, benchmark: Any, record_timing: Record) -> None:
    """Seconds to tune one batch of replicates."""
    call = experiment.warm_up_call(0)
    tuned, timing = _time(benchmark, call)
    record_timing(timing | {"gradients": int(tuned.gradients.sum()), "num_samples": 0})


@pytest.mark.invmass_timing("sampling")
def test_sampling_time(experiment: Experiment, benchmark: Any, record_timing: Record) -> None:
    """Seconds to draw from one batch of replicates, and what the draws are worth."""
    draws, timing = _time(benchmark, experiment.sample_call(0))
    gradients = int(draws.gradients.sum())
    ess, rhat = _worst(draws)
    worth = {
        "gradients": gradients,
        "num_samples": NUM_SAMPLES,
        "min_bulk_ess": ess,
        "max_rhat": rhat,
        "ess_per_second": ess / timing["seconds"],
        "ess_per_gradient": ess / gradients,
    }
    record_timing(timing | worth)


def _time(benchmark: Any, call: Callable[[], T]) -> tuple[T, dict[str, Any]]:
    """The answer of a call, and its times; the first call compiles.

    Backends return NumPy arrays, so a call ends when the device is done.
    """
    begin = time.perf_counter()
    answer = call()
    first = time.perf_counter() - begin
    benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=1)
    stats = benchmark.stats.stats
    timing = {
        "compile_seconds": max(0.0, first - stats.median),
        "seconds": stats.median,
        "seconds_min": stats.min,
        "seconds_max": stats.max,
        "rounds": ROUNDS,
        "round_seconds": list(stats.data),
        "replicates": len(answer.acceptance),
    }
    return answer, timing


def _worst(draws: Draws) -> tuple[float, float]:
    """Smallest bulk-ESS and largest R̂ over the coordinates, all replicates as chains."""
    from arviz_stats.base import array_stats  # slow to import, and only timings need it

    coordinates = np.moveaxis(draws.position.astype(np.float64), 2, 0)
    ess = [array_stats.ess(c, chain_axis=0, draw_axis=1, method="bulk") for c in coordinates]
    rhat = [array_stats.rhat(c, chain_axis=0, draw_axis=1) for c in coordinates]
    return float(min(ess)), float(max(rhat))
