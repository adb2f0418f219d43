"""What the commands share: their options by name, and their exit statuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

PASS, FAIL, USAGE, INCONCLUSIVE = 0, 1, 2, 3
RESULTS = Path("invmass-results")

Command = Callable[..., Any]


def options(*names: str) -> Callable[[Command], Command]:
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
        "tier": click.option(
            "--tier", type=click.Choice(["quick", "full"]), default="quick", show_default=True
        ),
        "results": click.option(
            "--results",
            type=click.Path(path_type=Path),
            default=RESULTS,
            show_default=True,
            help="A folder, or a database, *.sqlite.",
        ),
        "append": click.option(
            "--results", type=click.Path(path_type=Path), help="Append the rows: DIR or *.sqlite."
        ),
        "jobs": click.option("--jobs", type=click.IntRange(1), help="Processes of this machine."),
        "scheduler": click.option(
            "--scheduler", metavar="ADDRESS", help="Of a Dask cluster, whose workers do the work."
        ),
        "time-limit": click.option(
            "--time-limit",
            type=click.FloatRange(0, min_open=True),
            default=1200.0,
            show_default=True,
            help="Seconds for one combination in a process of its own.",
        ),
        "json": click.option("--json", "as_json", is_flag=True, help="For machines."),
    }

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            command = known[name](command)
        return command

    return decorate


SETTINGS = ("seed", "tolerance", "false-alarm", "replicates", "num-warmup")
