"""Replicates side by side: on one device as one batch, on several with a part of it on each."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

AXIS = "replicates"
Axes = Sequence[int | None]


def replicated(one: Callable[..., Any], in_axes: Axes) -> Callable[..., Any]:
    """Compile a function of one replicate for many; `in_axes` are those of `jax.vmap`."""
    return compiled(jax.vmap(one, tuple(in_axes)), in_axes)


def compiled(batch: Callable[..., Any], in_axes: Axes) -> Callable[..., Any]:
    """The same for a function of a batch: its results have the replicates as first axis.

    Each device runs its part by itself and waits for no other. Where they do not divide the batch
    evenly, the first does it all.
    """

    @cache
    def program(devices: tuple[Any, ...]) -> Any:
        if len(devices) == 1:
            return jax.jit(batch)
        apart = PartitionSpec(AXIS)
        specs = tuple(PartitionSpec() if axis is None else apart for axis in in_axes)
        mesh = Mesh(np.array(devices), (AXIS,))
        return jax.jit(
            jax.shard_map(batch, mesh=mesh, in_specs=specs, out_specs=apart, check_vma=False)
        )

    def call(*arguments: Any) -> Any:
        chosen, size = devices(), len(arguments[list(in_axes).index(0)])
        return program(chosen if size % len(chosen) == 0 else chosen[:1])(*arguments)

    return call


def devices() -> tuple[Any, ...]:
    """All of the default kind; several CPUs can be simulated by XLA_FLAGS."""
    return tuple(jax.local_devices(backend=default_device().platform))


def default_device() -> Any:
    """Where JAX runs what nobody places."""
    return jax.config.jax_default_device or jax.local_devices()[0]
