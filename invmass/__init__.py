"""Is the inverse mass matrix that a sampler tuned the one that the posterior calls for?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_here = Path(__file__).parent
if not (_here / "cases").is_dir():  # in a checkout they stand beside this package
    __path__.append(str(_here.parent))

if TYPE_CHECKING:
    from invmass.adaptation.estimators import (
        BIASED_VARIANCE,
        COVARIANCE_LOW_RANK,
        FISHER_DIAGONAL,
        FISHER_LOW_RANK,
        POOLED_DENSE,
        RUNNING_COVARIANCE,
        RUNNING_VARIANCE,
        WELFORD_BLOCK,
        WELFORD_DENSE,
        WELFORD_DIAGONAL,
        Estimator,
    )
    from invmass.adaptation.windows import last_window, stan_schedule
    from invmass.cli.export import export
    from invmass.model import fisher
    from invmass.model.case import Case
    from invmass.model.catalogue import all_cases
    from invmass.model.distributions import (
        LKJ,
        Bernoulli,
        Beta,
        ConditionalPrior,
        Dirichlet,
        Exponential,
        Gamma,
        HalfCauchy,
        HalfNormal,
        InverseGamma,
        LogNormal,
        Multinomial,
        MultivariateNormal,
        Normal,
        OrderedNormal,
        Poisson,
        StudentT,
        TruncatedNormal,
        Uniform,
    )
    from invmass.model.posterior import Observation, Posterior, Site
    from invmass.notebook import Answer, check, judge
    from invmass.results.rows import load_rows
    from invmass.sampling.backend import Backend, Draws, Tuned, Unsupported, WarmUpRequest
    from invmass.user_model.numpyro_model import NumPyroModel

# Where each public name is defined. A name is imported when it is first used: pytest imports this
# package in every session in which it is installed, and JAX must not be imported before it is
# configured.
_MODULES = {
    "invmass.adaptation.estimators": (
        "BIASED_VARIANCE COVARIANCE_LOW_RANK FISHER_DIAGONAL FISHER_LOW_RANK POOLED_DENSE "
        "RUNNING_COVARIANCE RUNNING_VARIANCE WELFORD_BLOCK WELFORD_DENSE WELFORD_DIAGONAL "
        "Estimator"
    ),
    "invmass.adaptation.windows": "last_window stan_schedule",
    "invmass.cli.export": "export",
    "invmass.model.case": "Case",
    "invmass.model.catalogue": "all_cases",
    "invmass.model.distributions": (
        "LKJ Bernoulli Beta ConditionalPrior Dirichlet Exponential Gamma HalfCauchy HalfNormal "
        "InverseGamma LogNormal Multinomial MultivariateNormal Normal OrderedNormal Poisson "
        "StudentT TruncatedNormal Uniform"
    ),
    "invmass.model.posterior": "Observation Posterior Site",
    "invmass.notebook": "Answer check judge",
    "invmass.results.rows": "load_rows",
    "invmass.sampling.backend": "Backend Draws Tuned Unsupported WarmUpRequest",
    "invmass.user_model.numpyro_model": "NumPyroModel",
}
_PUBLIC = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = ["__version__", "fisher", *_PUBLIC]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "fisher":  # the functions of this module are called `fisher.expected(...)`
        return import_module("invmass.model.fisher")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'invmass' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
