"""The claim "resumes from a file"."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import final

import numpy as np

from invmass.claims.base import Claim, Deviations, Estimates
from invmass.claims.replicates import replicates_that_differ
from invmass.runs.experiment import Experiment
from invmass.sampling.backend import Tuned


@final
class ResumesFromFile(Claim):
    """Do tuned replicates that are saved to a file and loaded give the same arrays and draws?"""

    name = "resumes from a file"
    summary = (
        "Tuned replicates that are saved and loaded are the same, and so are the draws from them."
    )
    reference = "the same arrays and draws after saving and loading"
    margin = "exact"
    uses = "`sample`, which needs nothing but `Tuned` and keys"
    cases = ("gaussian_mean", "mixed_sites")  # one site with d = 1, and many
    per = "backend"
    needs_target = False

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """The number of replicates whose arrays or draws differ after saving and loading."""
        tuned = experiment.tuned(experiment.batch)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "tuned.npz"
            tuned.save(path)
            loaded = Tuned.load(path)
        changed = {
            f"replicates with another {entry.name}": float(
                np.any(getattr(loaded, entry.name) != getattr(tuned, entry.name))
                if entry.name == "window"
                else replicates_that_differ(getattr(loaded, entry.name), getattr(tuned, entry.name))
            )
            for entry in fields(Tuned)
        }
        redrawn = experiment.checked_draws(experiment.resample_call(0, loaded))
        draws = replicates_that_differ(
            redrawn.position, experiment.draws(experiment.batch).position
        )
        yield Deviations(changed | {"replicates with other draws": float(draws)})
