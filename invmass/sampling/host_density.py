"""Log densities as Python functions, integer seeds and imports, for PyMC and nutpie."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Key

from invmass.model.case import Case
from invmass.model.distributions import Array

Vector = Float[np.ndarray, " d"]
LogDensity = Callable[[Vector], tuple[float, Vector]]  # position to value and gradient


def log_density(case: Case) -> LogDensity:
    """The log density of a case and its gradient, computed by JAX in its present precision.

    Args:
        case: the posterior; z is our own unconstrained space.

    Returns:
        A function of a position, shape (d,), that gives the log density and its gradient, (d,).
    """
    return _log_density(case, jnp.zeros(()).dtype)


@cache
def _log_density(case: Case, dtype: Any) -> LogDensity:
    """`log_density`, compiled once for each case and precision."""
    posterior = case.posterior.on_device()

    @jax.jit
    def program(z: Array) -> Array:  # one array of both: two results take twice as long
        value, gradient = jax.value_and_grad(posterior.log_density)(z)
        return jnp.concatenate([value[None], gradient])

    def call(z: Vector) -> tuple[float, Vector]:
        value_and_gradient = np.asarray(program(z), dtype=np.float64)
        return float(value_and_gradient[0]), value_and_gradient[1:]

    return call


def seeds(keys: Key[jax.Array, " R"]) -> list[int]:
    """A 64-bit integer seed for each random key."""
    words = np.asarray(jax.random.key_data(keys), dtype=np.uint64)
    return [int(high) << 32 | int(low) for high, low in words]


def imported(library: str) -> Any:
    """Import a library that imports ArviZ, and try again if ArviZ's cache file has vanished.

    Once a day ArviZ 0.23 writes a file to the user's cache through a temporary file whose name is
    the same in all processes. If two processes import it at once, the temporary file may be gone
    for one of them (ArviZ's issue 2530).
    """
    try:
        return import_module(library)
    except FileNotFoundError:
        return import_module(library)
