"""Times of compilation, warm-up and sampling, each by itself, measured by pytest-benchmark.

Timings run in rotation: the first turn of all timings, then the second turn of all, and so on. A
machine that slows down thus affects all timings alike. The differences between the turns of one
timing measure the noise.
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

ROUNDS, WARM_UP_ROUNDS = 5, 1  # in each turn

T = TypeVar("T", Tuned, Draws)
Record = Callable[[dict[str, Any]], None]


@pytest.fixture(autouse=True)
def _no_persistent_cache() -> Any:
    """Disable the persistent compilation cache, because compilation is timed."""
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    jax.clear_caches()
    yield
    jax.config.update("jax_enable_compilation_cache", before)


@pytest.mark.invmass_timing("warm-up")
def test_warm_up_time(
    experiment: Experiment, turn: int, benchmark: Any, record_timing: Record
) -> None:
    """Time the warm-up of one batch of replicates, in seconds."""
    tuned, timing = _time(benchmark, experiment.warm_up_call(0))
    record_timing(timing | {"turn": turn, "gradients": int(tuned.gradients.sum())})


@pytest.mark.invmass_timing("sampling")
def test_sampling_time(
    experiment: Experiment, turn: int, benchmark: Any, record_timing: Record
) -> None:
    """Time the sampling of one batch of replicates, with the effective sample size of the draws."""
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
@pytest.mark.parametrize("initial", InitialMetric, ids=lambda initial: initial.name.lower())
def test_usable_metric_time(
    experiment: Experiment, initial: InitialMetric, turn: int, benchmark: Any, record_timing: Record
) -> None:
    """Time the shortest warm-up that yields a usable metric, and its gradients and ESS."""
    if reason := warm_start.not_timed_reason(experiment, initial):
        pytest.skip(reason)
    learned = warm_start.shortest_warmup(experiment, initial)
    draws = experiment.checked_draws(experiment.resample_call(0, learned.tuned))
    jax.clear_caches()  # the timing must not reuse programs of the search
    tuned, timing = _time(benchmark, learned.call)
    record_timing(
        timing
        | _ess_summary(experiment, draws)
        | {
            "phase": initial,
            "turn": turn,
            "gradients": int(tuned.gradients.sum()),
            "num_samples": NUM_SAMPLES,
            "steps": learned.steps,
            "num_warmup": None,  # the number of steps is a result here, not a setting
            "kappa": learned.condition,
            "kappa_bound": learned.bound,
            "usable": learned.usable,
        }
    )


def _time(benchmark: Any, call: Callable[[], T]) -> tuple[T, dict[str, Any]]:
    """The return value of a call, and its times.

    The first call compiles. Backends return NumPy arrays, so a call ends after the device has
    finished.
    """
    load_before = load()
    started = time.perf_counter()
    answer = call()
    first = time.perf_counter() - started
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
        "load": load_before,
        "compilation_cache": "off",
    }
    return answer, timing


def _ess_summary(experiment: Experiment, draws: Draws) -> dict[str, float]:
    """The effective sample size of the draws, in all and per gradient."""
    mean = experiment.truth.moments.mean
    return effective.ess_summary(draws.position, mean, int(draws.gradients.sum()))


def _diagnostics(experiment: Experiment, draws: Draws) -> dict[str, float]:
    """Acceptance and divergences as the library reports them, and E-BFMI from the energies."""
    log_density = jax.jit(jax.vmap(experiment.backend.log_density(experiment.case)))
    dimension = experiment.case.dimension
    potentials = np.asarray(log_density(draws.position.reshape(-1, dimension)))
    return {
        "acceptance": float(np.mean(draws.acceptance)),
        "divergences": int(np.sum(draws.divergences)),
        "e_bfmi": effective.e_bfmi(potentials, dimension),
    }
