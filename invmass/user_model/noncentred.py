"""A model with its hierarchical sites stated non-centred, for sampling where centred ones bend.

A site `theta ~ Normal(mu, tau)` whose location or scale depends on other sites is stated as
`theta = mu + tau * standard`. The posterior is the same; that of the standard site has no neck.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from invmass.model.distributions import Array
from invmass.model.precision import float64
from invmass.user_model import numpyro_sites
from invmass.user_model.model import OwnModel


def noncentred(own: OwnModel) -> tuple[OwnModel, Callable[[Array], Array]] | None:
    """The model non-centred, and the map from its z to that of the model itself, both (d,).

    None if no site depends on others by its location and scale.
    """
    from numpyro.handlers import reparam
    from numpyro.infer.reparam import LocScaleReparam

    shapes = _dependent_sites(own)
    if not shapes:
        return None
    config = {name: LocScaleReparam(0.0, shape_params=shape) for name, shape in shapes.items()}
    other = OwnModel(reparam(own.model, config=config), "map", own.args, own.kwargs)

    def back(z: Array) -> Array:
        from numpyro.infer.util import constrain_fn

        model = numpyro_sites.seeded(other.model)
        x = constrain_fn(model, *other.inputs, other.unflatten(z), return_deterministic=True)
        return own.flatten(own.to_unconstrained({name: x[name] for name in own.sites}))

    return other, back


def _dependent_sites(own: OwnModel) -> dict[str, tuple[str, ...]]:
    """Real sites whose location or scale depends on other sites, with what else shapes them."""
    with float64(), numpyro_sites.told(own.model):
        points = np.random.default_rng(0).uniform(-1, 1, (2, own.dimension))
        traces = [
            numpyro_sites.traced(own.model, *own.inputs, own.to_constrained(jnp.asarray(z)))
            for z in points
        ]
    found = {}
    for name in own.sites:
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
    """Without its repetitions and event dimensions, which `LocScaleReparam` sees through."""
    from numpyro.distributions import ExpandedDistribution, Independent

    while isinstance(distribution, ExpandedDistribution | Independent):
        distribution = distribution.base_dist
    return distribution


def _is_real(distribution: Any) -> bool:
    from numpyro.distributions import constraints

    return distribution.support is constraints.real
