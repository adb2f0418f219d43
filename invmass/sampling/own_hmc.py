"""The suite's own HMC, which lives in `backends/hmc/`, for what runs it without a backend."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple


class OwnHMC(NamedTuple):
    """The functions of `backends/hmc/metric.py` and `backends/hmc/sampler.py` by their names."""

    make_metric: Callable[..., Any]
    oracle_shrinkage: Callable[..., Any]
    draw: Callable[..., Any]
    draw_noise: Callable[..., Any]
    init: Callable[..., Any]
    sample: Callable[..., Any]
    transition: Callable[..., Any]
    warm_up: Callable[..., Any]


@cache
def own_hmc() -> OwnHMC:
    """The sampler's functions; documented where they are defined."""
    modules = [import_module(f"invmass.backends.hmc.{name}") for name in ("metric", "sampler")]
    found = {name: value for module in modules for name, value in vars(module).items()}
    return OwnHMC(**{name: found[name] for name in OwnHMC._fields})
