"""Times NumPyro's three ways to run chains and prints JSON; `benchmarks/speed.py` runs it.

It is a separate process, because the third way needs one device for each chain, and the number of
devices must be set before JAX starts.
"""

import json
import time
from typing import Any

import jax
import numpy as np
import numpyro
from numpyro.distributions import MultivariateNormal
from numpyro.infer import MCMC, NUTS

CHAINS = 4
METHODS = ("vectorized", "sequential", "parallel")
DIMENSIONS = (2, 10, 100)
STEPS = 500  # of warm-up, and as many draws
ROUNDS = 5


def main() -> None:
    """Time each method in turn."""
    numpyro.set_host_device_count(CHAINS)
    lines = []
    for dimension in DIMENSIONS:
        seconds: dict[str, list[float]] = {method: [] for method in METHODS}
        runs = {method: program(dimension, method) for method in METHODS}
        for number in range(ROUNDS + 1):
            for method, run in runs.items():
                begin = time.perf_counter()
                jax.block_until_ready(run(jax.random.key(number)))
                seconds[method].append(time.perf_counter() - begin)
        for method, (first, *rest) in seconds.items():
            line = {"dimension": dimension, "method": method, "with compilation": first}
            lines.append(line | {"seconds": float(np.median(rest))})
    print(json.dumps(lines))


def program(dimension: int, method: str) -> Any:
    """Draws of NUTS with a diagonal metric, of a Gaussian that has correlations, from a key."""
    generator = np.random.default_rng(dimension)
    turn = np.linalg.qr(generator.normal(size=(dimension, dimension)))[0]
    covariance = turn * np.geomspace(0.3, 3.0, dimension) ** 2 @ turn.T

    def model() -> Any:
        numpyro.sample("x", MultivariateNormal(covariance_matrix=covariance))

    @jax.jit  # else it is compiled anew in each run
    def run(key: jax.Array) -> Any:
        mcmc = MCMC(
            NUTS(model),
            num_warmup=STEPS,
            num_samples=STEPS,
            num_chains=CHAINS,
            chain_method=method,
            progress_bar=False,
        )
        mcmc.run(key)
        return mcmc.get_samples(group_by_chain=True)

    return run


if __name__ == "__main__":
    main()
