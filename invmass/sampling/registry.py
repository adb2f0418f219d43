"""Backends by name: our own, those of installed packages (entry points), or `module:Class`."""

import importlib
import importlib.metadata
from collections.abc import Sequence
from functools import cache

from invmass.errors import UsageError
from invmass.sampling.backend import Backend
from invmass.sampling.former_contract import contract_advice, import_advice

OWN = {
    "hmc": "invmass.backends.hmc_static:HandRolledHMC",
    "hmc-pooled": "invmass.backends.hmc_pooled:PooledHMC",
    "numpyro": "invmass.backends.numpyro_nuts:NumPyroNUTS",
    "blackjax": "invmass.backends.blackjax_nuts:BlackJAXNUTS",
    "tfp": "invmass.backends.tfp_nuts:TFPNUTS",
    "nutpie": "invmass.backends.nutpie_nuts:NutpieNUTS",
    "pymc": "invmass.backends.pymc_nuts:PyMCNUTS",
}
GROUP = "invmass.backends"  # entry point group in which other packages register backends


@cache
def entry_point_backends() -> dict[str, str]:
    """Backends that installed packages register, as name: `module:Class`; our own names win."""
    points = importlib.metadata.entry_points(group=GROUP)
    return {point.name: point.value for point in points if point.name not in OWN}


@cache
def load_backend(spec: str) -> Backend:
    """Load a backend; its sampler library is not imported yet.

    Args:
        spec: a backend's name, or `module:Class`.

    Raises:
        UsageError: there is no such backend, its module cannot be imported, or the class is not
            a complete backend or is written for a former contract.
    """
    named = OWN | entry_point_backends()
    module_name, colon, class_name = named.get(spec, spec).partition(":")
    if not colon:
        raise UsageError(
            f"unknown backend {spec!r}; the backends are: {', '.join(named)}, "
            "or any other as module:Class"
        )
    try:
        backend = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # the module is not ours: it may raise anything
        tells_itself = isinstance(error, (ImportError, AttributeError))
        told = f"{error}" if tells_itself else f"{type(error).__name__}: {error}"
        raise UsageError(
            f"backend {spec!r} cannot be loaded: {told}{import_advice(error)}"
        ) from error
    if not (isinstance(backend, type) and issubclass(backend, Backend)):
        raise UsageError(f"{spec} is not a subclass of invmass.sampling.backend.Backend")
    if advice := contract_advice(backend):
        raise UsageError(f"backend {spec!r} is written for a former contract{advice}")
    missing = getattr(backend, "__abstractmethods__", None)
    if missing:
        raise UsageError(f"backend {spec!r} does not implement: {', '.join(sorted(missing))}")
    if spec in named and backend.name != spec:
        raise UsageError(f"{named[spec]} is called {backend.name!r}; its entry point is {spec!r}")
    return backend()


def spec_of(backend: Backend) -> str:
    """The argument of `load_backend` that gives this backend: our name, else `module:Class`."""
    kind = type(backend)
    return backend.name if backend.name in OWN else f"{kind.__module__}:{kind.__qualname__}"


def select_backends(specs: Sequence[str]) -> list[Backend]:
    """Backends in the order given, without repetitions; all of our own if the list is empty."""
    return [load_backend(spec) for spec in dict.fromkeys(specs or OWN)]


def metrics_of(backend: Backend, chosen: Sequence[str]) -> list[str]:
    """The chosen metrics that a backend tunes; all that the backend tunes if none is chosen."""
    return [metric for metric in backend.estimators if not chosen or metric in chosen]


def unsupported_metrics(backend: Backend, others: Sequence[Backend] = ()) -> list[str]:
    """The metrics that other backends tune and this one does not.

    Unregularised variants of a metric do not count: only libraries that can switch
    regularisation off have them.

    Args:
        backend: the backend whose missing metrics are listed.
        others: the backends that it is compared with; all of our own if empty.
    """
    tuned_by_others = dict.fromkeys(
        metric
        for other in others or select_backends([])
        for metric in other.estimators
        if metric not in other.unregularised.values()
    )
    return [metric for metric in tuned_by_others if metric not in backend.estimators]


def without_regularisation(backend: Backend, chosen: Sequence[str]) -> list[str]:
    """The unregularised variants of the chosen metrics, or of all metrics if none is chosen.

    Raises:
        UsageError: the backend has no such variant.
    """
    variants = [
        backend.unregularised[m]
        for m in chosen or backend.unregularised
        if m in backend.unregularised
    ]
    if not variants:
        has = [name for name in OWN if load_backend(name).unregularised]
        metrics = f"no metric {', '.join(chosen)}" if backend.unregularised else "no metric at all"
        raise UsageError(
            f"{backend.name} tunes {metrics} without regularisation; --no-regularise is for "
            f"{', '.join(has)}: {', '.join(load_backend(has[0]).unregularised)}"
        )
    return variants


def check_metrics(backends: Sequence[Backend], chosen: Sequence[str]) -> None:
    """Check that each chosen metric is tuned by at least one of the backends.

    Raises:
        UsageError: none of the backends tunes a chosen metric.
    """
    tuned = dict.fromkeys(metric for backend in backends for metric in backend.estimators)
    for metric in chosen:
        if metric not in tuned:
            reasons = [
                f"; {backend.name}: {backend.unsupported_reason(metric)}"
                for backend in backends
                if metric in unsupported_metrics(backend)
            ]
            raise UsageError(
                f"unknown metric {metric!r}; these backends tune: "
                f"{', '.join(tuned)}{''.join(reasons)}"
            )
