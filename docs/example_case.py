"""A complete case: the mean of fifty observations."""

import numpy as np

from invmass import Case, Normal, Observation, Site


def means():
    y = 40.0 + np.linspace(-5.0, 5.0, 50)
    yield Case(
        "example_mean",
        "50 draws of N(μ, 3); μ ~ N(0, 100)",
        sites={"mean": Site(Normal(0.0, 100.0))},
        observations={"y": Observation(lambda x: Normal(x["mean"], 3.0), data=y)},
        truth={"mean": 40.0},
    )
