"""Many draws of one normal distribution: the information about its mean, and about its scale."""

from collections.abc import Iterator

import numpy as np
import scipy.stats

from invmass.cases.case import Case
from invmass.geometry.families import HalfNormal, Normal
from invmass.geometry.posterior import Observation, Site

_DRAWS = 50


def normal_scores(count: int) -> np.ndarray:
    """A sample without noise: normal quantiles, centred, of unit mean square; shape (count,)."""
    scores = scipy.stats.norm.ppf((np.arange(count) + 0.5) / count)
    return scores / np.sqrt(np.mean(scores**2))


def one_normal() -> Iterator[Case]:
    """The mean with known scale, information n/σ²; the scale with known mean, 2n in log σ."""
    yield Case(
        "gaussian_mean",
        f"{_DRAWS} draws of N(μ, 3); μ ~ N(0, 100)",
        sites={"mean": Site(Normal(0.0, 100.0))},
        observations={
            "y": Observation(
                lambda x: Normal(x["mean"], 3.0), data=40.0 + 3.0 * normal_scores(_DRAWS)
            )
        },
        truth={"mean": 40.0},
    )
    yield Case(
        "gaussian_scale",
        f"{_DRAWS} draws of N(5, σ); σ ~ HalfNormal(100)",
        sites={"scale": Site(HalfNormal(100.0))},
        observations={
            "y": Observation(
                lambda x: Normal(5.0, x["scale"]), data=5.0 + 30.0 * normal_scores(_DRAWS)
            )
        },
        truth={"scale": 30.0},
    )
