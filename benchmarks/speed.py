"""Writes docs/speed.md: `python benchmarks/speed.py`, which takes 16 minutes or more.

Measures how close our own HMC comes to a bare leapfrog loop, and what tuning many chains together
saves. Run it on an idle machine. Everything that is compared runs in turn, in one process; the
values are medians.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invmass.adaptation.condition_number import condition, usable_condition
from invmass.adaptation.windows import pooled_schedule
from invmass.backends.hmc import metric as metrics
from invmass.backends.hmc.leapfrog import ValueAndGradient
from invmass.backends.hmc.sampler import PATH_LENGTH, WarmedUp, draw, draw_noise, warm_up
from invmass.model.case import Case
from invmass.model.catalogue import all_cases
from invmass.model.distributions import Array
from invmass.results.wording import markdown_table
from invmass.runs.environment import configure_jax, peak_memory, provenance
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.backend import WarmUpRequest
from invmass.sampling.registry import load_backend
from invmass.studies.effective_sample_size import ess_summary

PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
ROUNDS = 21
SIZES = ((100, 64, 20), (100, 64, 40), (100, 64, 60), (2, 1024, 20))  # dimension, chains, steps
TRANSITIONS = 100  # of a chain
GAUSSIAN, THOUSAND = "scaling-100-1e2", "scaling-1000-1e2"
POOLED_STEPS, CHAINS = 200, 64
HMC, NUTS = ("hmc", "hmc-pooled"), ("numpyro", "blackjax", "tfp")


def main() -> None:
    """Measure, and write the page."""
    configure_jax("cpu", x64=False)
    jax.config.update("jax_enable_compilation_cache", False)
    where = provenance(load_backend("blackjax"))
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    page = INTRODUCTION.format(machine=f"{where['machine']}, {where['cores']} cores; {versions}")
    sections = (
        ("", throughput),
        (LARGE, a_thousand),
        (ESS_PER_SECOND, ess_per_second),
        (METHODS, chain_methods),
        (TUNING, tuning),
    )
    for title, measured in sections:  # NUTS takes minutes for the last
        page += title + table(measured())
        PAGE.write_text(page, encoding="utf-8")


INTRODUCTION = """# How fast

`python benchmarks/speed.py` writes this page. Measured on {machine}; float32.

## Gradients

A Gaussian with its covariance as dense metric. *Steps* is the mean number of leapfrog steps of a
trajectory; the lecture took 20. *Bare* is only the leapfrog loop: no momenta are drawn, there is no
accept/reject step, and no draws are stored. The longer the trajectory, the smaller the share of
time that a transition needs besides its gradients.

"""
TUNING = """
## Tuning a dense metric

The 100 coordinates of `scaling-100-1e2`, with 64 chains from exact draws. NUTS tunes each chain
separately, for 1,000 steps; chains that are tuned together take 200 steps each. κ is the condition
number of M⁻¹ whitened by the covariance, as the median over chains. Gradients are summed over all
chains. NUTS ran twice, the first time with compilation; the difference can be smaller than the
noise.

"""
LARGE = """
## A thousand coordinates

`scaling-1000-1e2` with a dense metric and 64 chains that are tuned together, from exact draws. A
metric is usable when κ is below the bound. Peak memory is that of the whole process, including its
libraries.

"""
METHODS = """
## Vectorised, sequential and parallel chains

NumPyro's NUTS with each `chain_method`: four chains of 500 warm-up steps and 500 draws, with a
diagonal metric, on correlated Gaussians. Each parallel chain has a simulated device of its own; the
devices share the cores of the machine. Vectorised chains all wait for the longest trajectory among
them.

"""
ESS_PER_SECOND = """
## Effective draws per second

64 chains with the dense metrics and step sizes tuned in 1,000 warm-up steps, 500 draws each. ESS is
the smallest bulk-ESS over the coordinates; *ESS of squares* is the smallest over the squared
deviations from the mean.

