"""PyMC's NUTS, on a model with a flat prior and the log density of a case as its potential."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np

from invmass.adaptation.estimators import (
    BIASED_VARIANCE,
    RUNNING_COVARIANCE,
    Estimator,
)
from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.sampling.backend import Backend, Draws, Tuned, Unsupported, WarmUpRequest
from invmass.sampling.host_density import imported, log_density, seeds

Chain = dict[str, np.ndarray]  # draws, their statistics, and the final metric, by name

# PyMC's defaults: length of the first window, number of initial draws that a diagonal metric
# discards, and number of draws that the initial metric counts as.
WINDOW, DISCARDED, WEIGHT = 101, 50, 10


@final
class PyMCNUTS(Backend):
    """PyMC's NUTS, through `pymc.sample` with a `pymc.NUTS` step and a `quadpotential` metric.

    Each replicate is one chain; all of them run one after the other in one process.
    """

    name = "pymc"
    requires = ("pymc",)
    extra = "pymc"
    target_acceptance = 0.8  # the library's default
    supports_fixed_metric = True
    supports_initial_metric = True
    estimators: ClassVar[Mapping[str, Estimator]] = {
        "diagonal": BIASED_VARIANCE,
        "dense": RUNNING_COVARIANCE,
    }
    default_cases = frozenset({"gaussian_mean"})  # each leapfrog step runs in Python
    default_tier = "full"
    unsupported: ClassVar[Mapping[str, tuple[Unsupported, str]]] = {
        "fisher_diag": (
            Unsupported.NOT_IMPLEMENTED,
            "PyMC's adapt_diag_grad weights the scores of the draws",
        ),
    }

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        """
        Raises:
            UsageError: the warm-up is too short for PyMC to tune a metric in it.
        """
        case, num_warmup = request.case, request.num_warmup
        dense, supplied = request.metric == "dense", request.inverse_mass_matrix
        draws = window(dense, num_warmup) if request.adapt_metric else 0
        if request.adapt_metric and draws == 0:
            raise UsageError(f"PyMC tunes no metric in {num_warmup} steps: it takes {WINDOW + 2}")
        if request.adapt_metric:
            potential = _adaptive(dense, case.dimension, supplied)
        else:
            potential = _fixed(supplied)
        chains = _run(case, potential, request.starts, seeds(request.keys), num_warmup, 1)
        return Tuned(
            inverse_mass_matrix=np.stack([chain["metric"][0] for chain in chains]),
            step_size=np.stack([chain["step_size_bar"][num_warmup - 1] for chain in chains]),
            position=np.stack([chain["z"][num_warmup - 1] for chain in chains]),
            **_totals(chains, slice(num_warmup)),
            window=draws,
        )

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        replicates = zip(
            seeds(keys), tuned.position, tuned.inverse_mass_matrix, tuned.step_size, strict=True
        )
        chains = [
            chain
            for seed, start, metric, step_size in replicates
            for chain in _run(
                case, _fixed(metric), start[None], [seed], 0, num_samples,
                # PyMC divides this scale by the fourth root of the dimension
                step_scale=float(step_size) * case.dimension**0.25, adapt_step_size=False,
            )
        ]  # fmt: skip
        return Draws(
            position=np.stack([chain["z"] for chain in chains]), **_totals(chains, slice(None))
        )


def window(dense: bool, num_warmup: int) -> int:
    """Number of draws from which the last metric of a warm-up was estimated; 0 if there was none.

    Every draw enters two estimates, except the first `DISCARDED` draws for a diagonal metric. At
    the end of a window the younger estimate replaces the older one, and a new one starts. Windows
    have a constant length for a diagonal metric, and each is twice as long as the one before for a
    dense metric.

    Source: PyMC 5.28, `quadpotential.py`, `update` of `QuadPotentialDiagAdapt` and of
    `QuadPotentialFullAdapt`.

    Args:
        dense: whether the metric is dense.
        num_warmup: number of warm-up steps.
    """
    older = younger = used = window_start = 0
    length = WINDOW
    for draw in range(num_warmup):
        if dense or draw > DISCARDED:
            older, younger = older + 1, younger + 1
        if draw > WINDOW:
            used = older
        if draw - window_start == length:
            older, younger, window_start = younger, 0, draw
            length *= 2 if dense else 1
    return used


def _adaptive(dense: bool, dimension: int, first: np.ndarray | None) -> Any:
    """PyMC's adaptive metric, as for `adapt_diag` or `adapt_full`, with an optional initial M⁻¹."""
    quadpotential = imported("pymc.step_methods.hmc.quadpotential")
    mean = np.zeros(dimension)
    if not dense:
        first = np.ones(dimension) if first is None else np.asarray(first, dtype=np.float64)
        return quadpotential.QuadPotentialDiagAdapt(dimension, mean, first, WEIGHT)
    first = np.eye(dimension) if first is None else np.asarray(first, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "QuadPotentialFullAdapt is an experimental feature")
        return quadpotential.QuadPotentialFullAdapt(dimension, mean, first, WEIGHT)


