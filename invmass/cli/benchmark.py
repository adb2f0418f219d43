"""`invmass benchmark`: the suite's timings."""

from typing import Any

import click

from invmass.cli.options import options
from invmass.cli.suite import plugin_arguments, run_suite
from invmass.options import CELLS, RESULTS


@click.command()
@options(*CELLS, "tier", "seed", "num-warmup", "device", "x64", results=RESULTS)
@options("chains", "turns", "json")
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def benchmark(pytest_args: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Time compilation, warm-up and sampling separately. Arguments after -- go to pytest.

    In the full tier, also measure how long it takes until the metric is usable, starting from the
    identity and from the inverse Fisher, and what you save by keeping the inverse Fisher fixed.
    """
    shown = ["--benchmark-only", "--benchmark-columns=median,min,max,rounds"]
    arguments = [*plugin_arguments(given), *shown, "--benchmark-sort=name", *pytest_args]
    run_suite(arguments, given["results"], as_json)
