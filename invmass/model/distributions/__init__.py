"""Probability distributions: log density, support, Fisher information of their own parameters.

A distribution is used twice: as the prior of a site (with constant parameters) and as that of an
observation (with parameters that depend on the sites). It is stated neutrally; every backend
lowers it into its own library's distribution. Constants are kept in float64.
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
