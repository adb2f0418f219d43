"""`invmass sweep`: all claims about combinations at many seeds, wherever there are processors."""

import sys
from pathlib import Path
from typing import Any

import click
import pandas as pd

from invmass.claims.registry import CLAIMS
from invmass.cli.grid import (
    CHOICE,
    collect,
    combinations_of,
    rows_as_json,
    seeds_of,
    show_what_was_not_run,
)
from invmass.cli.options import options
from invmass.cli.terminal import table
from invmass.errors import UsageError
from invmass.options import RESULTS
from invmass.results.cells import finished, load_cells
from invmass.results.status import BY_SEVERITY, Status, exit_status
from invmass.runs import executor
from invmass.studies.sweep import SeedBatch, judge_seeds, lost_rows

SEEDS_AT_ONCE = 5  # in another process: those of one combination share what is compiled


@click.command()
@options(*CHOICE, "tier", "claim", "jobs", "scheduler", "time-limit", results=RESULTS)
@options("json")
def sweep(
    seeds: str,
    claims: tuple[str, ...],
    jobs: int | None,
    scheduler: str | None,
    time_limit: float,
    results: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Check all claims at many seeds; an interrupted sweep continues.

    Run in this process, in --jobs processes on this machine, or on the workers of a Dask
    --scheduler; the rows are the same. Skip verdicts that --results already holds for the same
    versions; checks that ended in an error run again.
    """
    if unknown := [name for name in claims if name not in CLAIMS]:
        raise UsageError(f"unknown claim {unknown[0]!r}; the claims are: {', '.join(CLAIMS)}")
    combinations, skipped = combinations_of(given, claims)
    wanted, done = seeds_of(seeds), finished(load_cells(results))
    asked = {combination.row_key(seed) for combination in combinations for seed in wanted}
    at_once = min(SEEDS_AT_ONCE, len(wanted)) if jobs or scheduler else 1
    batches = [
        SeedBatch(combination, tuple(left[i : i + at_once]))
        for combination in combinations
        if (left := [seed for seed in wanted if combination.row_key(seed) not in done])
        for i in range(0, len(left), at_once)
    ]
    with executor.place(jobs, scheduler, at_once * time_limit) as place:
        collect(batches, judge_seeds, lost_rows, place, results)
    rows = load_cells(results)
    rows = rows[rows["cell"].isin(asked)]
    if as_json:
        click.echo(rows_as_json(rows))
    else:
        _show_verdicts(rows)
        show_what_was_not_run(skipped, len(done & asked))
    if missing := len(asked - set(rows["cell"])):
        doubt = "has it changed meanwhile, or do workers run another?"
        click.echo(f"{missing} cell(s) have no rows of the software here: {doubt}", err=True)
        sys.exit(Status.FAIL.exit_status)
    sys.exit(exit_status(rows["status"]))


def _show_verdicts(rows: pd.DataFrame) -> None:
    """Counts by backend, what did not pass, and the bound on wrong answers."""
    counts = pd.crosstab(rows["backend"], rows["status"]).reindex(
        columns=list(BY_SEVERITY), fill_value=0
    )
    lines = [
        {"backend": name, "run": count.sum() - count[Status.SKIPPED], **count}
        for name, count in counts.iterrows()
    ]
    if lines:
        table("verdicts", lines)
    reasons = rows[rows["status"] == Status.SKIPPED].groupby(["backend", "message"]).size()
    for (backend, reason), count in reasons.items():
        click.echo(f"{backend}: {count} × skipped, {reason}")
    for row in rows[rows["status"].map(lambda status: Status(status).is_red)].to_dict("records"):
        detail = row["message"] if row["status"] == Status.ERROR else _furthest_entry(row)
        click.echo(f"{row['status']}: {row['command']}\n  {detail}")
    bound = rows["alpha"].fillna(0.0).astype(float).sum()
    verdicts = sum(Status(status).is_verdict for status in rows["status"])
    click.echo(f"the probability that any of {verdicts} verdicts is wrong is at most {bound:.2g}")


def _furthest_entry(row: dict[str, Any]) -> str:
    return (
        f"{row['entry']}: found {row['found']:.4g} in [{row['low']:.4g}, {row['high']:.4g}], "
        f"expected {row['expected']:.4g} ± {row['margin']:.3g}, {row['replicates']:.0f} replicates"
    )
