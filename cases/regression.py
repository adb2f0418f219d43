"""Curves fitted to data: a quadratic with known noise, and a model with every kind of site."""

from collections.abc import Iterator

import numpy as np

from invmass.model.case import Case
from invmass.model.distributions import (
    Dirichlet,
    HalfNormal,
    Multinomial,
    Normal,
    Uniform,
)
from invmass.model.posterior import Observation, Site

from .univariate import normal_scores


def curves() -> Iterator[Case]:
    """The quadratic fit, and a case with a real, a positive, an interval and a simplex site."""
    t = np.linspace(-1.0, 2.0, 20)
    design = np.stack([np.ones_like(t), t, t**2], axis=1)
    coefficients = np.array([4.0, -30.0, 15.0])
    yield Case(
        "quadratic_fit",
        "y ~ N(a + b t + c t², 0.5) at 20 points; (a, b, c) ~ N(0, 100)",
        sites={"coefficients": Site(Normal(0.0, 100.0), (3,))},
        observations={
            "y": Observation(
                lambda x, design: Normal(design @ x["coefficients"], 0.5),
                data=design @ coefficients + 0.5 * _residuals(design),
                constants=(design,),
            )
        },
        truth={"coefficients": coefficients},
    )
    yield _mixed_sites()


def _mixed_sites() -> Case:
    """A case with scales from 0.01 to 100, whose declared order of sites is not alphabetical."""
    t = np.linspace(-1.0, 2.0, 12)
    design = np.stack([np.ones_like(t), 3_000.0 * t, t**2], axis=1)
    level, bend, gain, shares = 500.0, 1_000.0, 0.8, np.array([0.5, 0.3, 0.2])
    return Case(
        "mixed_sites",
        "y ~ N(level + 3000 gain t + bend t², 200) at 12 points, "
        "counts ~ Multinomial(1000, shares); level ~ N(0, 1000), "
        "shares ~ Dirichlet(2, 2, 2), bend ~ HalfNormal(5000), gain ~ Uniform(0, 2)",
        sites={
            "level": Site(Normal(0.0, 1000.0)),
            "shares": Site(Dirichlet(np.array([2.0, 2.0, 2.0]))),
            "bend": Site(HalfNormal(5_000.0)),
            "gain": Site(Uniform(0.0, 2.0)),
        },
        observations={
            "y": Observation(
                lambda x, t: Normal(x["level"] + 3_000.0 * x["gain"] * t + x["bend"] * t**2, 200.0),
                data=design @ np.array([level, gain, bend]) + 200.0 * _residuals(design),
                constants=(t,),
            ),
            "counts": Observation(lambda x: Multinomial(1_000, x["shares"]), data=1_000.0 * shares),
        },
        truth={"level": level, "shares": shares, "bend": bend, "gain": gain},
    )


def _residuals(design: np.ndarray) -> np.ndarray:
    """Noise of unit mean square orthogonal to the columns of `design`, so that the fit is exact."""
    scores = normal_scores(len(design))
    scores = np.random.default_rng(0).permutation(scores)
    scores = scores - design @ np.linalg.lstsq(design, scores, rcond=None)[0]
    return scores / np.sqrt(np.mean(scores**2))
