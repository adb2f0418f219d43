"""Gaussians of growing dimension and condition number, and one for metrics of low rank."""

from collections.abc import Iterator
from itertools import product

import jax.numpy as jnp
import numpy as np

from invmass.model.case import Case
from invmass.model.distributions import Array, Normal
from invmass.model.posterior import Observation, Site, Sites

_CORRELATION = 0.5  # between neighbours
_DIMENSIONS = (2, 10, 50, 100, 1000)
_CONDITIONS = (1e2, 1e4, 1e6)


def gaussians() -> Iterator[Case]:
    """Gaussians with neighbour correlations of 0.5 and geometric scales in random order."""
    for dimension, condition in product(_DIMENSIONS, _CONDITIONS):
        half, signs = dimension // 2, (-1.0) ** np.arange(dimension)
        scale = np.random.default_rng(dimension).permutation(
            np.geomspace(1.0, np.sqrt(condition), dimension) / condition**0.25
        )
        centre = 30.0 * scale * signs
        yield Case(
            f"scaling-{dimension}-1e{round(np.log10(condition))}",
            f"x in {dimension} dimensions ~ N(30 s, s, autoregressive correlations of ½), "
            f"s² from {1 / np.sqrt(condition):g} to {np.sqrt(condition):g}; x ~ N(0, 1e5)",
            sites={
                "second": Site(Normal(0.0, 1e5), (half,)),
                "first": Site(Normal(0.0, 1e5), (dimension - half,)),
            },
            observations={
                "y": Observation(
                    lambda x, scale: Normal(_innovations(x, scale), 1.0),
                    data=_whiten(30.0 * signs),
                    constants=(scale,),
                )
            },
            truth={"second": centre[:half], "first": centre[half:]},
            gaussian=("second", "first"),
            prior_informs=True,
            tier="named" if dimension == 1000 and condition > 1e2 else "full",  # takes ten minutes
        )


_PAIRS, _ALONE, _PAIRED = 5, 6, 0.8


def paired() -> Iterator[Case]:
    """Sixteen coordinates, ten of which are correlated in pairs: ten eigenvalues are far from one.

    A low-rank metric with these ten eigenvectors equals the dense metric. One with fewer or other
    eigenvectors does not.
    """
    dimension = 2 * _PAIRS + _ALONE
    scale = np.random.default_rng(0).permutation(np.geomspace(0.1, 10.0, dimension))
    centre = 30.0 * scale * (-1.0) ** np.arange(dimension)
    yield Case(
        "paired",
        f"x in {dimension} dimensions ~ N(30 s, s), {_PAIRS} pairs with correlations of "
        f"{_PAIRED}, s from 0.1 to 10; x ~ N(0, 1e5)",
        sites={
            "second": Site(Normal(0.0, 1e5), (2 * _PAIRS,)),
            "first": Site(Normal(0.0, 1e5), (_ALONE,)),
        },
        observations={
            "y": Observation(
                lambda x, scale: Normal(
                    _unpair(jnp.concatenate([x["second"], x["first"]]) / scale), 1.0
                ),
                data=_unpair(centre / scale),
                constants=(scale,),
            )
        },
        truth={"second": centre[: 2 * _PAIRS], "first": centre[2 * _PAIRS :]},
        gaussian=("second", "first"),
        prior_informs=True,
        structured=True,
        tier="full",
    )


def _unpair(u: Array) -> Array:
    """Standardised residuals of each entry, the second of a pair conditional on the first."""
    first, second, alone = u[:_PAIRS], u[_PAIRS : 2 * _PAIRS], u[2 * _PAIRS :]
    new = (second - _PAIRED * first) / np.sqrt(1 - _PAIRED**2)
    return u.__array_namespace__().concat([first, new, alone])


def _innovations(x: Sites, scale: Array) -> Array:
    return _whiten(jnp.concatenate([x["second"], x["first"]]) / scale)


def _whiten(u: Array) -> Array:
    """Standardised innovations of an autoregressive sequence."""
    new = (u[1:] - _CORRELATION * u[:-1]) / np.sqrt(1 - _CORRELATION**2)
    return u.__array_namespace__().concat([u[:1], new])
