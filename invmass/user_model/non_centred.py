"""A model with its hierarchical sites stated non-centred, which samplers explore better.

A site `theta ~ Normal(mu, tau)` whose location or scale depends on other sites is stated as
`theta = mu + tau * standard`. The posterior is the same; the standard site has no narrow neck.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from invmass.model.distributions import Array
from invmass.user_model import numpyro_sites
from invmass.user_model.numpyro_density import NumPyroDensity


def non_centred(
    density: NumPyroDensity,
) -> tuple[NumPyroDensity, Callable[[Array], Array]] | None:
    """The same posterior, stated non-centred.

    Args:
        density: the model as it was stated.

    Returns:
        The model stated non-centred, and the map from its z to that of the model as it was stated,
        both of shape (d,). None if no site depends on others by its location and scale.
    """
    from numpyro.handlers import reparam
    from numpyro.infer.reparam import LocScaleReparam

    shapes = _dependent_sites(density)
    if not shapes:
        return None
    config = {name: LocScaleReparam(0.0, shape_params=shape) for name, shape in shapes.items()}
    other = NumPyroDensity(reparam(density.function, config=config), density.args, density.kwargs)

    def back(z: Array) -> Array:
        from numpyro.infer.util import constrain_fn

        seeded = numpyro_sites.seeded(other.function)
        x = constrain_fn(
            seeded, *other.inputs, other.layout.unflatten(z), return_deterministic=True
        )
        values = density.to_unconstrained({name: x[name] for name in density.sites})
        return density.layout.flatten(values)

    return other, back


def _dependent_sites(density: NumPyroDensity) -> dict[str, tuple[str, ...]]:
    """Real sites whose location or scale depends on other sites, with their further parameters."""
    with density.computing():
        points = np.random.default_rng(0).uniform(-1, 1, (2, density.dimension))
        traces = [
            numpyro_sites.traced(
                density.function, *density.inputs, density.to_constrained(jnp.asarray(z))
            )
            for z in points
        ]
    found = {}
    for name in density.sites:
        first, second = (_innermost(trace[name]["fn"]) for trace in traces)
        parameters = set(first.arg_constraints)
        if not {"loc", "scale"} <= parameters or not _is_real(first):
            continue
        if any(
            np.any(np.asarray(getattr(first, each)) != np.asarray(getattr(second, each)))
            for each in ("loc", "scale")
        ):
            found[name] = tuple(sorted(parameters - {"loc", "scale"}))
    return found


def _innermost(distribution: Any) -> Any:
    """The distribution inside the wrappers through which `LocScaleReparam` looks."""
    from numpyro.distributions import ExpandedDistribution, Independent

    while isinstance(distribution, ExpandedDistribution | Independent):
        distribution = distribution.base_dist
    return distribution


def _is_real(distribution: Any) -> bool:
    from numpyro.distributions import constraints

    return distribution.support is constraints.real
