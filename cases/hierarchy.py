"""Hierarchical models: eight schools, centred and non-centred, and Neal's funnel."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from invmass.model.case import Case
from invmass.model.distributions import ConditionalPrior, Normal, TruncatedNormal
from invmass.model.posterior import Observation, Site

_SOURCE = (
    "Coaching in eight schools: D. B. Rubin, Journal of Educational Statistics 6 (1981); "
    'as ArviZ (Apache-2.0) ships it in "centered_eight".'
)
_EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def hierarchies() -> Iterator[Case]:
    """Eight schools, centred and non-centred, with τ bounded away from zero; Neal's funnel."""
    about = "y ~ N(θ, σ) in 8 schools; μ ~ N(0, 20), τ ~ N(10, 1.5) between 1 and 30"
    spread, mean = 10.0, 8.0
    alike = np.zeros(len(_EFFECTS))  # with unequal effects the joint curvature is indefinite
    # τ has a lower bound because NumPyro's warm-up can fail for tiny τ (docs/findings.md)
    above_one = TruncatedNormal(10.0, 1.5, 1.0, 30.0)
    around_mean = ConditionalPrior(lambda x: Normal(x["mean"], x["spread"]))
    top = {"spread": Site(above_one), "mean": Site(Normal(0.0, 20.0))}
    yield Case(
        "eight_schools-centred",
        f"{about}, θ ~ N(μ, τ)",
        sites=top | {"effects": Site(around_mean, _EFFECTS.shape)},
        observations={
            "y": Observation(
                lambda x, errors: Normal(x["effects"], errors),
                data=_EFFECTS,
                constants=(_ERRORS,),
            )
        },
        truth={"spread": spread, "mean": mean, "effects": mean + alike},
        gaussian=("mean", "effects"),
        prior_informs=True,
        source=_SOURCE,
        tier="full",
    )
    yield Case(
        "eight_schools-noncentred",
        f"{about}, θ = μ + τ η, η ~ N(0, 1)",
        sites=top | {"standardised": Site(Normal(0.0, 1.0), _EFFECTS.shape)},
        observations={
            "y": Observation(
                lambda x, errors: Normal(x["mean"] + x["spread"] * x["standardised"], errors),
                data=_EFFECTS,
                constants=(_ERRORS,),
            )
        },
        truth={"spread": spread, "mean": mean, "standardised": alike},
        gaussian=("mean", "standardised"),
        prior_informs=True,
        source=_SOURCE,
        tier="full",
    )
    yield Case(
        "funnel",
        "no data; width ~ N(10, 1), x ~ N(100, exp((width - 10)/2)), twice",
        sites={
            "width": Site(Normal(10.0, 1.0)),
            "x": Site(
                ConditionalPrior(lambda x: Normal(100.0, jnp.exp((x["width"] - 10.0) / 2))), (2,)
            ),
        },
        observations={},
        truth={"width": 10.0, "x": np.array([100.0, 100.0])},
        gaussian=("x",),
        prior_informs=True,
        tier="full",
    )
