"""`invmass fisher`: the inverse Fisher information of a case."""

from collections.abc import Callable
from typing import Any

import click
import numpy as np

from invmass.cli.availability import is_available
from invmass.cli.options import options
from invmass.cli.terminal import matrix
from invmass.errors import SingularFisherError
from invmass.model.case import Case
from invmass.model.catalogue import select_cases
from invmass.model.precision import float64
from invmass.results.plain_json import plain_json
from invmass.sampling.backend import Backend
from invmass.sampling.registry import select_backends

TITLES = {
    "z": "z",
    "inverse_fisher_x": "inverse Fisher in x",
    "inverse_fisher_z": "inverse Fisher in z",
    "covariance_z": "covariance in z",
}


@click.command()
@click.argument("case")
@options("backend", "json")
def fisher(case: str, backends: tuple[str, ...], as_json: bool) -> None:
    """Print the inverse Fisher information of CASE in x and in each backend's space z.

    x are the parameters themselves, z the unconstrained coordinates that a backend samples.
    """
    answers = [
        _answer(problem, backend)
        for problem in select_cases([case])
        for backend in select_backends(backends)
        if is_available(backend, asked_for=bool(backends), quiet=as_json)
    ]
    if as_json:
        click.echo(plain_json(answers, indent=2))
        return
    for answer in answers:
        click.echo(f"\n{answer['case']} as {answer['backend']} sees it: {answer['summary']}")
        for key, title in TITLES.items():
            if isinstance(answer[key], str):
                click.echo(f"{title}: none, {answer[key]}")
            else:
                matrix(title, answer["coordinates"], answer[key])


def _answer(case: Case, backend: Backend) -> dict[str, Any]:
    with float64():
        truth = case.truth_in(backend.transforms(case))
    return {
        "case": case.name,
        "summary": case.summary,
        "backend": backend.name,
        "coordinates": list(case.posterior.coordinates),
        "z": truth.position.tolist(),
        "inverse_fisher_x": _matrix_or_reason(lambda: truth.constrained_inverse_fisher),
        "inverse_fisher_z": _matrix_or_reason(lambda: truth.inverse_fisher),
        "covariance_z": truth.moments.covariance.tolist(),
    }


def _matrix_or_reason(compute: Callable[[], np.ndarray]) -> list[list[float]] | str:
    """A matrix, or the reason why there is none: a prior's density may have no curvature in x."""
    try:
        return compute().tolist()
    except SingularFisherError as error:
        return str(error)
