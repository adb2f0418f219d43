"""Backends by name, and those that others bring: by an entry point, or as `module:Class`."""

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
GROUP = "invmass.backends"  # of entry points, in packages of others


@cache
def brought() -> dict[str, str]:
    """Where the backends are that installed packages bring, by name; ours keep their names."""
    points = importlib.metadata.entry_points(group=GROUP)
    return {point.name: point.value for point in points if point.name not in OWN}


@cache
def load_backend(spec: str) -> Backend:
    """The backend called `spec`, or found at `module:Class`; its library is not imported yet.

    Raises:
        UsageError: there is no such backend, or it is written for a former contract.
    """
    known = OWN | brought()
    module_name, colon, class_name = known.get(spec, spec).partition(":")
    if not colon:
        raise UsageError(
            f"unknown backend {spec!r}; the backends are: {', '.join(known)}, "
            "or any other as module:Class"
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        advice = import_advice(error) if isinstance(error, ImportError) else ""
        raise UsageError(f"backend {spec!r} cannot be loaded: {error}{advice}") from error
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise UsageError(f"{spec} is not a subclass of invmass.sampling.backend.Backend")
    if advice := contract_advice(found):
        raise UsageError(f"backend {spec!r} is written for a former contract{advice}")
    missing = getattr(found, "__abstractmethods__", None)
    if missing:
        raise UsageError(f"backend {spec!r} does not implement: {', '.join(sorted(missing))}")
    if spec in known and found.name != spec:
        raise UsageError(f"{known[spec]} is called {found.name!r}; its entry point is {spec!r}")
    return found()


def spec_of(backend: Backend) -> str:
    """What loads a backend here and elsewhere: its name if it is ours, else `module:Class`."""
    kind = type(backend)
    return backend.name if backend.name in OWN else f"{kind.__module__}:{kind.__qualname__}"


def select_backends(specs: Sequence[str]) -> list[Backend]:
    """Backends in the order given, each once; all of our own if none is given."""
    return [load_backend(spec) for spec in dict.fromkeys(specs or OWN)]


def metrics_of(backend: Backend, chosen: Sequence[str]) -> list[str]:
    """The metrics among those chosen that a backend tunes; all of them if none is chosen."""
    return [metric for metric in backend.estimators if not chosen or metric in chosen]


def unsupported_metrics(backend: Backend, others: Sequence[Backend] = ()) -> list[str]:
    """The metrics that other backends tune and this one does not.

    The unregularised variant of a metric is no metric of its own here: only libraries that can
    switch regularisation off have one.

    Args:
        backend: the backend in question.
        others: those that it is compared with; all of our own if none is given.
    """
    known = dict.fromkeys(
        metric
        for other in others or select_backends([])
        for metric in other.estimators
        if metric not in other.unregularised.values()
    )
    return [metric for metric in known if metric not in backend.estimators]


def without_regularisation(backend: Backend, chosen: Sequence[str]) -> list[str]:
    """For each of the metrics chosen, or for all, the one that is tuned without regularisation.

    Raises:
        UsageError: the backend has none.
    """
    found = [
        backend.unregularised[m]
        for m in chosen or backend.unregularised
        if m in backend.unregularised
    ]
    if not found:
        has = [name for name in OWN if load_backend(name).unregularised]
        told = f"no metric {', '.join(chosen)}" if backend.unregularised else "no metric at all"
        raise UsageError(
            f"{backend.name} tunes {told} without regularisation; --no-regularise is for "
            f"{', '.join(has)}: {', '.join(load_backend(has[0]).unregularised)}"
        )
    return found


def check_metrics(backends: Sequence[Backend], chosen: Sequence[str]) -> None:
    """
    Raises:
        UsageError: a chosen metric that no chosen backend tunes.
    """
    known = dict.fromkeys(metric for backend in backends for metric in backend.estimators)
    for metric in chosen:
        if metric not in known:
            reasons = [
                f"; {backend.name}: {backend.unsupported_reason(metric)}"
                for backend in backends
                if metric in unsupported_metrics(backend)
            ]
            raise UsageError(
                f"unknown metric {metric!r}; these backends tune: "
                f"{', '.join(known)}{''.join(reasons)}"
            )
