"""Advice for backends that are written for a former version of the contract."""

import ast
import inspect
from pathlib import Path
from types import TracebackType
from typing import Any

MOVED = {  # former path of a module, or of a name in a module: present path
    "invmass.backends.backend": "invmass.sampling.backend",
    "invmass.backends.hmc.schedule": "invmass.adaptation.windows",
    "invmass.backends.python_density": "invmass.sampling.host_density",
    "invmass.backends.registry": "invmass.sampling.registry",
    "invmass.backends.replicates": "invmass.sampling.batching",
    "invmass.cases.case": "invmass.model.case",
    "invmass.cases.catalogue.all_cases": "invmass.model.catalogue.all_cases",
    "invmass.geometry.errors": "invmass.errors",
    "invmass.geometry.estimators": "invmass.adaptation.estimators",
    "invmass.geometry.families": "invmass.model.distributions",
    "invmass.geometry.fisher": "invmass.model.fisher",
    "invmass.geometry.posterior": "invmass.model.posterior",
    "invmass.geometry.precision": "invmass.model.precision",
    "invmass.geometry.transforms": "invmass.model.bijectors",
    "invmass.sampling.backend.Lack": "invmass.sampling.backend.Unsupported",
    "invmass.verdicts.claims": "invmass.claims.registry",
    "invmass.verdicts.experiment": "invmass.runs.experiment",
    "invmass.verdicts.runtime": "invmass.runs.environment",
}

_PAGE = "\nThe contract is described in docs/adding_backends.md."
_WARM_UP = (
    "warm_up(self, case, metric, keys, starts, num_warmup, supplied, kept) is now "
    "warm_up(self, request): read request.case, request.metric, request.keys, request.starts, "
    "request.num_warmup, request.inverse_mass_matrix (was supplied) and request.adapt_metric "
    "(false where kept was true). Declare supports_fixed_metric = True if a supplied metric can "
    "be kept, and supports_initial_metric = True if adaptation can start from one."
)
_RENAMED = {
    "lacks": (
        "lacks is now unsupported: metric -> (Unsupported member, reason), for special reasons "
        'alone. A metric that is merely not tuned needs no entry; the entry "supplied" is now '
        "supports_fixed_metric = False, the default."
    ),
    "metropolis": "metropolis is now has_accept_reject.",
}


def contract_advice(backend: type) -> str:
    """The changes that a class needs to satisfy the present contract, one a line; "" if none."""
    changes = [_WARM_UP] if _takes_several_arguments(backend) else []
    changes += [change for name, change in _RENAMED.items() if _has_value(backend, name)]
    return _listed(changes)


def import_advice(error: ImportError) -> str:
    """The present paths of all that the failing module imports from former paths.

    Args:
        error: raised by the import of a backend's module.

    Returns:
        One path a line; "" if the import did not fail because of a former path.
    """
    name = error.name or ""
    if not any(f"{old}.".startswith(f"{name}.") for old in MOVED):
        return ""
    moved = [old for old in MOVED if old in _imports(error.__traceback__)]
    if isinstance(error, ModuleNotFoundError) and not moved:  # imported by a call, not a statement
        moved = [old for old in MOVED if f"{old}.".startswith(f"{name}.")]
    return _listed([f"{old} is now {MOVED[old]}" for old in moved])


def _listed(changes: list[str]) -> str:
    return "".join(f"\n- {change}" for change in changes) + _PAGE if changes else ""


def _takes_several_arguments(backend: type) -> bool:
    """Whether `warm_up` takes more positional arguments than `self` and `request`."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(backend.warm_up).parameters.values()  # type: ignore[attr-defined]
    return len([p for p in parameters if p.kind in positional]) > len(("self", "request"))


def _has_value(backend: type, name: str) -> bool:
    """Whether a class has an attribute of this name that is not a method."""
    missing: Any = object()
    value = inspect.getattr_static(backend, name, missing)
    return value is not missing and not callable(value)


def _imports(traceback: TracebackType | None) -> set[str]:
    """All modules and names that the source file imports in which an import failed."""
    files = []
    while traceback is not None:
        files.append(Path(traceback.tb_frame.f_code.co_filename))
        traceback = traceback.tb_next
    sources = [path for path in files if path.is_file()]
    if not sources:
        return set()
    names: set[str] = set()
    for node in ast.walk(ast.parse(sources[-1].read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names
