"""Double precision for exact answers, independent of the precision of the samplers."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def float64() -> Any:
    """A context manager within which JAX computes in float64."""
    return jax.enable_x64(True)


def float64_arrays(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The values as NumPy arrays in float64."""
    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}


def relative_rounding(values: np.ndarray) -> float:
    """Largest relative rounding error of numbers whose precision is inferred from their values.

    Args:
        values: floating-point numbers, any shape.

    Returns:
        Half a unit of the last decimal digit if all numbers have few digits, such as CmdStan's
        six; else the machine epsilon of float32 if all are exact in float32, else that of float64.
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
    """Copy the NumPy arrays of a pytree, with floats in JAX's present precision.

    JAX caches by object identity how it converts a NumPy array inside a traced function, and
    ignores that the precision may have changed since. An array that is used in both precisions
    would raise an error in one of them, or be rounded without notice. JAX is therefore given
    copies only.
    """

    def copy(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        is_float = np.issubdtype(leaf.dtype, np.floating)
        return np.array(leaf, dtype=jax.dtypes.canonicalize_dtype(float) if is_float else None)

    return jax.tree.map(copy, tree)
