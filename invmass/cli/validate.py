"""`invmass validate`: the suite's checks, in processes of their own."""

from typing import Any

import click

from invmass.cli.options import options
from invmass.cli.suite import plugin_arguments, run_suite
from invmass.options import CELLS, RESULTS, SETTINGS


@click.command()
@options(*CELLS, "tier", *SETTINGS, "device", "x64", results=RESULTS)
@options("json", "xfails-file", "time-limit", jobs=1)
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def validate(pytest_args: tuple[str, ...], jobs: int, as_json: bool, **given: Any) -> None:
    """Check combinations of case, backend and metric. Arguments after -- go to pytest."""
    arguments = [*plugin_arguments(given), *pytest_args]
    # even one job has a process of its own, which a library may kill
    arguments += ["-n", str(jobs), "--max-worker-restart", "1000"]
    arguments += ["--dist", "loadscope", "--no-loadscope-reorder"]
    run_suite(arguments, given["results"], as_json)
