"""`invmass calibrate`: how often verdicts are wrong, and how many replicates they take."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import pandas as pd

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
from invmass.options import RESULTS
from invmass.results.cells import finished, load_cells
from invmass.results.reports import report_module
from invmass.results.status import BY_SEVERITY, Status
from invmass.runs import executor
from invmass.studies import calibration
from invmass.studies.calibration import Trial, lost_trial

OPTIONS = [name for name in CHOICE if name != "replicates"]  # it has numbers of its own


@click.command()
@options(*OPTIONS, default_texts={"case": "notebook"})
@options("warm-ups", "verdicts", "jobs", "scheduler", "time-limit", results=RESULTS)
@options("json")
def calibrate(
    seeds: str,
    warm_ups: int,
    verdicts: int,
    jobs: int | None,
    scheduler: str | None,
    time_limit: float,
    results: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure how often verdicts are wrong, and how many replicates they take.

    Repeat verdicts on samplers that are correct, so that every fail is a false alarm. Then resample
    the matrices that they tuned and shift them, so that the true deviation lies exactly at the
    margin, where wrong verdicts are most frequent, or inside or outside it. Compare the error rates
    with α, and the number of replicates with Wald's lower bound for any sequential test.

    Exit with 1 if wrong verdicts were more frequent than α allows or a correct sampler failed, and
    with 3 if there are too few verdicts to decide.
    """
    given["cases"] = given["cases"] or ("notebook",)
    combinations, skipped = combinations_of(given)
    trials = [
        Trial(combination, seed, warm_ups, verdicts)
        for seed in seeds_of(seeds)
        for combination in combinations
    ]
    done = finished(load_cells(results))
    left = [trial for trial in trials if trial.row_key not in done]
    with executor.place(jobs, scheduler, time_limit) as place:
        collect(left, calibration.calibrate, lost_trial, place, results)
    rows = load_cells(results)
    rows = rows[rows["cell"].isin([trial.row_key for trial in trials])]
    if as_json:
        click.echo(rows_as_json(rows))
    else:
        _show_calibration(rows)
        show_what_was_not_run(skipped, len(trials) - len(left))
    if rows.empty or rows["status"].eq(Status.ERROR).any():
        sys.exit(Status.FAIL.exit_status)
    problems = broken_promises(rows)
    for message in problems.values():
        click.echo(message, err=as_json)
    worst = min(problems, key=BY_SEVERITY.index, default=Status.PASS)
    sys.exit(worst.exit_status)


def broken_promises(rows: pd.DataFrame) -> dict[Status, str]:
    """What is not as promised (fail), or not shown to be (inconclusive)."""
    measured, found = report_module("calibration"), {}
    rates = measured.error_rates(rows).to_dict("records")
    if undecided := [line for line in rates if line["at most"] > line["promised"]]:
        alphas = ", ".join(f"{alpha:g}" for alpha in sorted({r["promised"] for r in undecided}))
        found[Status.INCONCLUSIVE] = f"too few verdicts to show that rates are below α = {alphas}"
    worse = [r for r in rates if measured.lower(r["wrong"], r["verdicts"]) > r["promised"]]
    false_alarms = int(measured.on_samplers(rows)["failed"].sum())
    if worse or false_alarms:
        messages = [f"{r['answer']}: {r['rate']:.2g}, promised {r['promised']:g}" for r in worse]
        if false_alarms:
            messages.append(f"{false_alarms} false alarm(s) on the samplers themselves")
        found[Status.FAIL] = "; ".join(messages)
    return found


def _show_calibration(rows: pd.DataFrame) -> None:
    measured = report_module("calibration")
    for row in rows[rows["status"] == Status.ERROR].to_dict("records"):
        click.echo(f"error: {row['case']}, {row['backend']}, {row['metric']}: {row['message']}")
    measures: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "verdicts on the samplers themselves": measured.on_samplers,
        "wrong answers where they are most frequent": measured.error_rates,
        "answers and cost, by effect in margins": partial(measured.power, by=()),
        "misses of one interval over what is promised": partial(measured.coverage, by=()),
    }
    for title, measure in measures.items():
        if not (found := measure(rows)).empty:
            table(title, [_with_short_numbers(line) for line in found.to_dict("records")])


def _with_short_numbers(line: dict[str, Any]) -> dict[str, Any]:
    return {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in line.items()}
