"""Three NumPyro models: their inverse Fisher, whether NUTS finds it, and what starting there saves.

Run it with `python benchmarks/own_model.py`, some of its models with
`python benchmarks/own_model.py notebook hubble`, or one with
`invmass check benchmarks/own_model.py:hubble --metric dense`.
"""

import sys
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

from invmass import NumPyroModel
from invmass.model.distributions import Array
from invmass.runs.experiment import Settings
from invmass.user_model.adaptation import Adaptation
from invmass.user_model.metric_structure import Structure
from invmass.user_model.warm_start_saving import saving

# A correlated Gaussian under a bounded prior: what NUTS sees is the logit of each coordinate.

mean = np.array([2.0, 1.0])
covariance = np.array([[1.0, 0.09], [0.09, 0.01]])


def notebook(y: Array, covariance: Array) -> None:
    x = numpyro.sample("x", dist.Uniform(-10.0, 10.0), sample_shape=(2,))
    numpyro.sample("y", dist.MultivariateNormal(x, covariance), obs=y)


notebook_args = mean, covariance
notebook_truth = {"x": mean}

# Distance (Mpc) and velocity (km/s) of the 24 nebulae in table 1 of E. Hubble, "A relation between
# distance and radial velocity among extra-galactic nebulae", PNAS 15 (1929) 168; public domain.

HUBBLE = """
0.032 170  0.034 290  0.214 -130  0.263 -70  0.275 -185  0.275 -220  0.45 200  0.5 290
0.5 270  0.63 200  0.8 300  0.9 -30  0.9 650  0.9 150  0.9 500  1.0 920
1.1 450  1.1 500  1.4 500  1.7 960  2.0 500  2.0 850  2.0 800  2.0 1090
"""
DISTANCE, VELOCITY = np.array(HUBBLE.split(), dtype=float).reshape(-1, 2).T.copy()


def hubble(distance: Array, velocity: Array) -> None:
    slope = numpyro.sample("slope", dist.Uniform(0.0, 2000.0))
    offset = numpyro.sample("offset", dist.Normal(0.0, 500.0))
    scatter = numpyro.sample("scatter", dist.HalfNormal(500.0))
    numpyro.sample("velocity", dist.Normal(offset + slope * distance, scatter), obs=velocity)


hubble_args = DISTANCE, VELOCITY

# Effect of coaching in eight schools, and its standard error: D. Rubin, "Estimation in parallel
# randomized experiments", Journal of Educational Statistics 6 (1981) 377, table 1.

EFFECT = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERROR = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def schools(error: Array, effect: Array) -> None:
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", len(error)):
        theta = numpyro.sample("theta", dist.Normal(0.0, 1.0))
        numpyro.sample("effect", dist.Normal(mu + tau * theta, error), obs=effect)


schools_args = ERROR, EFFECT
schools_truth = {"mu": np.array(4.4), "tau": np.array(3.6), "theta": np.zeros(8)}


def show(title: str, own: NumPyroModel, structure: Structure) -> None:
    """What is asked of a model, one answer after the other."""
    prior = " with the prior" if own.with_prior else ""
    print(f"\n{title}: {own.kind} information{prior}, metric {structure}")
    adaptation = Adaptation(own, structure, Settings(replicates=64, tolerance=0.15))
    for entry in adaptation.entries():
        print(f"  {entry.name}: {entry}")
    print(f"  {saving(adaptation)}")


def main(chosen: Sequence[str]) -> None:
    """Judge the chosen models, or all three, and hand one inverse Fisher to NUTS."""
    line = NumPyroModel(hubble, "map", *hubble_args)
    models: dict[str, tuple[str, NumPyroModel, Structure]] = {
        "notebook": (
            "the notebook's model",
            NumPyroModel(notebook, notebook_truth, *notebook_args),
            "dense",
        ),
        "hubble": ("Hubble's law", line, "dense"),
        "schools": (
            "eight schools",
            NumPyroModel(schools, schools_truth, *schools_args),
            [("mu", "tau")],
        ),
    }
    for name in chosen or models:
        show(*models[name])

    print("\nHubble's law, started from its inverse Fisher:")
    matrix = line.inverse_mass_matrix("dense")
    kernel = NUTS(hubble, inverse_mass_matrix=matrix, dense_mass=True, adapt_mass_matrix=False)
    mcmc = MCMC(kernel, num_warmup=75, num_samples=500, progress_bar=False)
    mcmc.run(jax.random.key(0), jnp.asarray(DISTANCE), jnp.asarray(VELOCITY))
    slope = mcmc.get_samples()["slope"]
    print(f"  slope {slope.mean():.0f} ± {slope.std():.0f} km/s/Mpc")


if __name__ == "__main__":
    main(sys.argv[1:])
