"""Commands that answer here and now, without pytest: `list`, `check` and `fisher`."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from invmass.backends.backend import Backend
from invmass.backends.registry import OWN, check_metrics, load_backend, metrics_of, select_backends
from invmass.cases.case import Case
from invmass.cases.catalogue import all_cases, select_cases
from invmass.cli import FAIL, INCONCLUSIVE, PASS, SETTINGS, cli, options
from invmass.geometry.errors import InvmassError, UsageError
from invmass.geometry.precision import float64
from invmass.reports.rows import RowWriter
from invmass.verdicts import judge
from invmass.verdicts.equivalence import Status, Verdict
from invmass.verdicts.experiment import Experiment, Settings
from invmass.verdicts.record import verdict_record
from invmass.verdicts.runtime import configure_jax

STYLE = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "error": "bold magenta"}


@cli.command("list")
@options("json")
def list_(as_json: bool) -> None:
    """Cases, and backends with their metrics and versions, or why they are missing."""
    cases = [
        {"case": case.name, "dimension": case.dimension, "summary": case.summary}
        for case in all_cases().values()
    ]
    backends: list[dict[str, Any]] = []
    for backend in map(load_backend, OWN):
        missing = backend.why_unavailable()
        versions = ", ".join(f"{name} {version}" for name, version in backend.versions().items())
        backends.append(
            {
                "backend": backend.name,
                "metrics": list(backend.estimators),
                "available": missing is None,
                "versions": missing or versions,
                "lacks": [backend.why_lacking(metric) for metric in backend.lacks],
            }
        )
    if as_json:
        click.echo(json.dumps({"cases": cases, "backends": backends}, indent=2))
        return
    _table("cases", cases)
    for row in backends:
        row |= {name: "\n".join(row[name]) for name in ("metrics", "lacks")}
    _table("backends", backends)


@cli.command()
@click.argument("case")
@options("backend", "metric", *SETTINGS, "device", "x64", "json")
@click.option("--results", type=click.Path(path_type=Path), help="Append the rows to a folder.")
def check(
    case: str,
    backends: tuple[str, ...],
    metrics: tuple[str, ...],
    device: str | None,
    x64: bool,
    results: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Judge all claims about CASE here and now, and show every entry and the split."""
    if problem := configure_jax(device, x64):
        raise UsageError(problem)
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    chosen = select_backends(backends)
    check_metrics(chosen, metrics)
    writer = RowWriter(results) if results else None
    experiments = [
        Experiment(problem_case, backend, metric, settings)
        for problem_case in select_cases([case])
        for backend in chosen
        if _available(backend, asked_for=bool(backends), quiet=as_json)
        for metric in metrics_of(backend, metrics)
    ]
    records, statuses = [], set()
    for experiment in experiments:
        try:
            answers = list(judge.all_claims(experiment))
        except InvmassError as error:
            statuses.add("error")
            records.append(
                {"status": "error", "combination": experiment.name, "message": str(error)}
            )
            click.echo(f"{experiment.name}: {error}", err=True)
            continue
        for claim, verdict in answers:
            statuses.add(str(verdict.status))
            records.append(verdict_record(experiment, claim, verdict))
            if writer:
                writer.append(records[-1])
        if not as_json:
            _show(experiment, answers)
    if as_json:
        click.echo(json.dumps(records, indent=2))
    if not statuses or statuses & {"fail", "error"}:
        sys.exit(FAIL)
    sys.exit(INCONCLUSIVE if Status.INCONCLUSIVE in statuses else PASS)


@cli.command()
@click.argument("case")
@options("backend", "json")
def fisher(case: str, backends: tuple[str, ...], as_json: bool) -> None:
    """Inverse Fisher information of CASE in x, and in z as each backend unconstrains it."""
    answers = []
    for problem in select_cases([case]):
        for backend in select_backends(backends):
            if _available(backend, asked_for=bool(backends), quiet=as_json):
                answers.append(_fisher(problem, backend))
    if as_json:
        click.echo(json.dumps(answers, indent=2))
        return
    for answer in answers:
        click.echo(f"\n{answer['case']} as {answer['backend']} sees it: {answer['summary']}")
        for key in ("z", "inverse_fisher_x", "inverse_fisher_z", "covariance_z"):
            _matrix(key.replace("_", " "), answer["coordinates"], answer[key])


def _available(backend: Backend, asked_for: bool, quiet: bool) -> bool:
    """Whether a backend can run; an error if it was asked for by name and cannot."""
    if asked_for:
        backend.check_available()
    reason = backend.why_unavailable()
    if reason and not quiet:
        click.echo(f"{backend.name}: skipped, {reason}")
    return reason is None


def _fisher(case: Case, backend: Backend) -> dict[str, Any]:
    with float64():
        truth = case.truth_in(backend.transforms(case))
    return {
        "case": case.name,
        "summary": case.summary,
        "backend": backend.name,
        "coordinates": list(case.posterior.coordinates),
        "z": truth.position.tolist(),
        "inverse_fisher_x": truth.constrained_inverse_fisher.tolist(),
        "inverse_fisher_z": truth.inverse_fisher.tolist(),
        "covariance_z": truth.moments.covariance.tolist(),
    }


def _show(experiment: Experiment, answers: Iterable[tuple[str, Verdict]]) -> None:
    rows, matched = [], None
    for claim, verdict in answers:
        worst = verdict.worst
        rows.append(
            {
                "claim": claim,
                "verdict": verdict.status,
                "furthest entry": worst.entry,
                "found": f"{worst.found:.4g}",
                "interval": f"[{worst.low:.4g}, {worst.high:.4g}]",
                "expected": f"{worst.expected:.4g} ± {worst.margin:.3g}",
                "replicates": verdict.replicates,
            }
        )
        if claim in (judge.MATCHES, judge.DISAGREES):
            matched = verdict
    _table(experiment.name, rows)
    if matched is not None:
        parts = judge.split(experiment, matched)
        _table(
            "M⁻¹ over the inverse Fisher, as a product of parts",
            [
                {
                    "entry": part.entry,
                    "geometry": f"{part.geometry:.4f}",
                    "regularisation": f"{part.regularisation:.4f}",
                    "remainder": f"{part.remainder:.4f}",
                }
                for part in parts
            ],
        )


def _matrix(title: str, names: list[str], values: list[Any]) -> None:
    array = np.atleast_2d(np.asarray(values))
    rows = [
        {"": names[i] if len(array) > 1 else ""}
        | {name: f"{value:.6g}" for name, value in zip(names, row, strict=True)}
        for i, row in enumerate(array)
    ]
    _table(title, rows)


def _table(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        cells = [str(cell) for cell in row.values()]
        table.add_row(*cells, style=STYLE.get(str(row.get("verdict"))))
    Console().print(table)
