"""Uniform and normal numbers in single precision, from both words of each hash.

`jax.random` takes one word of a Threefry hash and leaves the other, so that an array may be split
over devices. Here no random array is, and hashing is what a short path waits for.
"""

import math

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32
from jax.typing import DTypeLike

from invmass.model.distributions import Array

GRID = 2.0**-24  # what single precision tells apart below 1


def uniform(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """From [0, 1)."""
    if dtype != jnp.float32:
        return jax.random.uniform(key, shape, dtype)
    first, second = jax.random.key_data(key)[:2]
    words = threefry_2x32((first, second), jnp.arange(math.prod(shape), dtype=jnp.uint32))
    return GRID * (words >> 8).astype(jnp.int32).astype(dtype).reshape(shape)


def standard_normal(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """By the inverse of the distribution function, at the middle of each step of the grid."""
    if dtype != jnp.float32:
        return jax.random.normal(key, shape, dtype)
    middle = 2.0 * uniform(key, shape, dtype) - (1.0 - GRID)
    return math.sqrt(2.0) * jax.lax.erf_inv(middle)