"""


def throughput() -> list[dict[str, Any]]:
    """Gradients a second of the bare loop, of our HMC and of BlackJAX's."""
    lines = []
    for dimension, chains, steps in SIZES:
        value_and_gradient, metric, positions = gaussian(dimension, chains)
        makers = {"bare": bare, "hmc": ours, "blackjax": blackjaxs}
        runs = {
            name: make(value_and_gradient, metric, steps, positions)
            for name, make in makers.items()
        }
        timed = in_turn({name: call for name, (call, _) in runs.items()})
        rates = {name: runs[name][1] / seconds for name, (_, seconds) in timed.items()}
        lines += [
            {
                "dimension": dimension,
                "chains": chains,
                "steps": steps,
                "sampler": name,
                "million gradients/s": f"{rate / 1e6:.2f}",
                "over bare": f"{rate / rates['bare']:.2f}",
                "over BlackJAX": f"{rate / rates['blackjax']:.2f}",
            }
            for name, rate in rates.items()
        ]
    return lines


def gaussian(dimension: int, chains: int) -> tuple[ValueAndGradient, metrics.Metric, Array]:
    """A log density with correlations, its metric, and exact draws."""
    generator = np.random.default_rng(dimension)
    turn = np.linalg.qr(generator.normal(size=(dimension, dimension)))[0]
    factor = turn * np.geomspace(0.3, 3.0, dimension)
    whiten = jnp.asarray(np.linalg.inv(factor), jnp.float32)
    metric = metrics.make_metric(jnp.asarray(factor @ factor.T, jnp.float32))
    positions = generator.normal(size=(chains, dimension)) @ factor.T

    def log_density(z: Array) -> Array:
        return -0.5 * jnp.sum((whiten @ z) ** 2)

    return jax.value_and_grad(log_density), metric, jnp.asarray(positions, jnp.float32)


def step_size_for(steps: int) -> Array:
    """With which a path of our HMC has so many steps on average."""
    return jnp.asarray(PATH_LENGTH / steps, jnp.float32)


# Each makes a call, what it is given made before, and says how many gradients that takes.


def bare(
    value_and_gradient: ValueAndGradient, metric: metrics.Metric, steps: int, positions: Array
) -> tuple[Callable[[], Any], int]:
    """As many steps of the loop, from one momentum."""
    step_size, count = step_size_for(steps), steps * TRANSITIONS

    def step(_: int, point: tuple[Array, Array]) -> tuple[Array, Array]:
        position, momentum = point
        position = position + step_size * metrics.velocity(metric, momentum)
        return position, momentum + step_size * value_and_gradient(position)[1]

    def chain(position: Array, white: Array) -> tuple[Array, Array]:
        start = position, metrics.momentum_from(white, metric)
        return jax.lax.fori_loop(0, count, step, start)

    white = draw_noise(jax.random.key(0), positions).white
    return partial(jax.jit(jax.vmap(chain)), positions, white), len(positions) * count


def ours(
    value_and_gradient: ValueAndGradient, metric: metrics.Metric, steps: int, positions: Array
) -> tuple[Callable[[], Any], int]:
    """Draws of chains that share their metric."""
    step_size = step_size_for(steps)

    @jax.jit
    def run(key: Array, positions: Array) -> Any:
        return draw(value_and_gradient, key, positions, metric, step_size, TRANSITIONS)

    call = partial(run, jax.random.key(1), positions)
    return call, int(call()[1].gradients.sum())


