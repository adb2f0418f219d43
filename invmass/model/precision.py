"""Double precision for the truth, whatever precision the samplers run in."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def float64() -> Any:
    """A context in which JAX computes in float64."""
    return jax.enable_x64(True)


def float64_arrays(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Values by name, each as an array of NumPy in float64."""
    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}


def relative_rounding(values: np.ndarray) -> float:
    """By how much numbers may differ, relatively, from what they were before they were rounded.

    One unit in the last place of float64, or of float32 if all of them fit into it, or half a
    unit of the last decimal digit if they were written with fewer, as CmdStan's six.
    """
    values = np.asarray(values)
    eps = float(np.finfo(values.dtype).eps)
    with np.errstate(over="ignore"):
        if np.all(values == values.astype(np.float32)):
            eps = float(np.finfo(np.float32).eps)
    numbers = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    for digits in range(1, 16):
        if 0.5 * 10.0 ** (1 - digits) < eps:
            break
        if all(number == float(f"{number:.{digits - 1}e}") for number in numbers.flat):
            return 0.5 * 10.0 ** (1 - digits)
    return eps


def copy_for_tracing(tree: Any) -> Any:
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
