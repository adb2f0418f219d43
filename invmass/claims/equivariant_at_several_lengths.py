"""The claim "equivariant at several lengths"."""

from collections.abc import Iterator
from dataclasses import replace
from typing import final

from invmass.claims.base import GAUSSIAN_FIT, Claim, Deviations, Estimates
from invmass.claims.equivariant import differences_under_maps
from invmass.model.affine import AffineMap
from invmass.runs.experiment import Experiment

LENGTHS = {200: 0.15, 500: 0.05, 2000: 0.05}  # short warm-up still depends on the initial identity
SEPARATE = (
    AffineMap("shifted", shift=1000.0),
    AffineMap("rescaled", scale=30.0),
    AffineMap("permuted", turn=1),
)


@final
class EquivariantAtSeveralLengths(Claim):
    """Equivariance under each map alone, after warm-up of several lengths.

    Within 5%, but for 200 steps: there the only window before the last has 25 draws, made under
    the identity, which is the one thing that is not mapped. Within 15% then.
    """

    name = "equivariant at several lengths"
    summary = "The same for each map alone, after 200, 500 and 2,000 steps of warm-up."
    reference = "the same for each map alone"
    margin = "5%; 15% at 200 steps"
    uses = "`warm_up` on cases far from zero and rescaled, at several lengths"
    cases = (GAUSSIAN_FIT,)
    per = "backend"
    tier = "full"
    long = True
    needs_target = False

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """Differences of M⁻¹, mapped back, for each length and map."""
        runs, margins = [], {}
        for length, margin in LENGTHS.items():
            settings = replace(experiment.settings, num_warmup=length)
            unmapped = Experiment(experiment.case, experiment.backend, experiment.metric, settings)
            for affine_map in SEPARATE:
                label = f"{length} steps, {affine_map.name}: "
                runs.append((label, unmapped, affine_map))
                margins[label] = margin
        yield differences_under_maps(experiment, runs, margins)
