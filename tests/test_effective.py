"""E-BFMI, computed from draws, against a library's own energies and against closed forms."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import polygamma

from invmass.model.distributions import Array
from invmass.studies.effective_sample_size import e_bfmi


def gaussian(z: Array) -> Array:
    return -0.5 * jnp.sum(z**2)


def heavy_tailed(z: Array) -> Array:
    """Student's t with two degrees of freedom, in each coordinate."""
    return -1.5 * jnp.sum(jnp.log1p(z**2 / 2))


# of one coordinate; 1/(1 + z²/2) of the second is Beta(1, ½)
VARIANCE: dict[Callable[[Array], Array], float] = {
    gaussian: 0.5,
    heavy_tailed: 1.5**2 * (polygamma(1, 1.0) - polygamma(1, 1.5)),
}


@pytest.mark.parametrize("log_density", VARIANCE)
def test_e_bfmi_is_that_of_numpyros_energies(log_density: Callable[[Array], Array]) -> None:
    pytest.importorskip("numpyro")
    from arviz_stats.base import array_stats
    from numpyro.infer import MCMC, NUTS

    kernel = NUTS(potential_fn=lambda z: -log_density(z))
    mcmc = MCMC(
        kernel, num_warmup=500, num_samples=2000, num_chains=8, chain_method="vectorized",
        progress_bar=False,
    )  # fmt: skip
    mcmc.run(jax.random.key(0), init_params=jnp.ones((8, 5)), extra_fields=("energy",))
    energies = np.asarray(mcmc.get_extra_fields(group_by_chain=True)["energy"])
    theirs = np.median(array_stats.bfmi(energies))
    draws = mcmc.get_samples()
    ours = e_bfmi(np.asarray(jax.vmap(log_density)(draws)), draws.shape[1])
    assert ours == pytest.approx(theirs, rel=0.1)
    assert ours == pytest.approx(1 / (0.5 + VARIANCE[log_density]), rel=0.1)
