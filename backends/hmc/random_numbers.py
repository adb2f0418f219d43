"""Uniform and normal random numbers in single precision, from both words of each Threefry hash.

`jax.random` uses one of the two words of a hash, so that an array can be split over devices. Random
arrays are not split here, and hashing takes a large part of the time of a short trajectory.
"""

import math

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32
from jax.typing import DTypeLike

from invmass.model.distributions import Array

GRID = 2.0**-24  # spacing of single-precision numbers just below 1


def uniform(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Uniform numbers from [0, 1), on a grid of spacing 2⁻²⁴ in single precision."""
    if dtype != jnp.float32:
        return jax.random.uniform(key, shape, dtype)
    first, second = jax.random.key_data(key)[:2]
    words = threefry_2x32((first, second), jnp.arange(math.prod(shape), dtype=jnp.uint32))
    return GRID * (words >> 8).astype(jnp.int32).astype(dtype).reshape(shape)


def standard_normal(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Standard normal numbers: the quantile function at the midpoints of the uniform grid."""
    if dtype != jnp.float32:
        return jax.random.normal(key, shape, dtype)
    middle = 2.0 * uniform(key, shape, dtype) - (1.0 - GRID)
    return math.sqrt(2.0) * jax.lax.erf_inv(middle)
