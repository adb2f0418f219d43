"""Posteriors far from Gaussian, where M⁻¹ must differ from the inverse Fisher at the truth.

One of them has an infinite variance, so that the estimator of warm-up has no limit.
"""

from collections.abc import Iterator

from invmass.model.case import Case
from invmass.model.distributions import Normal, StudentT, Uniform
from invmass.model.posterior import Observation, Site


def far_from_gaussian() -> Iterator[Case]:
    """A posterior pressed against a bound, a banana, and one with an infinite variance."""
    yield Case(
        "pressed",
        "y ~ N(x, 2), y = 0.5; x ~ Uniform(0, 40)",
        sites={"x": Site(Uniform(0.0, 40.0))},
        observations={"y": Observation(lambda x: Normal(x["x"], 2.0), data=0.5)},
        truth={"x": 0.5},
        diagonal_only=True,
        tier="full",
    )
    yield Case(
        "banana",
        "y ~ N(level + 0.2 (bend - 20)², 0.5), y = 101; level ~ N(100, 2), bend ~ N(20, 1)",
        sites={"level": Site(Normal(100.0, 2.0)), "bend": Site(Normal(20.0, 1.0))},
        observations={
            "y": Observation(
                lambda x: Normal(x["level"] + 0.2 * (x["bend"] - 20.0) ** 2, 0.5), data=101.0
            )
        },
        truth={"level": 101.0, "bend": 20.0},
        prior_informs=True,
        tier="full",
    )
    yield Case(
        "infinite_variance",
        "no data; x ~ StudentT(2, 40, 3), whose variance is infinite",
        sites={"x": Site(StudentT(2.0, 40.0, 3.0))},
        observations={},
        truth={"x": 40.0},
        prior_informs=True,
        diagonal_only=True,
        tier="full",
    )
