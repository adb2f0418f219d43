"""Double precision for the truth, whatever precision the samplers run in."""

from typing import Any

import jax
import numpy as np


def float64() -> Any:
    """A context in which JAX computes in float64."""
    return jax.enable_x64(True)


def fresh(tree: Any) -> Any:
    """`tree` with its NumPy arrays copied, floats in the ambient precision.

    JAX remembers by identity how it converted a NumPy array inside a traced function, without
    regard to the precision of the moment. An array that is seen in both precisions would fail in
    one of them, or silently be rounded in the other; so JAX only ever sees copies.
    """

    def copy(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        is_float = np.issubdtype(leaf.dtype, np.floating)
        return np.array(leaf, dtype=jax.dtypes.canonicalize_dtype(float) if is_float else None)

    return jax.tree.map(copy, tree)
