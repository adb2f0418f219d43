"""The command line. Exit status: 0 pass, 1 fail, 2 usage, 3 inconclusive."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.core import ParameterSource

from invmass.cli.compare import compare
from invmass.cli.options import FAIL, INCONCLUSIVE, PASS, SETTINGS, USAGE, options
from invmass.errors import InvmassError, RowsError
from invmass.pytest_plugin import plugin
from invmass.pytest_plugin import scheduling as distribution
from invmass.results.reports import report_module
from invmass.results.rows import load_rows


class _Group(click.Group):
    """Imports the commands that need JAX when one of them is called, or all are listed."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            self._add_direct_commands()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._add_direct_commands()
        return super().list_commands(ctx)

    def _add_direct_commands(self) -> None:
        from invmass.cli.direct import COMMANDS
        from invmass.cli.export import export_
        from invmass.cli.judge import judge
        from invmass.cli.new_backend import new_backend
        from invmass.cli.sweep import calibrate, sweep
        from invmass.cli.upstream import upstream

        for command in (*COMMANDS, judge, export_, new_backend, sweep, calibrate, upstream):
            self.add_command(command)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="invmass")
def cli() -> None:
    """Is the inverse mass matrix that a sampler tuned the one that the posterior calls for?"""


@cli.command(context_settings={"ignore_unknown_options": False})
@options("backend", "metric", "case", "tier", *SETTINGS, "device", "x64", "results", "json")
@click.option("--xfails-file", type=click.Path(path_type=Path), help="Known failures.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@options("time-limit")
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def validate(pytest_args: tuple[str, ...], jobs: int, as_json: bool, **given: Any) -> None:
    """Judge combinations of case, backend and metric; what follows -- goes to pytest."""
    arguments = [*_plugin_arguments(given), *pytest_args]
    # even one job has a process of its own, which a library may kill
    arguments += ["-n", str(jobs), "--max-worker-restart", "1000"]
    arguments += ["--dist", "loadscope", "--no-loadscope-reorder"]
    _run_pytest(arguments, given["results"], as_json)


@cli.command()
@options("backend", "metric", "case", "tier", "seed", "num-warmup", "device", "x64", "results")
@click.option(
    "--chains", multiple=True, type=click.IntRange(1), help="At once; default 64, or 8; repeatable."
)
@click.option(
    "--turns", type=click.IntRange(1), default=2, show_default=True, help="Of each timing."
)
@options("json")
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def benchmark(pytest_args: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Time compilation, warm-up and sampling apart; what follows -- goes to pytest.

    In the full tier also how long it takes until the metric is usable, from the identity and from
    the inverse Fisher, and what keeping the latter is worth.
    """
    shown = ["--benchmark-only", "--benchmark-columns=median,min,max,rounds"]
    arguments = [*_plugin_arguments(given), *shown, "--benchmark-sort=name", *pytest_args]
    _run_pytest(arguments, given["results"], as_json)


@cli.command()
@options("results", "json")
@click.option(
    "--history",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Results of other runs, at any depth; repeatable. Alone, it takes --results' place.",
)
@click.option("--output", type=click.Path(path_type=Path), default=Path("invmass-report"))
@click.pass_context
def report(
    context: click.Context, results: Path, history: tuple[Path, ...], output: Path, as_json: bool
) -> None:
    """Turn rows into a page, its figures, a summary, a badge, JUnit XML, CSV and parquet."""
    write_report = report_module("page").write_report
    given = context.get_parameter_source("results") is not ParameterSource.DEFAULT
    places = [*history, *([results] if given or not history else [])]
    paths = write_report(load_rows(*places), output)
    if as_json:
        click.echo(json.dumps([str(path) for path in paths], indent=2))
    else:
        for path in paths:
            click.echo(f"wrote {path}")


cli.add_command(compare)


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


def _plugin_arguments(given: dict[str, Any]) -> list[str]:
    """Options of the command line as options of the pytest plugin."""
    arguments = []
    for name, value in given.items():
        flag = "--invmass-" + name.replace("_", "-")
        if isinstance(value, tuple):
            singular = flag if name == "chains" else flag.removesuffix("s")
            arguments += [f"{singular}={each}" for each in value]
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
        failed += tally.stale
        return INCONCLUSIVE if not failed and tally.count("inconclusive") else FAIL
    return PASS if code == pytest.ExitCode.OK else FAIL


def _row_ids(results: Path) -> set[str]:
    try:
        return set(load_rows(results)["row_id"])
    except RowsError:
        return set()
