"""What does it cost? Compilation, warm-up and sampling apart, timed by pytest-benchmark.

All that is timed has its turn before anything has its next, so that a machine that slows down
slows all of it; how far the turns of one timing are apart is the noise.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
import pytest

from invmass.runs.environment import load, peak_memory
from invmass.runs.experiment import NUM_SAMPLES, Experiment
from invmass.sampling.backend import Draws, Tuned
from invmass.studies import effective_sample_size as effective
from invmass.studies import warm_start
from invmass.studies.warm_start import InitialMetric

ROUNDS, WARM_UP_ROUNDS = 5, 1  # of each turn

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
def test_warm_up_time(
    experiment: Experiment, turn: int, benchmark: Any, record_timing: Record
) -> None:
    """Seconds to tune one batch of replicates."""
    tuned, timing = _time(benchmark, experiment.warm_up_call(0))
    record_timing(timing | {"turn": turn, "gradients": int(tuned.gradients.sum())})


@pytest.mark.invmass_timing("sampling")
def test_sampling_time(
    experiment: Experiment, turn: int, benchmark: Any, record_timing: Record
) -> None:
    """Seconds to draw from one batch of replicates, and the effective sample size of the draws."""
    draws, timing = _time(benchmark, experiment.sample_call(0))
    gradients = int(draws.gradients.sum())
    quality = _ess_summary(experiment, draws) | _diagnostics(experiment, draws)
    quality |= {
        "gradients": gradients,
        "num_samples": NUM_SAMPLES,
    }
    for ess in ("ess", "square_ess"):
        per_gradient = quality[f"{ess}_per_gradient"]
        quality[f"{ess}_per_second"] = per_gradient * gradients / timing["seconds"]
    record_timing(timing | quality | {"turn": turn})


@pytest.mark.invmass_full
@pytest.mark.invmass_timing("usable metric")
@pytest.mark.parametrize("begin", InitialMetric, ids=lambda begin: begin.name.lower())
def test_usable_metric_time(
    experiment: Experiment, begin: InitialMetric, turn: int, benchmark: Any, record_timing: Record
) -> None:
    """Seconds and gradients until warm-up has a usable metric, and the ESS with it."""
    if reason := warm_start.not_timed_reason(experiment, begin):
        pytest.skip(reason)
    learned = warm_start.shortest_warmup(experiment, begin)
    draws = experiment.checked_draws(experiment.resample_call(0, learned.tuned))
    jax.clear_caches()  # nor may anything that its trials compiled
    tuned, timing = _time(benchmark, learned.call)
    record_timing(
        timing
        | _ess_summary(experiment, draws)
        | {
            "phase": begin,
            "turn": turn,
            "gradients": int(tuned.gradients.sum()),
            "num_samples": NUM_SAMPLES,
            "steps": learned.steps,
            "num_warmup": None,  # it is the number of steps that was to be found
            "kappa": learned.condition,
            "kappa_bound": learned.bound,
            "usable": learned.usable,
        }
    )


def _time(benchmark: Any, call: Callable[[], T]) -> tuple[T, dict[str, Any]]:
    """The answer of a call, and its times; the first call compiles.

    Backends return NumPy arrays, so a call ends when the device is done.
    """
    busy = load()
    begin = time.perf_counter()
    answer = call()
    first = time.perf_counter() - begin
    benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=WARM_UP_ROUNDS)
    stats = benchmark.stats.stats
    timing = {
        "compile_seconds": max(0.0, first - stats.median),
        "seconds": stats.median,
        "rounds": ROUNDS,
        "round_seconds": list(stats.data),
        "warmup_rounds": 1 + WARM_UP_ROUNDS,
        "replicates": len(answer.acceptance),
        "num_samples": 0,
        "peak_bytes": peak_memory(call),
        "load": busy,
        "compilation_cache": "off",
    }
    return answer, timing


def _ess_summary(experiment: Experiment, draws: Draws) -> dict[str, float]:
    mean = experiment.truth.moments.mean
    return effective.ess_summary(draws.position, mean, int(draws.gradients.sum()))


def _diagnostics(experiment: Experiment, draws: Draws) -> dict[str, float]:
    """Acceptance and divergences as the library has them, and energies."""
    log_density = jax.jit(jax.vmap(experiment.backend.log_density(experiment.case)))
    dimension = experiment.case.dimension
    potentials = np.asarray(log_density(draws.position.reshape(-1, dimension)))
    return {
        "acceptance": float(np.mean(draws.acceptance)),
        "divergences": int(np.sum(draws.divergences)),
        "e_bfmi": effective.e_bfmi(potentials, dimension),
    }
