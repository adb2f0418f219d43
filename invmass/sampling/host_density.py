"""What the libraries that call the log density from Python share: it, seeds, and their import."""

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
LogDensity = Callable[[Vector], tuple[float, Vector]]  # and its gradient


def log_density(case: Case) -> LogDensity:
    """The log density of a case and its gradient, computed by JAX in its ambient precision.

    Returns:
        A function of a position, shape (d,), that gives the log density and its gradient, (d,).
    """
    return _log_density(case, jnp.zeros(()).dtype)


@cache
def _log_density(case: Case, dtype: Any) -> LogDensity:
    """The same, compiled once for each ambient precision, `dtype`."""
    posterior = case.posterior.on_device()

    @jax.jit
    def program(z: Array) -> Array:  # one result costs half of what two cost
        value, gradient = jax.value_and_grad(posterior.log_density)(z)
        return jnp.concatenate([value[None], gradient])

    def call(z: Vector) -> tuple[float, Vector]:
        found = np.asarray(program(z), dtype=np.float64)
        return float(found[0]), found[1:]

    return call


def seeds(keys: Key[jax.Array, " R"]) -> list[int]:
    """A seed of 64 bits for each key."""
    words = np.asarray(jax.random.key_data(keys), dtype=np.uint64)
    return [int(high) << 32 | int(low) for high, low in words]


def imported(library: str) -> Any:
    """Import a library that imports ArviZ; where another process stood in its way, once more.

    Once a day ArviZ 0.23 leaves a note in the user's cache, by a temporary file of one name for all
    processes. Of two that begin together, one may find that file gone (ArviZ's issue 2530).
    """
    try:
        return import_module(library)
    except FileNotFoundError:
        return import_module(library)
