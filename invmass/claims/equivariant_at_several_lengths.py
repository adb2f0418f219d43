"""The claim "equivariant at several lengths"."""

from collections.abc import Iterator
from dataclasses import replace
from typing import final

from invmass.claims.base import GAUSSIAN_FIT, Claim, Deviations, Estimates
from invmass.claims.equivariant import differences_under_maps
from invmass.model.affine import AffineMap
from invmass.runs.experiment import Experiment

# Margins by number of warm-up steps; a short warm-up still depends on the initial metric.
LENGTHS = {200: 0.15, 500: 0.05, 2000: 0.05}
SEPARATE = (
    AffineMap("shifted", shift=1000.0),
    AffineMap("rescaled", scale=30.0),
    AffineMap("permuted", turn=1),
)


@final
class EquivariantAtSeveralLengths(Claim):
    """Is M⁻¹ equivariant under each map alone, after warm-ups of several lengths?

    The margin is 5%, except for 15% at 200 steps: there, the only window before the last one has
    25 draws, and these are made under the initial identity metric, which is not mapped.
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
        """Differences between M⁻¹, mapped back, and M⁻¹ of the original, by length and map."""
        runs, margins = [], {}
        for length, margin in LENGTHS.items():
            settings = replace(experiment.settings, num_warmup=length)
            unmapped = Experiment(experiment.case, experiment.backend, experiment.metric, settings)
            for affine_map in SEPARATE:
                label = f"{length} steps, {affine_map.name}: "
                runs.append((label, unmapped, affine_map))
                margins[label] = margin
        yield differences_under_maps(experiment, runs, margins)
