"""Observations of one normal distribution, with an unknown mean or an unknown scale."""

from collections.abc import Iterator

import numpy as np
import scipy.stats

from invmass.model.case import Case
from invmass.model.distributions import Array, HalfNormal, Normal
from invmass.model.posterior import Observation, Site, Sites

_DRAWS = 50


def normal_scores(count: int) -> np.ndarray:
    """Normal quantiles, centred, of unit mean square: a noiseless sample, shape (count,)."""
    scores = scipy.stats.norm.ppf((np.arange(count) + 0.5) / count)
    return scores / np.sqrt(np.mean(scores**2))


def one_normal() -> Iterator[Case]:
    """An unknown mean, with information n/σ²; an unknown scale, with information 2n on log σ."""
    yield _mean("gaussian_mean", 40.0, 3.0)
    yield _mean("fine_mean", 4.0, 0.03)  # regularisation adds half of its variance
    yield _mean("narrow_mean", 0.4, 0.007)  # regularisation adds ten times its variance
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


def _mean(name: str, mean: float, scale: float) -> Case:
    return Case(
        name,
        f"{_DRAWS} draws of N(μ, {scale:g}); μ ~ N(0, 100)",
        sites={"mean": Site(Normal(0.0, 100.0))},
        observations={
            "y": Observation(
                _about_the_mean,
                data=mean + scale * normal_scores(_DRAWS),
                constants=(np.asarray(scale),),
            )
        },
        truth={"mean": mean},
    )


def _about_the_mean(x: Sites, scale: Array) -> Normal:
    return Normal(x["mean"], scale)
