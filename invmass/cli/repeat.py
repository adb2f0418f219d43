"""`invmass repeat`: one verdict once more, from the fields of its row."""

import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from invmass.cli.check import check, judged
from invmass.cli.options import options
from invmass.errors import UsageError
from invmass.model.catalogue import one_case
from invmass.options import RESULTS
from invmass.results.rows import read_rows
from invmass.results.status import exit_status
from invmass.runs.cell import Cell
from invmass.runs.cores import available_cores, pin_to_cores
from invmass.runs.environment import configure_jax
from invmass.runs.experiment import Experiment, Settings
from invmass.runs.plan import settings_from
from invmass.sampling.registry import load_backend

Row = Mapping[str, Any]
DECIDED_BY_SEED = ("status", "found", "low", "high", "intervals", "replicates", "looks")
SURROUNDINGS = (
    "versions",
    "python",
    "machine",
    "cores",
    "device",
    "devices",
    "commit",
    "case_version",
)


class Recipe(NamedTuple):
    """All that a verdict depends on, but for the software and the machine."""

    cell: Cell
    settings: Settings
    claim: str | None
    device: str | None
    x64: bool


@click.command()
@click.argument("row_id")
@options(results=RESULTS)
def repeat(row_id: str, results: Path) -> None:
    """Repeat the verdict of row ROW_ID and say whether the numbers are the same.

    Use as many cores as the original run. With the same seed, machine and versions the numbers are
    the same bit for bit. If they differ, print what else has changed: versions, machine, device,
    commit or case. Exit with the status of the new verdict.
    """
    row = next((row for row in read_rows(results) if row.get("row_id") == row_id), None)
    if row is None:
        raise UsageError(f"no row {row_id!r} in {results}; its rows show each row_id")
    recipe = recipe_of(row)
    pin_to_cores(row.get("cores") or available_cores())
    if problem := configure_jax(recipe.device, recipe.x64):
        raise UsageError(problem)
    case, backend = one_case(recipe.cell.case), load_backend(recipe.cell.spec)
    backend.check_available()
    experiment = Experiment(case, backend, recipe.cell.metric, recipe.settings)
    claims = [recipe.claim] if recipe.claim else []
    records = list(judged(experiment, claims, quiet=False))
    if recipe.claim is None:  # its process was lost, so that there is no verdict to compare with
        click.echo(f"row {row_id} is of a lost process: {row['message']}")
    else:
        _show_differences(row_id, row, records[0])
    sys.exit(exit_status(record["status"] for record in records))


def recipe_of(row: Row) -> Recipe:
    """What a verdict depends on, from the fields of its row.

    Raises:
        UsageError: the row is no verdict, or is of matrices in files.
    """
    row_id = row["row_id"]
    if row["kind"] != "verdict":
        raise UsageError(f"row {row_id} is no verdict, but of kind {row['kind']!r}")
    if "spec" not in row or "cap" not in row:
        return _recipe_of_old_row(row)
    if row["spec"] is None:
        raise UsageError(f"row {row_id} is of matrices in files, judged by: {row['command']}")
    settings = Settings(
        seed=row["seed"],
        tolerance=row["tolerance"],
        false_alarm=row["false_alarm"],
        replicates=row["cap"],
        num_warmup=row["num_warmup"],
    )
    cell = Cell(row["case"], row["spec"], row["backend"], row["metric"])
    return Recipe(cell, settings, row["claim"], row["platform"], row["dtype"] == "float64")


def _recipe_of_old_row(row: Row) -> Recipe:
    """The same for a row from before rows said what loads their backend: from its command.

    Raises:
        UsageError: the command is not `invmass check`.
    """
    row_id, words = row["row_id"], shlex.split(row.get("command") or "")
    if words[:2] == ["invmass", "judge"]:
        raise UsageError(f"row {row_id} is of matrices in files, judged by: {row['command']}")
    if words[:2] != ["invmass", "check"]:
        raise UsageError(f"row {row_id} has no command from which it could be repeated")
    given = check.make_context("check", words[2:]).params
    (spec,) = given["backends"] or (row["backend"],)
    return Recipe(
        Cell(row["case"], spec, row["backend"], row["metric"]),
        settings_from(lambda name: given.get(name.replace("-", "_"))),
        row["claim"],
        given["device"],
        given["x64"],
    )


def _show_differences(row_id: str, old: Row, new: Row) -> None:
    """Say whether the numbers are the same, and if not, what else has changed."""

    def differing(names: Iterable[str]) -> list[str]:
        return [name for name in names if json.dumps(old.get(name)) != json.dumps(new.get(name))]

    if different := differing(DECIDED_BY_SEED):
        click.echo(f"not as in row {row_id}: {', '.join(different)} differ")
        for name in differing(SURROUNDINGS):
            click.echo(f"  {name} was {old.get(name)}, is {new.get(name)}")
    else:
        click.echo(f"the same as in row {row_id}, bit for bit")
