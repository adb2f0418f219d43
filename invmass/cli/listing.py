"""`invmass list`: the cases and the backends."""

from typing import Any

import click
import numpy as np

from invmass.cli.options import options
from invmass.cli.terminal import table
from invmass.model.case import Case
from invmass.model.catalogue import select_cases
from invmass.results.plain_json import plain_json
from invmass.sampling.backend import Backend
from invmass.sampling.registry import OWN, entry_point_backends, load_backend, unsupported_metrics


@click.command("list")
@options("case", "json", default_texts={"case": "all"})
def list_(cases: tuple[str, ...], as_json: bool) -> None:
    """List cases, and backends with their metrics and versions or the reason why they cannot run.

    With --json, also print a reference for each case, in Stan's unconstrained space z: how it is
    computed, the mean and variances of z, the relative accuracy to which the tests confirm them by
    a second computation, and how far the covariance of z is from the inverse Fisher (the gap). The
    references are computed anew, which takes a minute or two for all cases; choose with --case.
    """
    chosen = []
    for case in select_cases(cases):
        if as_json:
            click.echo(f"{case.name} ...", err=True)
        chosen.append(case_line(case) | (reference(case) if as_json else {}))
    backends = [backend_line(load_backend(name)) for name in (*OWN, *entry_point_backends())]
    if as_json:
        click.echo(plain_json({"cases": chosen, "backends": backends}, indent=2))
        return
    table("cases", chosen)
    for line in backends:
        line |= {name: "\n".join(line[name]) for name in ("metrics", "unsupported")}
    table("backends", backends)


def case_line(case: Case) -> dict[str, Any]:
    """A case in one line."""
    return {
        "case": case.name,
        "dimension": case.dimension,
        "tier": case.tier,
        "summary": case.summary,
    }


def backend_line(backend: Backend) -> dict[str, Any]:
    """A backend in one line, with the versions of its libraries or the reason why it is missing."""
    missing = backend.why_unavailable()
    versions = ", ".join(f"{name} {version}" for name, version in backend.versions().items())
    return {
        "backend": backend.name,
        "metrics": list(backend.estimators),
        "available": missing is None,
        "versions": missing or versions,
        "unsupported": list(map(backend.unsupported_reason, unsupported_metrics(backend))),
    }


def reference(case: Case) -> dict[str, Any]:
    """The moments of a case where z is Stan's, how they were computed, and how precisely.

    What is infinite is null.
    """
    gap, moments = case.truth_in_own_space.gap, case.truth_in_own_space.moments
    return {
        "sites": {name: list(site.value_shape) for name, site in case.sites.items()},
        "source": case.source or None,
        "reference": case.reference.how,
        "gap": gap if np.isfinite(gap) else None,
        "mean_z": _finite(moments.mean),
        "variance_z": _finite(np.diag(moments.covariance)),
        "tested_to": 0.002,
    }


def _finite(values: np.ndarray) -> list[float | None]:
    """A vector for JSON, which has no word for infinity."""
    return [float(value) if np.isfinite(value) else None for value in values]
