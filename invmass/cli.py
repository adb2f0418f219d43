"""The command line. Exit status: 0 pass, 1 fail, 2 usage, 3 inconclusive."""

import contextlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from invmass import distribution, plugin
from invmass.backends.backend import Backend
from invmass.backends.registry import OWN, check_metrics, load_backend, metrics_of, select_backends
from invmass.cases.case import Case
from invmass.cases.catalogue import all_cases, select_cases
from invmass.geometry.errors import InvmassError, UsageError
from invmass.geometry.precision import float64
from invmass.reports.rows import RowsError, RowWriter, load_rows
from invmass.verdicts import judge
from invmass.verdicts.equivalence import Status, Verdict
from invmass.verdicts.experiment import Experiment, Settings
from invmass.verdicts.record import verdict_record
from invmass.verdicts.runtime import configure_jax

PASS, FAIL, USAGE, INCONCLUSIVE = 0, 1, 2, 3
RESULTS = Path("invmass-results")
STYLE = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "error": "bold magenta"}

Command = Callable[..., Any]


def _options(*names: str) -> Callable[[Command], Command]:
    """The options that commands share, by name."""
    known = {
        "backend": click.option(
            "--backend", "backends", multiple=True, metavar="NAME|MODULE:CLASS", help="Repeatable."
        ),
        "metric": click.option("--metric", "metrics", multiple=True, help="Repeatable."),
        "case": click.option(
            "--case", "cases", multiple=True, help="A case, a family or a pattern; repeatable."
        ),
        "seed": click.option("--seed", type=int, help="Of every random number."),
        "device": click.option("--device", type=click.Choice(["cpu", "gpu", "tpu"])),
        "x64": click.option("--x64", is_flag=True, help="Run the samplers in float64."),
        "tolerance": click.option("--tolerance", type=float, help="Margin; default 0.1."),
        "false-alarm": click.option(
            "--false-alarm", type=float, help="α of each verdict; default 1e-6."
        ),
        "replicates": click.option("--replicates", type=int, help="Cap; default 2048."),
        "num-warmup": click.option("--num-warmup", type=int, help="Warm-up steps; default 1000."),
        "results": click.option(
            "--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True
        ),
        "json": click.option("--json", "as_json", is_flag=True, help="For machines."),
    }

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            command = known[name](command)
        return command

    return decorate


SETTINGS = ("seed", "tolerance", "false-alarm", "replicates", "num-warmup")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="invmass")
def cli() -> None:
    """Is the inverse mass matrix that a sampler tuned the one that the posterior calls for?"""


@cli.command(context_settings={"ignore_unknown_options": False})
@_options("backend", "metric", "case", *SETTINGS, "device", "x64", "results", "json")
@click.option("--xfails-file", type=click.Path(path_type=Path), help="Known failures.")
@click.option("--jobs", type=int, default=1, help="Processes (needs pytest-xdist).")
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def validate(pytest_args: tuple[str, ...], jobs: int, as_json: bool, **options: Any) -> None:
    """Judge combinations of case, backend and metric; what follows -- goes to pytest."""
    arguments = [*_plugin_arguments(options), *pytest_args]
    if jobs > 1:
        if importlib.util.find_spec("xdist") is None:
            raise UsageError("--jobs needs pytest-xdist: python -m pip install 'invmass[parallel]'")
        arguments += ["-n", str(jobs), "--dist", "loadscope", "--no-loadscope-reorder"]
    _run_pytest(arguments, options["results"], as_json)


@cli.command()
@_options("backend", "metric", "case", "seed", "num-warmup", "device", "x64", "results", "json")
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def benchmark(pytest_args: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Time compilation, warm-up and sampling apart; what follows -- goes to pytest."""
    shown = ["--benchmark-only", "--benchmark-columns=median,min,max,rounds"]
    arguments = [*_plugin_arguments(options), *shown, "--benchmark-sort=name", *pytest_args]
    _run_pytest(arguments, options["results"], as_json)


@cli.command("list")
@_options("json")
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
@_options("backend", "metric", *SETTINGS, "device", "x64", "json")
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
@_options("backend", "json")
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


@cli.command()
@_options("results", "json")
@click.option("--output", type=click.Path(path_type=Path), default=Path("invmass-report"))
def report(results: Path, output: Path, as_json: bool) -> None:
    """Turn the rows of a results folder into a page, a summary, JUnit XML, CSV and parquet."""
    from invmass.reports.page import write_report  # its libraries are slow to import

    paths = write_report(load_rows(results), output)
    if as_json:
        click.echo(json.dumps([str(path) for path in paths], indent=2))
    else:
        for path in paths:
            click.echo(f"wrote {path}")


def main() -> None:
    """Run the command; errors of our own are one message and status 2."""
    sys.path.append(str(Path.cwd()))  # where users keep the backends that they bring
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except InvmassError as error:
        click.echo(f"invmass: {error}", err=True)
        sys.exit(USAGE)


class _Witness:
    """Keeps the tally of a pytest session that ends inside `pytest.main`."""

    tally: plugin.Tally | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.tally = session.config.stash[plugin.TALLY]


def _plugin_arguments(options: dict[str, Any]) -> list[str]:
    """Options of the command line as options of the pytest plugin."""
    arguments = []
    for name, value in options.items():
        flag = "--invmass-" + name.replace("_", "-")
        if name in ("backends", "metrics", "cases"):
            arguments += [f"{flag.removesuffix('s')}={each}" for each in value]
        elif isinstance(value, bool):
            arguments += [flag] * value
        elif value is not None:
            arguments.append(f"{flag}={value}")
    return arguments


def _run_pytest(arguments: list[str], results: Path, as_json: bool) -> None:
    """One pytest session over the suite's own checks, and its exit status as ours."""
    before = _row_ids(results) if as_json else set()
    witness = _Witness()
    # settings of the project that we are called from are not meant for our checks
    session = ["--pyargs", "invmass.cases", "-o", "addopts=", *arguments]
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        code = pytest.main(session, plugins=[witness, distribution])
    if as_json:
        rows = load_rows(results) if _row_ids(results) else None
        fresh = (
            []
            if rows is None
            else json.loads(rows[~rows["row_id"].isin(before)].to_json(orient="records"))
        )
        click.echo(json.dumps(fresh, indent=2))
    sys.exit(_exit_status(code, witness.tally))


def _exit_status(code: int, tally: plugin.Tally | None) -> int:
    if code == pytest.ExitCode.USAGE_ERROR:
        return USAGE
    if code == pytest.ExitCode.TESTS_FAILED and tally is not None:
        failed = tally.count("fail") + tally.count("error") + len(tally.nothing_executed)
        return INCONCLUSIVE if not failed and tally.count("inconclusive") else FAIL
    return PASS if code == pytest.ExitCode.OK else FAIL


def _row_ids(results: Path) -> set[str]:
    try:
        return set(load_rows(results)["row_id"])
    except RowsError:
        return set()


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
