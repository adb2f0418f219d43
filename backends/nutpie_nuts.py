"""nutpie's NUTS, written in Rust; its log density is a Python function of NumPy arrays."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

import jax
import numpy as np

from invmass.adaptation.estimators import FISHER_DIAGONAL, Estimator
from invmass.errors import BackendFaultError, UsageError
from invmass.model.case import Case
from invmass.sampling.backend import Backend, Draws, Tuned, Unsupported, WarmUpRequest
from invmass.sampling.host_density import LogDensity, imported, log_density, seeds

Chain = dict[str, np.ndarray]  # draws and statistics by name; the first axis is that of draws

_VECTORS = ("z", "mass_matrix_inv")
_NUMBERS = (
    "step_size_bar", "n_steps", "mean_tree_accept", "diverging", "index_in_trajectory",
)  # fmt: skip


@final
class NutpieNUTS(Backend):
    """nutpie's NUTS, through `nutpie.sample` on a model from `compiled_pyfunc.from_pyfunc`.

    Each replicate is one chain. By nutpie's default, the step size varies by a tenth from draw to
    draw. nutpie accepts no supplied metric: its warm-up always tunes one.
    """

    name = "nutpie"
    requires = ("nutpie",)
    extra = "nutpie"
    target_acceptance = 0.8  # the library's default
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
        density_and_gradient = log_density(request.case)
        chains = [
            _run(density_and_gradient, start, seed, request.num_warmup, 0)
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
            BackendFaultError: nutpie did not draw with the tuned metric.
        """
        density_and_gradient = log_density(case)
        replicates = tuned.position, tuned.inverse_mass_matrix, tuned.step_size
        chains = [
            _draw(density_and_gradient, seed, num_samples, *replicate)
            for seed, *replicate in zip(seeds(keys), *replicates, strict=True)
        ]
        return Draws(position=np.stack([chain["z"] for chain in chains]), **_totals(chains))


def window(chain: Chain) -> int:
    """Number of draws from which the last metric of a warm-up was estimated.

    Every draw of the first 85% of warm-up enters two estimates, of which the older one is used. The
    younger one replaces the older one when it has 10 draws (80 after the first 30% of warm-up), if
    at least as many draws are still to come. Draws equal to the draw before enter neither estimate,
    nor do divergent draws at most four leapfrog steps away from the draw before.

    Source: nuts-rs 0.17.4, `adapt_strategy.rs` and `mass_matrix/diagonal.rs`.

    Args:
        chain: the warm-up of one chain, with "diverging" and "index_in_trajectory".
    """
    num_warmup, leaps = len(chain["diverging"]), np.abs(chain["index_in_trajectory"])
    enters = np.where(chain["diverging"], leaps > 4, leaps > 0)
    early, end = int(0.3 * num_warmup), num_warmup - int(0.15 * num_warmup)
    older = younger = 1  # the starting point counts as a draw
    for draw in range(end):
        older, younger = older + enters[draw], younger + enters[draw]
        length = 10 if draw < early else 80
        if younger >= length and draw + length <= end:
            older, younger = younger, 0
    return int(older)


def _draw(
    density_and_gradient: LogDensity,
    seed: int,
    num_samples: int,
    start: np.ndarray,
    metric: np.ndarray,
    step_size: np.ndarray,
) -> Chain:
    """Draw with a given diagonal metric, which nutpie has no option for.

    nutpie's initial metric is 1/|∇ log π| at the starting point. Therefore the chain runs in
    rescaled coordinates y, `z = start + s y` with s = M⁻¹ |∇ log π|, in which this initial metric
    corresponds to M⁻¹ in z.
    """
    slope = np.abs(density_and_gradient(start)[1])
    # nutpie's initial metric is 1 where the gradient is zero
    scale = np.where(slope > 0, metric * slope, np.sqrt(metric))

    def scaled(y: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density_and_gradient(start + scale * y)
        return value, scale * gradient

    origin, fixed_step_size = np.zeros_like(start), str(float(step_size))
    # nutpie needs one step of warm-up, which does not change the metric and counts as a draw
    chain = _run(scaled, origin, seed, 1, num_samples - 1, step_size_adapt_method=fixed_step_size)
    used = scale**2 * chain["mass_matrix_inv"]
    if not np.allclose(used, metric, rtol=1e-4, atol=0.0):
        raise BackendFaultError("nutpie: draws were made with another metric than the tuned one")
    return chain | {"z": start + scale * chain["z"]}


def _run(
    density_and_gradient: LogDensity,
    start: np.ndarray,
    seed: int,
    tune: int,
    draws: int,
    **settings: Any,
) -> Chain:
    """Draws and statistics of one chain, both of warm-up and after it."""
    import pyarrow

    nutpie, compiled = imported("nutpie"), imported("nutpie.compiled_pyfunc")
    start = np.asarray(start, dtype=np.float64)
    model = compiled.from_pyfunc(
        len(start),
        make_logp_fn=lambda: density_and_gradient,
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
        return_raw_trace=True,  # converting to InferenceData takes an eighth of the time
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
