"""Models of real data; each file in `data/` gives its source.

`truth` is the rounded maximum of the likelihood, or of the posterior if the prior is informative.
"""

from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from invmass.model.case import Case
from invmass.model.distributions import (
    Bernoulli,
    HalfNormal,
    LogNormal,
    MultivariateNormal,
    Normal,
    Poisson,
    TruncatedNormal,
)
from invmass.model.posterior import Observation, Site, Sites


def on_real_data() -> Iterator[Case]:
    """Linear, logistic and Poisson regressions, and the hyper-parameters of a Gaussian process."""
    stack, source = _read("stackloss")
    yield _linear_regression(
        "stack_loss",
        "loss ~ N(design β, σ) on 21 days: a constant, air flow, water temperature, acid",
        stack[:, 0],
        stack[:, 1:],
        source,
        {"spread": 2.92, "coefficients": np.array([-39.9, 0.716, 1.295, -0.152])},
    )
    rates, source = _read("interest_rates")
    yield _linear_regression(
        "interest_rates",
        "bill rate ~ N(design β, σ) in 51 years: a constant, money in billions of dollars, which "
        "is not standardised",
        rates[:, 1],
        rates[:, 2:],
        source,
        {"spread": 2.80, "coefficients": np.array([6.570, -0.001919])},
    )
    votes, source = _read("votes")
    yield Case(
        "votes",
        "vote ~ Bernoulli(logit⁻¹(a + b party + c place)), 236 people; (a, b, c) ~ N(0, 10)",
        sites={"coefficients": Site(Normal(0.0, 10.0), (3,))},
        observations={
            "vote": Observation(
                lambda x, design: Bernoulli(design @ x["coefficients"]),
                data=votes[:, 0],
                constants=(_with_constant(votes[:, 1:]),),
            )
        },
        truth={"coefficients": np.array([-5.64, 1.219, 0.400])},
        source=source,
        tier="full",
    )
    visits, source = _read("visits")
    yield Case(
        "visits",
        "visits ~ Poisson(exp(a + b log coinsurance + c diseases)), 202 people; "
        "(a, b, c) ~ N(0, 10)",
        sites={"coefficients": Site(Normal(0.0, 10.0), (3,))},
        observations={
            "visits": Observation(
                lambda x, design: Poisson(jnp.exp(design @ x["coefficients"])),
                data=visits[:, 0],
                constants=(_with_constant(visits[:, 1:]),),
            )
        },
        truth={"coefficients": np.array([0.981, -0.0177, 0.0151])},
        source=source,
        tier="full",
    )
    yield _gaussian_process()


def _linear_regression(
    name: str, summary: str, y: np.ndarray, columns: np.ndarray, source: str, truth: Sites
) -> Case:
    return Case(
        name,
        f"{summary}; β ~ N(0, 100), σ ~ N(0, 20) between 0.5 and 50",
        sites={
            # σ has a lower bound because NumPyro's warm-up can fail for tiny σ (docs/findings.md)
            "spread": Site(TruncatedNormal(0.0, 20.0, 0.5, 50.0)),
            "coefficients": Site(Normal(0.0, 100.0), np.shape(truth["coefficients"])),
        },
        observations={
            "y": Observation(
                lambda x, design: Normal(design @ x["coefficients"], x["spread"]),
                data=y,
                constants=(_with_constant(columns),),
            )
        },
        truth=truth,
        gaussian=("coefficients",),
        source=source,
        tier="full",
    )


def _gaussian_process() -> Case:
    nile, source = _read("nile")
    years = nile[:, 0]
    return Case(
        "nile",
        "flow in 20 years ~ Gaussian process of mean 920, covariance a² exp(-(t-t')²/2ℓ²) + σ²; "
        "a ~ LogNormal(log 150, 0.5), ℓ ~ LogNormal(log 25, 0.5), σ ~ HalfNormal(200)",
        sites={
            "noise": Site(HalfNormal(200.0)),
            "length": Site(LogNormal(np.log(25.0), 0.5)),
            "amplitude": Site(LogNormal(np.log(150.0), 0.5)),
        },
        observations={
            "flow": Observation(
                lambda x, squares: MultivariateNormal(
                    jnp.full(len(squares), 920.0),
                    x["amplitude"] ** 2 * jnp.exp(-0.5 * squares / x["length"] ** 2)
                    + x["noise"] ** 2 * jnp.eye(len(squares)),
                ),
                data=nile[:, 1],
                constants=((years[:, None] - years) ** 2,),
            )
        },
        truth={"noise": 136.0, "length": 27.6, "amplitude": 118.0},
        prior_informs=True,
        source=source,
        tier="full",
    )


def _read(name: str) -> tuple[np.ndarray, str]:
    """A table and its source, from the file's header, whose last line names the columns."""
    path = Path(__file__).parent / "data" / f"{name}.csv"
    head = [line[2:] for line in path.read_text(encoding="utf-8").splitlines() if line[0] == "#"]
    return np.loadtxt(path, delimiter=","), " ".join(head[:-1])


def _with_constant(columns: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(columns)), columns])
