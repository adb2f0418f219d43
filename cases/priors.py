"""Priors without data, one for each family of distributions.

Here the inverse Fisher information at a point is furthest from the variance that warm-up
estimates, and the libraries differ most, because each has its own unconstraining transforms. Many
of these priors have closed forms for the variance of z, the information and their ratio
(tests/test_priors.py).
"""

from collections.abc import Iterator

import numpy as np

from invmass.model import distributions as families
from invmass.model.case import Case
from invmass.model.distributions import Array, Distribution
from invmass.model.posterior import Site

# Summary, prior and x* of each. The point x* is the mode of the density of z if positive values
# are unconstrained by log and intervals by logit.
_PRIORS: dict[str, tuple[str, Distribution, Array]] = {
    "normal": ("N(30, 2)", families.Normal(30.0, 2.0), 30.0),
    "uniform": ("Uniform(-3, 7)", families.Uniform(-3.0, 7.0), 2.0),
    "beta": ("Beta(2, 5)", families.Beta(2.0, 5.0), 2 / 7),
    "exponential": ("Exponential(1)", families.Exponential(1.0), 1.0),
    "gamma": ("Gamma(3, 1)", families.Gamma(3.0, 1.0), 3.0),
    "inverse_gamma": ("InverseGamma(10, 60)", families.InverseGamma(10.0, 60.0), 6.0),
    "half_normal": ("HalfNormal(1)", families.HalfNormal(1.0), 1.0),
    "half_cauchy": ("HalfCauchy(3)", families.HalfCauchy(3.0), 3.0),
    "log_normal": ("LogNormal(2, 0.7)", families.LogNormal(2.0, 0.7), np.exp(2.0)),
    "student_t": ("StudentT(5, 40, 3)", families.StudentT(5.0, 40.0, 3.0), 40.0),
    "truncated_normal": (
        "N(10, 5) between 8 and 20",
        families.TruncatedNormal(10.0, 5.0, 8.0, 20.0),
        12.39719045,
    ),
    "dirichlet": (
        "Dirichlet(2, 3, 5)",
        families.Dirichlet(np.array([2.0, 3.0, 5.0])),
        np.array([0.2, 0.3, 0.5]),
    ),
    "ordered": (
        "first entry, log gaps ~ N((-20, 1, 3), (2, 0.5, 0.8))",
        families.OrderedNormal(np.array([-20.0, 1.0, 3.0]), np.array([2.0, 0.5, 0.8])),
        np.cumsum([-20.0, np.exp(1.0), np.exp(3.0)]),
    ),
    "lkj": ("3×3 correlations ~ LKJ(2)", families.LKJ(3, 2.0), np.eye(3)),
}


_SHORT_TAILED = ("log_normal", "beta", "ordered", "gamma")  # mixed_sites has the simplex


def prior_only() -> Iterator[Case]:
    """One case with several families as independent sites, and one case for each family."""
    chosen = {name: _PRIORS[name] for name in _SHORT_TAILED}
    yield Case(
        "priors",
        "no data; " + ", ".join(f"{name}: {text}" for name, (text, _, _) in chosen.items()),
        sites={name: Site(prior) for name, (_, prior, _) in chosen.items()},
        observations={},
        truth={name: centre for name, (_, _, centre) in chosen.items()},
        groups=tuple((name,) for name in chosen),
        prior_informs=True,
    )
    for name, (text, prior, centre) in _PRIORS.items():
        yield Case(
            f"prior-{name}",
            f"no data; x: {text}",
            sites={"x": Site(prior)},
            observations={},
            truth={"x": centre},
            prior_informs=True,
            diagonal_only=np.size(centre) == 1,
            tier="full",
            version=2 if name == "truncated_normal" else 1,
        )
