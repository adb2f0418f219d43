"""Gaussian likelihoods with a fixed covariance: the posteriors of the notebook and the lecture."""

from collections.abc import Iterator

import numpy as np

from invmass.model.case import Case
from invmass.model.distributions import Array, Distribution, MultivariateNormal, Normal, Uniform
from invmass.model.posterior import Observation, Site, Sites


def _observed_mean(x: Sites, covariance: Array) -> MultivariateNormal:
    return MultivariateNormal(x["x"], covariance)


def _correlated(
    name: str, summary: str, centre: np.ndarray, covariance: np.ndarray, prior: Distribution
) -> Case:
    return Case(
        name,
        summary,
        sites={"x": Site(prior, (2,))},
        observations={"y": Observation(_observed_mean, data=centre, constants=(covariance,))},
        truth={"x": centre},
    )


def correlated_gaussians() -> Iterator[Case]:
    """One Gaussian observation of a two-dimensional mean, under a bounded and a normal prior."""
    centre, covariance = np.array([2.0, 1.0]), np.array([[1.0, 0.09], [0.09, 0.01]])
    likelihood = "y ~ N(x, [[1, 0.09], [0.09, 0.01]]), y = (2, 1)"
    for kind, prior, text in (
        ("uniform", Uniform(-10.0, 10.0), "Uniform(-10, 10)"),
        ("normal", Normal(0.0, 10.0), "N(0, 10)"),
    ):
        yield _correlated(
            f"notebook-{kind}", f"{likelihood}; x ~ {text}", centre, covariance, prior
        )

    centre = np.array([20.0, -10.0])
    covariance = np.array([[1.5**2, 1.5 * 0.85], [1.5 * 0.85, 1.0]])
    likelihood = "y ~ N(x, σ = (1.5, 1), ρ = 0.85), y = (20, -10)"
    for kind, prior, text in (
        ("uniform", Uniform(-50.0, 50.0), "Uniform(-50, 50)"),
        ("normal", Normal(0.0, 100.0), "N(0, 100)"),
    ):
        yield _correlated(
            f"lecture_gaussian-{kind}", f"{likelihood}; x ~ {text}", centre, covariance, prior
        )
