"""Compiled batches of replicates: vectorised on each device, and split evenly among devices."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

AXIS = "replicates"
Axes = Sequence[int | None]


def replicated(one: Callable[..., Any], in_axes: Axes) -> Callable[..., Any]:
    """Vectorise a function of one replicate over a batch, and compile it.

    Args:
        one: a function of one replicate.
        in_axes: for each argument 0 if it has a first axis of replicates, None if it is shared by
            all replicates, as for `jax.vmap`.

    Returns:
        A function of the batch; each result has a first axis of replicates.
    """
    return compiled(jax.vmap(one, tuple(in_axes)), in_axes)


def compiled(batch: Callable[..., Any], in_axes: Axes) -> Callable[..., Any]:
    """Compile a function of a batch, with an equal part of the batch on each device.

    Devices run independently of each other. If their number does not divide the size of the
    batch, the first device runs the whole batch.

    Args:
        batch: a function whose results all have a first axis of replicates.
        in_axes: for each argument 0 if it has a first axis of replicates, None if it is shared.
    """

    @cache
    def program(devices: tuple[Any, ...]) -> Any:
        if len(devices) == 1:
            return jax.jit(batch)
        split = PartitionSpec(AXIS)
        specs = tuple(PartitionSpec() if axis is None else split for axis in in_axes)
        mesh = Mesh(np.array(devices), (AXIS,))
        return jax.jit(
            jax.shard_map(batch, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
        )

    def call(*arguments: Any) -> Any:
        chosen, size = devices(), len(arguments[list(in_axes).index(0)])
        return program(chosen if size % len(chosen) == 0 else chosen[:1])(*arguments)

    return call


def devices() -> tuple[Any, ...]:
    """All local devices of the default platform; XLA_FLAGS can simulate several CPUs."""
    return tuple(jax.local_devices(backend=default_device().platform))


def default_device() -> Any:
    """The device on which JAX runs computations by default."""
    return jax.config.jax_default_device or jax.local_devices()[0]
