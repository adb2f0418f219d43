"""The claim "equivariant", and the comparison it shares with "equivariant at several lengths"."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import final

import numpy as np

from invmass.claims.base import GAUSSIAN_FIT, Claim, Deviations, Estimates
from invmass.claims.intervals import Statistic
from invmass.claims.replicates import diagonals, in_batches
from invmass.model.affine import AffineMap
from invmass.runs.experiment import Experiment
from invmass.sampling.backend import Tuned, WarmUpRequest
from invmass.whitening import whiten

COMBINED = AffineMap("moved", shift=1000.0, scale=30.0, turn=1)


@final
class Equivariant(Claim):
    """Is M⁻¹ equivariant under a shift, a change of scale and a permutation, all at once?

    Mapped back to the original coordinates, M⁻¹ of the mapped posterior must be that of the
    original posterior.
    """

    name = "equivariant"
    summary = "Shifting, rescaling and permuting the posterior changes M⁻¹ in its units alone."
    reference = "shifted, rescaled and permuted at once, M⁻¹ scales by c² and permutes"
    margin = "10%"
    uses = "`warm_up` on cases far from zero and rescaled"
    cases = (GAUSSIAN_FIT,)
    per = "backend"
    per_in_full = "metric"
    needs_target = False

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """Differences between M⁻¹, mapped back, and M⁻¹ of the original, for each replicate."""
        runs = [("", experiment, COMBINED)]
        yield differences_under_maps(experiment, runs, {"": experiment.settings.tolerance})


def differences_under_maps(
    experiment: Experiment,
    runs: Sequence[tuple[str, Experiment, AffineMap]],
    margins: Mapping[str, float],
) -> Estimates:
    """M⁻¹ of mapped cases, mapped back, against M⁻¹ of the original case, for each replicate.

    Both matrices are whitened by the regularised target. The term that regularisation adds is
    subtracted first: it is fixed in units of z and does not scale with the posterior. Both
    warm-ups use the same keys and the same (mapped) starting points, which reduces the variance
    of the difference where they follow the same path.

    Args:
        experiment: the cell.
        runs: label, experiment on the original case (whose settings also apply to the mapped
            case) and map, for each comparison.
        margins: the allowed absolute deviation, by label.
    """
    covariance = experiment.truth.moments.covariance
    pairs = [
        (label, run, _mapped_warm_up(run, affine_map, covariance))
        for label, run, affine_map in runs
    ]

    def differences(count: int) -> list[Statistic]:
        found: list[Statistic] = []
        for (label, run, mapped_tuned), (_, _, affine_map) in zip(pairs, runs, strict=True):
            expected = run.regularised(run.target)
            floor = run.regularised(np.zeros_like(expected))
            original = run.tuned(count).inverse_mass_matrix.astype(np.float64) - floor
            mapped = mapped_tuned(count).inverse_mass_matrix.astype(np.float64) - floor
            original, mapped = (
                whiten(m, expected) for m in (original, affine_map.metrics_back(mapped))
            )
            logs = np.log(diagonals(mapped)) - np.log(diagonals(original))
            found += [
                Statistic(f"{label}log ratio of S[{i},{i}]", values, 0.0, "linear", margins[label])
                for i, values in enumerate(logs.T)
            ]
            if original.ndim == 3:
                found += [
                    Statistic(
                        f"{label}S[{i},{j}]",
                        (mapped - original)[:, i, j],
                        0.0,
                        "linear",
                        margins[label],
                    )
                    for i, j in zip(*np.tril_indices(original.shape[1], -1), strict=True)
                ]
        return found

    return Estimates(differences, max(margins.values()))


def _mapped_warm_up(
    experiment: Experiment, affine_map: AffineMap, covariance: np.ndarray
) -> Callable[[int], Tuned]:
    """Warm-up of the mapped case, from the starting points of the original, mapped."""
    case = affine_map.case(experiment.case, covariance)

    def batch(number: int) -> Tuned:
        starts = experiment.starts((number + 1) * experiment.batch)[-experiment.batch :]
        mapped_starts = affine_map.points(starts.astype(np.float64), covariance).astype(
            starts.dtype
        )
        keys, steps = experiment.keys(number), experiment.settings.num_warmup
        request = WarmUpRequest(case, experiment.metric, keys, mapped_starts, steps)
        return experiment.checked_tuned(lambda: experiment.backend.warm_up(request))

    return in_batches(batch, experiment.batch)