def blackjaxs(
    value_and_gradient: ValueAndGradient, metric: metrics.Metric, steps: int, positions: Array
) -> tuple[Callable[[], Any], int]:
    """The same paths by BlackJAX, all of the same length."""
    import blackjax

    sampler = blackjax.hmc(
        lambda z: value_and_gradient(z)[0],
        step_size_for(steps),
        metric.inverse_mass_matrix,
        steps,
    )

    def chain(key: Array, position: Array) -> Array:
        def step(state: Any, key: Array) -> tuple[Any, Array]:
            state, _ = sampler.step(key, state)
            return state, state.position

        keys = jax.random.split(key, TRANSITIONS)
        return jax.lax.scan(step, sampler.init(position), keys)[1]

    keys = jax.random.split(jax.random.key(2), len(positions))
    call = partial(jax.jit(jax.vmap(chain)), keys, positions)
    return call, len(positions) * steps * TRANSITIONS


def in_turn(calls: Mapping[str, Callable[[], Any]]) -> dict[str, tuple[Any, float]]:
    """What each call gives, and its seconds: the median of rounds in which each has its turn.

    The order is another in each round: what follows a call that filled the memory is slower.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    found = {}
    shuffled = random.Random(0)
    for number in range(ROUNDS + 1):
        for name in shuffled.sample(list(calls), len(calls)):
            found[name], taken = seconds_of(calls[name])
            if number:  # the first compiles
                seconds[name].append(taken)
    return {name: (found[name], float(np.median(taken))) for name, taken in seconds.items()}


def tuning() -> list[dict[str, Any]]:
    """What a dense metric costs, and how good it is, by library; and with chains tuned together."""
    case = all_cases()[GAUSSIAN]
    truth = case.truth_in_own_space
    starts = truth.starts(0, CHAINS).astype(np.float32)
    covariance = truth.moments.covariance
    lines = [together(case, starts, covariance)]
    for name in ("numpyro", "blackjax"):
        backend = load_backend(name)
        keys = jax.random.split(jax.random.key(0), CHAINS)
        request = WarmUpRequest(case, "dense", keys, starts, 1000)
        first, second = (seconds_of(partial(backend.warm_up, request)) for _ in range(2))
        tuned = second[0]
        lines.append(
            line(name, first[1], second[1], tuned.gradients.sum(), tuned.inverse_mass_matrix,
                 covariance)
        )  # fmt: skip
    reference = lines[0]
    for other in lines:
        other["gradients over pooled"] = f"{other['gradients'] / reference['gradients']:.3g}"
        other["seconds over pooled"] = f"{other['seconds'] / reference['seconds']:.3g}"
    return [
        {k: f"{v:,.3g}" if isinstance(v, float) else v for k, v in row.items()} for row in lines
    ]


def together(case: Case, starts: np.ndarray, covariance: np.ndarray) -> dict[str, Any]:
    """All chains with one metric."""
    run = pooled(case, POOLED_STEPS)
    compiling = seconds_of(lambda: run(jax.random.key(0), jnp.asarray(starts)))[1]
    runs = [
        seconds_of(lambda: run(jax.random.key(seed), jnp.asarray(starts)))  # noqa: B023
        for seed in range(1, ROUNDS + 1)
    ]
    matrices = np.stack([np.asarray(end.metric.inverse_mass_matrix) for end, _ in runs])
    gradients = np.median([int(end.transitions.gradients.sum()) for end, _ in runs])
    seconds = float(np.median([seconds for _, seconds in runs]))
    return line("hmc, pooled", compiling, seconds, gradients, matrices, covariance)


def pooled(case: Case, steps: int) -> Callable[[Array, Array], WarmedUp]:
    """Warm-up of chains that share all, from the identity, dense."""
    value_and_gradient = jax.value_and_grad(case.posterior.on_device().log_density)
    schedule = jax.tree.map(jnp.asarray, pooled_schedule(steps))

    @jax.jit
    def run(key: Array, positions: Array) -> WarmedUp:
        first = metrics.make_metric(jnp.eye(positions.shape[1]))
        return warm_up(
            value_and_gradient, key, positions, first, schedule, metrics.oracle_shrinkage
        )

    return run


def a_thousand() -> list[dict[str, Any]]:
    """How long until a dense metric of a thousand coordinates is usable."""
    case = all_cases()[THOUSAND]
    truth = case.truth_in_own_space
    starts = jnp.asarray(truth.starts(0, CHAINS), jnp.float32)
    lines = []
    for steps in (100, 200):
        run = pooled(case, steps)
        first = seconds_of(lambda: run(jax.random.key(0), starts))[1]  # noqa: B023
        end, seconds = seconds_of(lambda: run(jax.random.key(1), starts))  # noqa: B023
        peak = peak_memory(lambda: jax.block_until_ready(run(jax.random.key(1), starts)))  # noqa: B023
        found = condition(
            np.asarray(end.metric.inverse_mass_matrix)[None], truth.moments.covariance
        )
        lines.append(
            {
                "steps": steps,
                "κ": f"{found[0]:.3g}",
                "bound": f"{usable_condition(case.dimension, dense=True):.3g}",
                "gradients": f"{int(end.transitions.gradients.sum()):,}",
                "seconds": f"{seconds:.3g}",
                "seconds with compilation": f"{first:.3g}",
                "peak GiB": f"{(peak or np.nan) / 2**30:.2f}",
            }
        )
    return lines


def ess_per_second() -> list[dict[str, Any]]:
    """Effective draws a second, of each library with what it tuned itself."""
    lines = []
    for name in (GAUSSIAN, "notebook-uniform"):
        case = all_cases()[name]
        experiments = {
            backend: Experiment(case, load_backend(backend), "dense", Settings(), CHAINS)
            for backend in (*HMC, *NUTS)
        }
        timed = in_turn({name: one.sample_call(0) for name, one in experiments.items()})
        rates = {}
        for backend, (draws, seconds) in timed.items():
            mean, gradients = experiments[backend].truth.moments.mean, int(draws.gradients.sum())
            found = ess_summary(draws.position, mean, gradients)
            rates[backend] = found["min_bulk_ess"] / seconds, found["min_square_ess"] / seconds
        best, best_of_squares = (max(rates[backend][i] for backend in NUTS) for i in (0, 1))
        lines += [
            {
                "case": name,
                "sampler": backend,
                "ESS/s": f"{ess:,.3g}",
                "over the best NUTS": f"{ess / best:.2f}",
                "ESS of squares/s": f"{squares:,.3g}",
                "that over the best NUTS": f"{squares / best_of_squares:.2f}",
            }
            for backend, (ess, squares) in rates.items()
        ]
    return lines


def chain_methods() -> list[dict[str, Any]]:
    """How long chains take by each way to run them, in a process that has a device for each."""
    script = Path(__file__).with_name("chain_methods.py")
    answer = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    lines = json.loads(answer.stdout)
    fastest = {line["dimension"]: np.inf for line in lines}
    for line in lines:
        fastest[line["dimension"]] = min(fastest[line["dimension"]], line["seconds"])
    return [
        line
        | {name: f"{line[name]:.3g}" for name in ("seconds", "with compilation")}
        | {"over the fastest": f"{line['seconds'] / fastest[line['dimension']]:.2f}"}
        for line in lines
    ]


def line(
    name: str,
    first: float,
    seconds: float,
    gradients: float,
    matrices: np.ndarray,
    covariance: np.ndarray,
) -> dict[str, Any]:
    """One row of the table."""
    return {
        "sampler": name,
        "κ": float(np.median(condition(matrices, covariance))),
        "gradients": float(gradients),
        "seconds": seconds,
        "seconds with compilation": first,
    }


def seconds_of(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and how long it takes."""
    begin = time.perf_counter()
    found = jax.block_until_ready(call())
    return found, time.perf_counter() - begin


def table(lines: list[dict[str, Any]]) -> str:
    """As markdown."""
    return markdown_table([*lines[0]], ([*line.values()] for line in lines)) + "\n"


if __name__ == "__main__":
    main()
