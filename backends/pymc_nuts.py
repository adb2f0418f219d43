"""PyMC's NUTS, in Python, on a flat prior and a potential that is the log density of a case."""

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

Chain = dict[str, np.ndarray]  # by draw; and the metric at the end

WINDOW, DISCARDED, WEIGHT = 101, 50, 10  # its defaults; the first metric counts as so many draws


@final
class PyMCNUTS(Backend):
    """`pymc.sample` with `pymc.NUTS`, all replicates as chains in one process."""

    name = "pymc"
    requires = ("pymc",)
    extra = "pymc"
    target_acceptance = 0.8  # its default
    supports_fixed_metric = True
    supports_initial_metric = True
    estimators: ClassVar[Mapping[str, Estimator]] = {
        "diagonal": BIASED_VARIANCE,
        "dense": RUNNING_COVARIANCE,
    }
    default_cases = frozenset({"gaussian_mean"})  # each step is taken in Python
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
                # which it divides by the fourth root of the dimension
                step_scale=float(step_size) * case.dimension**0.25, adapt_step_size=False,
            )
        ]  # fmt: skip
        return Draws(
            position=np.stack([chain["z"] for chain in chains]), **_totals(chains, slice(None))
        )


def window(dense: bool, num_warmup: int) -> int:
    """Draws from which the last metric of a warm-up was estimated; 0 if there was none.

    Every draw, but for the first of a diagonal metric, enters two estimates. At the end of a
    window the older is dropped for the younger, and a new one begun. Windows are of the same length
    for a diagonal metric, and double for a dense one. Source: PyMC 5.28, `quadpotential.py`,
    `update` of `QuadPotentialDiagAdapt` and of `QuadPotentialFullAdapt`.
    """
    older = younger = used = begun = 0
    length = WINDOW
    for draw in range(num_warmup):
        if dense or draw > DISCARDED:
            older, younger = older + 1, younger + 1
        if draw > WINDOW:
            used = older
        if draw - begun == length:
            older, younger, begun = younger, 0, draw
            length *= 2 if dense else 1
    return used


def _adaptive(dense: bool, dimension: int, first: np.ndarray | None) -> Any:
    """What `adapt_diag` and `adapt_full` begin with; or with another first metric."""
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
    quadpotential = imported("pymc.step_methods.hmc.quadpotential")
    held = np.asarray(metric, dtype=np.float64)
    kind = quadpotential.QuadPotentialDiag if held.ndim == 1 else quadpotential.QuadPotentialFull
    return kind(held)


def _metric(potential: Any, dimension: int) -> np.ndarray:
    """M⁻¹ by what it makes of momenta: the velocity is M⁻¹ p."""
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
    """One chain from each start, with its statistics, warm-up and after.

    Each is sampled by itself, in coordinates that begin at its start: the mean that PyMC's
    adaptation begins with is where chains start, and there it is the origin.
    """
    import pymc

    model, origin = _model(case, jnp.zeros(()).dtype)
    beginning = {"z": np.zeros(case.dimension)}
    step = pymc.NUTS(potential=potential, model=model, initial_point=beginning, **settings)
    fresh = step.sampling_state
    chains = []
    for start, seed in zip(starts, chain_seeds, strict=True):
        told: dict[str, list[Any]] = {name: [] for name in ("z", "metric", *_TOLD)}

        def listen(trace: Any, draw: Any, told: dict[str, list[Any]] = told) -> None:
            (statistics,) = draw.stats
            told["z"].append(draw.point["z"])
            for name in _TOLD:
                told[name].append(statistics[name])
            if draw.draw_idx == tune - 1:
                told["metric"].append(_metric(step.potential, case.dimension))

        origin[:] = start
        step.sampling_state = fresh
        pymc.sample(
            draws=draws,
            tune=tune,
            chains=1,
            cores=1,
            step=step,
            model=model,
            initvals=beginning,
            random_seed=np.random.default_rng(seed),
            callback=listen,
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
            return_inferencedata=False,
        )
        chain = {name: np.asarray(values) for name, values in told.items()}
        chains.append(chain | {"z": origin + chain["z"]})
    return chains


_TOLD = ("step_size_bar", "tree_size", "mean_tree_accept", "diverging")


@cache
def _model(case: Case, dtype: Any) -> tuple[Any, np.ndarray]:
    """The log density about an origin, and that origin, which is moved from chain to chain.

    Made once for each ambient precision, `dtype`, which it depends on.
    """
    import pymc
    import pytensor.tensor as pt
    from pytensor.graph import Op

    called, origin = log_density(case), np.zeros(case.dimension)

    class LogDensity(Op):
        itypes: ClassVar = [pt.dvector]
        otypes: ClassVar = [pt.dscalar, pt.dvector]

        def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
            value, gradient = called(origin + inputs[0])
            outputs[0][0], outputs[1][0] = np.asarray(value), gradient

        def grad(self, inputs: Any, gradients: Any) -> list[Any]:
            return [gradients[0] * self(*inputs)[1]]

    with pymc.Model() as model:
        z = pymc.Flat("z", shape=case.dimension)
        pymc.Potential("log_density", LogDensity()(z)[0])
    return model, origin


def _totals(chains: Sequence[Chain], part: slice) -> dict[str, np.ndarray]:
    """Each trajectory takes a gradient where it starts, and one for each of its leapfrogs."""
    return {
        "gradients": np.stack([np.sum(chain["tree_size"][part] + 1) for chain in chains]),
        "acceptance": np.stack([np.mean(chain["mean_tree_accept"][part]) for chain in chains]),
        "divergences": np.stack([np.sum(chain["diverging"][part]) for chain in chains]),
    }
