"""Advice for backends that are written for a former version of the contract."""

import ast
import inspect
import re
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any

MOVED = {  # former path of a module, or of a name in a module: present paths
    "invmass.backends.backend": "invmass.sampling.backend",
    "invmass.backends.hmc.metric.FEWEST": "invmass.backends.hmc.metric.MIN_DRAWS_PER_DIM",
    "invmass.backends.hmc.schedule": "invmass.adaptation.windows",
    "invmass.backends.own_model_nuts": "invmass.user_model.warm_up",
    "invmass.backends.python_density": "invmass.sampling.host_density",
    "invmass.backends.recorded": "invmass.recorded",
    "invmass.backends.recorded.cmdstan": "invmass.recorded.cmdstan",
    "invmass.backends.recorded.inference_data": "invmass.recorded.inference_data",
    "invmass.backends.recorded.names": "invmass.recorded.names",
    "invmass.backends.recorded.npz": "invmass.recorded.npz",
    "invmass.backends.recorded.reading": "invmass.recorded.reading",
    "invmass.backends.recorded.recorded": "invmass.recorded.recorded",
    "invmass.backends.recorded.table": "invmass.recorded.table",
    "invmass.backends.registry": "invmass.sampling.registry",
    "invmass.backends.replicates": "invmass.sampling.batching",
    "invmass.cases.case": "invmass.model.case",
    "invmass.cases.catalogue.all_cases": "invmass.model.catalogue.all_cases",
    "invmass.cases.catalogue.one_case": "invmass.model.catalogue.one_case",
    "invmass.cases.catalogue.select_cases": "invmass.model.catalogue.select_cases",
    "invmass.cases.motion": "invmass.model.affine",
    "invmass.cases.noncentred": "invmass.user_model.non_centred",
    "invmass.cases.numpyro_information": "invmass.user_model.distribution_information",
    "invmass.cases.numpyro_sites": "invmass.user_model.numpyro_sites",
    "invmass.cases.own_model": (
        "invmass.user_model.numpyro_model, "
        "invmass.user_model.metric_structure, "
        "invmass.user_model.information"
    ),
    "invmass.cases.own_model.OwnModel": "invmass.user_model.numpyro_model.NumPyroModel",
    "invmass.cases.stan": "invmass.model.stan",
    "invmass.cases.stan.expressions": "invmass.model.stan.expressions",
    "invmass.cases.stan.names": "invmass.model.stan.names",
    "invmass.cases.stan.program": "invmass.model.stan.program",
    "invmass.geometry.derivatives": "invmass.model.derivatives",
    "invmass.geometry.errors": "invmass.errors",
    "invmass.geometry.estimators": "invmass.adaptation.estimators",
    "invmass.geometry.families": "invmass.model.distributions",
    "invmass.geometry.fisher": "invmass.model.fisher",
    "invmass.geometry.gaussian": "invmass.model.conditional_gaussian",
    "invmass.geometry.mode": "invmass.model.mode",
    "invmass.geometry.posterior": "invmass.model.posterior",
    "invmass.geometry.precision": "invmass.model.precision",
    "invmass.geometry.quadrature": "invmass.model.quadrature",
    "invmass.geometry.quality": "invmass.adaptation.condition_number",
    "invmass.geometry.transforms": "invmass.model.bijectors",
    "invmass.geometry.whitening": "invmass.whitening",
    "invmass.model.affine.Motion": "invmass.model.affine.AffineMap",
    "invmass.model.distributions.Family": "invmass.model.distributions.Distribution",
    "invmass.model.distributions.Given": "invmass.model.distributions.ConditionalPrior",
    "invmass.model.distributions.ObservedFamily": (
        "invmass.model.distributions.ObservedDistribution"
    ),
    "invmass.reports.cells": "invmass.results.cells",
    "invmass.reports.database": "invmass.results.database",
    "invmass.reports.plain_json": "invmass.results.plain_json",
    "invmass.reports.rows": "invmass.results.rows, invmass.results.schema",
    "invmass.reports.wording": "invmass.results.wording",
    "invmass.sampling.backend.Lack": "invmass.sampling.backend.Unsupported",
    "invmass.sampling.registry.brought": "invmass.sampling.registry.entry_point_backends",
    "invmass.sampling.registry.lacking": "invmass.sampling.registry.unsupported_metrics",
    "invmass.verdicts.calibration": "invmass.studies.calibration",
    "invmass.verdicts.claims": "invmass.claims.registry, invmass.claims.base",
    "invmass.verdicts.conduct": "invmass.claims",
    "invmass.verdicts.cores": "invmass.runs.cores",
    "invmass.verdicts.effective": "invmass.studies.effective_sample_size",
    "invmass.verdicts.equivalence": "invmass.claims.sequential, invmass.claims.intervals",
    "invmass.verdicts.experiment": "invmass.runs.experiment",
    "invmass.verdicts.explain": "invmass.claims.explain",
    "invmass.verdicts.exploration": "invmass.studies.exploration",
    "invmass.verdicts.forecast": "invmass.user_model.forecast",
    "invmass.verdicts.judge": "invmass.claims",
    "invmass.verdicts.own_model": (
        "invmass.user_model.entries, invmass.user_model.adaptation, invmass.user_model.reference"
    ),
    "invmass.verdicts.posterior_covariance": "invmass.user_model.posterior_covariance",
    "invmass.verdicts.reading": "invmass.claims.reading",
    "invmass.verdicts.record": "invmass.claims.record",
    "invmass.verdicts.recorded": "invmass.studies.recorded_matrices",
    "invmass.verdicts.runtime": "invmass.runs.environment",
    "invmass.verdicts.saving": "invmass.user_model.warm_start_saving",
    "invmass.verdicts.selection": "invmass.runs.plan, invmass.runs.cell",
    "invmass.verdicts.sweep": "invmass.studies.sweep",
    "invmass.verdicts.warm_start": "invmass.studies.warm_start",
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
_RENAMED_METHOD = {"why_lacking": "why_lacking(self, metric) is now unsupported_reason."}
_RENAMED_OF_ESTIMATOR = {
    "fewest": "min_draws_per_dim",
    "on_sites": "for_layout",
    "shaped": "restrict",
}


def contract_advice(backend: type) -> str:
    """The changes that a class needs to satisfy the present contract, one a line; "" if none."""
    changes = [_WARM_UP] if _takes_several_arguments(backend) else []
    changes += [change for name, change in _RENAMED.items() if _has_value(backend, name)]
    changes += [change for name, change in _RENAMED_METHOD.items() if hasattr(backend, name)]
    return _listed(changes)


def import_advice(error: Exception) -> str:
    """The present names of all that the failing module uses by former names.

    Args:
        error: raised by the import of a backend's module.

    Returns:
        One name a line, or where to read them if the source has none; "" if the import did not
        fail because of a former name.
    """
    of_estimator = rf"\bEstimator\b.*'({'|'.join(_RENAMED_OF_ESTIMATOR)})'"
    member = re.search(of_estimator, str(error))
    if isinstance(error, ImportError):
        if not any(f"{old}.".startswith(f"{error.name}.") for old in MOVED):
            return ""
    elif not (isinstance(error, (TypeError, AttributeError)) and member):
        return ""
    used = _names(error.__traceback__) | ({member[1]} if member else set())
    changes = [f"{old} is now {new}" for old in sorted(used) if (new := _present_path(old))]
    changes += [
        f"Estimator.{old} is now Estimator.{new}"
        for old, new in _RENAMED_OF_ESTIMATOR.items()
        if old in used
    ]
    return _listed(changes) or (_PAGE if isinstance(error, ModuleNotFoundError) else "")


def _present_path(name: str) -> str | None:
    """Where a module or a name in a module is now; None if it has not moved by itself."""
    module, _, last = name.rpartition(".")
    return MOVED.get(name) or MOVED.get(f"{MOVED.get(module, module)}.{last}")


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


def _names(traceback: TracebackType | None) -> set[str]:
    """What the source files of a traceback import, as dotted paths, and what else they name."""
    files = {Path(frame.f_code.co_filename) for frame, _ in walk_tb(traceback)}
    names: set[str] = set()
    for source in (path.read_bytes() for path in files if path.suffix == ".py" and path.is_file()):
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Import():
                    names |= {alias.name for alias in node.names}
                case ast.ImportFrom(module=str(module)):
                    names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
                case ast.Constant(value=str(text)):  # the argument of import_module
                    names.add(text)
                case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                    names.add(name)
    return names