def _fixed(metric: np.ndarray | None) -> Any:
    """PyMC's fixed metric M⁻¹, shape (d,) or (d, d)."""
    quadpotential = imported("pymc.step_methods.hmc.quadpotential")
    matrix = np.asarray(metric, dtype=np.float64)
    kind = quadpotential.QuadPotentialDiag if matrix.ndim == 1 else quadpotential.QuadPotentialFull
    return kind(matrix)


def _metric(potential: Any, dimension: int) -> np.ndarray:
    """M⁻¹, shape (d,) or (d, d), from the velocities M⁻¹ p of unit momenta p."""
    from pymc.step_methods.hmc.quadpotential import QuadPotentialFull

    if not isinstance(potential, QuadPotentialFull):
        return np.array(potential.velocity(np.ones(dimension)))
    return np.stack([potential.velocity(momentum) for momentum in np.eye(dimension)], axis=1)


def _run(
    case: Case,
    potential: Any,
    starts: np.ndarray,
    chain_seeds: Sequence[int],
    tune: int,
    draws: int,
    **settings: Any,
) -> list[Chain]:
    """One chain from each starting point: draws and statistics, of warm-up and after it.

    Each chain runs by itself, in coordinates relative to its starting point. PyMC starts its
    adaptation with a mean at the starting point, which is the origin in these coordinates.
    """
    import pymc

    model, origin = _model(case, jnp.zeros(()).dtype)
    initial_point = {"z": np.zeros(case.dimension)}
    step = pymc.NUTS(potential=potential, model=model, initial_point=initial_point, **settings)
    initial_sampling_state = step.sampling_state
    chains = []
    for start, seed in zip(starts, chain_seeds, strict=True):
        recorded: dict[str, list[Any]] = {name: [] for name in ("z", "metric", *_STATISTICS)}

        def record_draw(trace: Any, draw: Any, recorded: dict[str, list[Any]] = recorded) -> None:
            (statistics,) = draw.stats
            recorded["z"].append(draw.point["z"])
            for name in _STATISTICS:
                recorded[name].append(statistics[name])
            if draw.draw_idx == tune - 1:
                recorded["metric"].append(_metric(step.potential, case.dimension))

        origin[:] = start
        step.sampling_state = initial_sampling_state
        pymc.sample(
            draws=draws,
            tune=tune,
            chains=1,
            cores=1,
            step=step,
            model=model,
            initvals=initial_point,
            random_seed=np.random.default_rng(seed),
            callback=record_draw,
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
            return_inferencedata=False,
        )
        chain = {name: np.asarray(values) for name, values in recorded.items()}
        chains.append(chain | {"z": origin + chain["z"]})
    return chains


_STATISTICS = ("step_size_bar", "tree_size", "mean_tree_accept", "diverging")


@cache
def _model(case: Case, dtype: Any) -> tuple[Any, np.ndarray]:
    """A PyMC model of the log density relative to an origin, and that origin, shape (d,).

    The origin is overwritten for each chain. The model depends on the ambient precision `dtype` and
    is built once for each.
    """
    import pymc
    import pytensor.tensor as pt
    from pytensor.graph import Op

    density_and_gradient, origin = log_density(case), np.zeros(case.dimension)

    class LogDensity(Op):
        itypes: ClassVar = [pt.dvector]
        otypes: ClassVar = [pt.dscalar, pt.dvector]

        def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
            value, gradient = density_and_gradient(origin + inputs[0])
            outputs[0][0], outputs[1][0] = np.asarray(value), gradient

        def grad(self, inputs: Any, gradients: Any) -> list[Any]:
            return [gradients[0] * self(*inputs)[1]]

    with pymc.Model() as model:
        z = pymc.Flat("z", shape=case.dimension)
        pymc.Potential("log_density", LogDensity()(z)[0])
    return model, origin


def _totals(chains: Sequence[Chain], part: slice) -> dict[str, np.ndarray]:
    """Statistics of each chain; a trajectory takes a gradient at its start and one per leapfrog."""
    return {
        "gradients": np.stack([np.sum(chain["tree_size"][part] + 1) for chain in chains]),
        "acceptance": np.stack([np.mean(chain["mean_tree_accept"][part]) for chain in chains]),
        "divergences": np.stack([np.sum(chain["diverging"][part]) for chain in chains]),
    }
