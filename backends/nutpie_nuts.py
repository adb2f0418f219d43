"""nutpie's NUTS, written in Rust: it takes any function of NumPy arrays for its log density."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

import jax
import numpy as np

from invmass.adaptation.estimators import FISHER_DIAGONAL, Estimator
from invmass.errors import BackendFaultError, UsageError
from invmass.model.case import Case
from invmass.sampling.backend import Backend, Draws, Tuned, Unsupported, WarmUpRequest
from invmass.sampling.host_density import LogDensity, imported, log_density, seeds

Chain = dict[str, np.ndarray]  # by draw

_VECTORS = ("z", "mass_matrix_inv")
_NUMBERS = (
    "step_size_bar", "n_steps", "mean_tree_accept", "diverging", "index_in_trajectory",
)  # fmt: skip


@final
class NutpieNUTS(Backend):
    """`nutpie.sample` on a Python function, one chain for each replicate.

    Its step size varies by a tenth from draw to draw, as it does by default. It takes no metric:
    its warm-up always tunes one.
    """

    name = "nutpie"
    requires = ("nutpie",)
    extra = "nutpie"
    target_acceptance = 0.8  # its default
    estimators: ClassVar[Mapping[str, Estimator]] = {"fisher_diag": FISHER_DIAGONAL}
    default_cases = frozenset({"gaussian_mean"})  # each gradient is a call into Python
    unsupported: ClassVar[Mapping[str, tuple[Unsupported, str]]] = {
        "diagonal": (Unsupported.NOT_YET, "a tenth too large in one dimension: docs/findings.md"),
        "fisher_low_rank": (
            Unsupported.NOT_YET,
            "nutpie stores its eigenvalues, and no eigenvectors",
        ),
    }

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        """
        Raises:
            UsageError: a metric is supplied.
        """
        if request.inverse_mass_matrix is not None:
            raise UsageError(self.supplied_metric_reason(adapt_metric=request.adapt_metric))
        called = log_density(request.case)
        chains = [
            _run(called, start, seed, request.num_warmup, 0)
            for seed, start in zip(seeds(request.keys), request.starts, strict=True)
        ]
        return Tuned(
            inverse_mass_matrix=np.stack([chain["mass_matrix_inv"][-1] for chain in chains]),
            step_size=np.stack([chain["step_size_bar"][-1] for chain in chains]),
            position=np.stack([chain["z"][-1] for chain in chains]),
            **_totals(chains),
            window=round(np.mean([window(chain) for chain in chains])),
        )

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        """
        Raises:
            BackendFaultError: nutpie drew with another metric than the tuned one.
        """
        called = log_density(case)
        replicates = tuned.position, tuned.inverse_mass_matrix, tuned.step_size
        chains = [
            _draw(called, seed, num_samples, *replicate)
            for seed, *replicate in zip(seeds(keys), *replicates, strict=True)
        ]
        return Draws(position=np.stack([chain["z"] for chain in chains]), **_totals(chains))


def window(chain: Chain) -> int:
    """Draws from which the last metric of a warm-up was estimated.

    Every draw of the first 85% enters two estimates, of which the older one is used; it is dropped
    for the younger one when that has 10 draws (80 after the first 30%), if as many are to come. A
    draw that stayed where it was enters neither, nor a divergent one within four leapfrogs of it.
    Source: nuts-rs 0.17.4, `adapt_strategy.rs` and `mass_matrix/diagonal.rs`.
    """
    num_warmup, leaps = len(chain["diverging"]), np.abs(chain["index_in_trajectory"])
    enters = np.where(chain["diverging"], leaps > 4, leaps > 0)
    early, end = int(0.3 * num_warmup), num_warmup - int(0.15 * num_warmup)
    older = younger = 1  # the start
    for draw in range(end):
        older, younger = older + enters[draw], younger + enters[draw]
        length = 10 if draw < early else 80
        if younger >= length and draw + length <= end:
            older, younger = younger, 0
    return int(older)


def _draw(
    called: LogDensity,
    seed: int,
    num_samples: int,
    start: np.ndarray,
    metric: np.ndarray,
    step_size: np.ndarray,
) -> Chain:
    """Draws with a metric, which nutpie takes from nobody: it begins at 1/|∇ log π| of its start.

    So it is given the coordinates y, `z = start + s y`, in which that is the metric: s = M⁻¹ |∇|.
    """
    slope = np.abs(called(start)[1])
    scale = np.where(slope > 0, metric * slope, np.sqrt(metric))  # where it is flat, 1

    def scaled(y: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = called(start + scale * y)
        return value, scale * gradient

    origin, held = np.zeros_like(start), str(float(step_size))
    # one step of warm-up is the fewest, and too few to change the metric: a draw as all others
    chain = _run(scaled, origin, seed, 1, num_samples - 1, step_size_adapt_method=held)
    used = scale**2 * chain["mass_matrix_inv"]
    if not np.allclose(used, metric, rtol=1e-4, atol=0.0):
        raise BackendFaultError("nutpie: draws were made with another metric than the tuned one")
    return chain | {"z": start + scale * chain["z"]}


def _run(
    called: LogDensity, start: np.ndarray, seed: int, tune: int, draws: int, **settings: Any
) -> Chain:
    """All draws and statistics of one chain, warm-up and after."""
    import pyarrow

    nutpie, compiled = imported("nutpie"), imported("nutpie.compiled_pyfunc")
    start = np.asarray(start, dtype=np.float64)
    model = compiled.from_pyfunc(
        len(start),
        make_logp_fn=lambda: called,
        make_expand_fn=lambda *_: lambda z: {"z": z},
        expanded_dtypes=[start.dtype],
        expanded_shapes=[start.shape],
        expanded_names=["z"],
        make_initial_point_fn=lambda _: start,
    )
    trace = nutpie.sample(
        model,
        tune=tune,
        draws=draws,
        chains=1,
        cores=1,
        seed=seed,
        progress_bar=False,
        store_mass_matrix=True,
        return_raw_trace=True,  # to make an InferenceData of one chain takes an eighth of the time
        **settings,
    )
    chain = {}
    for (batch,) in trace.get_arrow_trace():
        for name in batch.column_names:
            column = pyarrow.array(batch.column(name))
            if name in _VECTORS:
                chain[name] = column.flatten().to_numpy().reshape(-1, len(start))
            elif name in _NUMBERS:
                chain[name] = column.to_numpy(zero_copy_only=False)
    return chain


def _totals(chains: Sequence[Chain]) -> dict[str, np.ndarray]:
    return {
        "gradients": np.stack([np.sum(chain["n_steps"]) for chain in chains]),
        "acceptance": np.stack([np.mean(chain["mean_tree_accept"]) for chain in chains]),
        "divergences": np.stack([np.sum(chain["diverging"]) for chain in chains]),
    }
