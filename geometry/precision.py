"""Double precision for the truth, whatever precision the samplers run in."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def float64() -> Iterator[None]:
    """Compute in float64 inside the block.

    JAX remembers how it converted a NumPy array that a traced function closes over, without
    regard to the precision of the moment; the same function traced later in float32 then fails.
    So its caches are dropped on leaving, unless float64 is the ambient precision.
    """
    ambient = jax.config.jax_enable_x64
    try:
        with jax.enable_x64(True):
            yield
    finally:
        if not ambient:
            jax.clear_caches()
