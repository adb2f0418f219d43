"""Functions of the suite's own HMC (`backends/hmc/`), for studies that use no backend.

The modules are imported by name, because the engine must not import a content folder.
"""

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
    """The sampler's functions, which are documented in the modules that define them."""
    modules = [import_module(f"invmass.backends.hmc.{name}") for name in ("metric", "sampler")]
    functions = {name: value for module in modules for name, value in vars(module).items()}
    return OwnHMC(**{name: functions[name] for name in OwnHMC._fields})
