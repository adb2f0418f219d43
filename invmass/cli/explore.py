"""`invmass explore`: a map over step size, number of steps and mass matrix."""

from pathlib import Path
from typing import Any

import click

from invmass.cli.options import options
from invmass.cli.terminal import table
from invmass.errors import UsageError
from invmass.model.catalogue import one_case
from invmass.options import RESULTS
from invmass.results.plain_json import plain_json
from invmass.results.rows import RowWriter
from invmass.runs.environment import configure_jax
from invmass.runs.experiment import Settings
from invmass.studies import exploration


@click.command()
@click.argument("case")
@options("seed", "device", "x64", results=RESULTS)
@options("json")
def explore(
    case: str, seed: int, device: str | None, x64: bool, results: Path, as_json: bool
) -> None:
    """Map acceptance and ESS per gradient on CASE over step size × number of steps × mass matrix.

    Run our own HMC with trajectories of a fixed number of steps. Step sizes are in units of the
    shortest scale, so that on a Gaussian the leapfrog integrator is unstable from 2 on. Append rows
    to --results; `invmass report` draws the map from them, and, if the case has two coordinates,
    some trajectories.
    """
    if missing := configure_jax(device, x64):
        raise UsageError(missing)
    problem = one_case(case)
    writer = RowWriter(results)
    rows: list[dict[str, Any]] = []
    try:
        for row in exploration.explore(problem, Settings(seed=seed)):
            if not as_json and (not rows or rows[-1]["metric"] != row["metric"]):
                click.echo(f"{row['metric']} ...", err=True)
            rows.append(row)
            writer.append(row)
    finally:
        writer.close()
    if as_json:
        click.echo(plain_json(rows, indent=2))
        return
    grid = [row for row in rows if row["kind"] == "setting"]
    for metric in exploration.METRICS:
        title = f"{metric}: min ESS per gradient, by steps and step size"
        table(title, [_line(grid, metric, steps) for steps in exploration.STEPS])


def _line(grid: list[dict[str, Any]], metric: str, steps: int) -> dict[str, Any]:
    """Min ESS per gradient at one number of steps, by step size."""
    return {"steps": steps} | {
        f"{row['relative_step_size']:g}": f"{row['ess_per_gradient']:.3f}"
        for row in grid
        if (row["metric"], row["steps"]) == (metric, steps)
    }
