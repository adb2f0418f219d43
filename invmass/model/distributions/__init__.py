"""Probability distributions: log density, support, and Fisher information of the parameters.

A distribution is the prior of a site, with constant parameters, or that of an observation, with
parameters that depend on the sites. It does not depend on any sampler library: each backend
translates it into a distribution of its own library. Constants are stored in float64.
"""

from invmass.model.distributions.base import (
    ConditionalPrior,
    Distribution,
    ObservedDistribution,
)
from invmass.model.distributions.scalar import (
    Bernoulli,
    Beta,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    LogNormal,
    Normal,
    Poisson,
    StudentT,
    TruncatedNormal,
    Uniform,
)
from invmass.model.distributions.vector import (
    LKJ,
    Dirichlet,
    Multinomial,
    MultivariateNormal,
    OrderedNormal,
)
from invmass.model.supports import (
    Array,
    Correlation,
    Increasing,
    Interval,
    Positive,
    Real,
    Simplex,
    Support,
    strictly_lower,
)

__all__ = [
    "LKJ",
    "Array",
    "Bernoulli",
    "Beta",
    "ConditionalPrior",
    "Correlation",
    "Dirichlet",
    "Distribution",
    "Exponential",
    "Gamma",
    "HalfCauchy",
    "HalfNormal",
    "Increasing",
    "Interval",
    "InverseGamma",
    "LogNormal",
    "Multinomial",
    "MultivariateNormal",
    "Normal",
    "ObservedDistribution",
    "OrderedNormal",
    "Poisson",
    "Positive",
    "Real",
    "Simplex",
    "StudentT",
    "Support",
    "TruncatedNormal",
    "Uniform",
    "strictly_lower",
]
