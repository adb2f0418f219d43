"""The commands that run a grid of combinations and seeds, wherever there are processors."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import pandas as pd

from invmass.claims.registry import CLAIMS
from invmass.cli.options import FAIL, INCONCLUSIVE, PASS, options
from invmass.cli.terminal import table
from invmass.errors import UsageError
from invmass.results.cells import finished, load_cells
from invmass.results.reports import report_module
from invmass.results.rows import RowWriter
from invmass.runs import executor as grid
from invmass.runs.selection import select_cells, settings_from
from invmass.sampling.registry import load_backend
from invmass.studies.calibration import Trial, lost_trial
from invmass.studies.calibration import calibrate as try_out
from invmass.studies.sweep import Combination, Stretch, judge_stretch, lost_rows

SEEDS_AT_ONCE = 5  # in another process: those of one combination share what is compiled
STATUSES = ("pass", "fail", "inconclusive", "error", "skipped")
SHARED = ("backend", "metric", "case", "tolerance", "false-alarm", "num-warmup", "device", "x64")
PLACES = ("jobs", "scheduler", "time-limit", "results", "json")
seeds_option = click.option(
    "--seeds", default="0", show_default=True, metavar="0-9,12", help="Ranges and numbers."
)


@click.command()
@options(*SHARED, "replicates", "tier")
@seeds_option
@click.option("--claim", "claims", multiple=True, help="This one alone; repeatable.")
@options(*PLACES)
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
    """Judge all claims about combinations at many seeds; where it was stopped, it goes on.

    In this process, in --jobs of this machine, or on the workers of a Dask --scheduler: the rows
    are the same. Verdicts of the same versions that the results folder already holds are not
    reached again; errors are.
    """
    if unknown := [name for name in claims if name not in CLAIMS]:
        raise UsageError(f"unknown claim {unknown[0]!r}; the claims are: {', '.join(CLAIMS)}")
    combinations, skipped = _combinations(given, claims)
    wanted, done = numbers(seeds), finished(load_cells(results))
    asked = {combination.cell(seed) for combination in combinations for seed in wanted}
    at_once = min(SEEDS_AT_ONCE, len(wanted)) if jobs or scheduler else 1
    stretches = [
        Stretch(combination, tuple(left[i : i + at_once]))
        for combination in combinations
        if (left := [seed for seed in wanted if combination.cell(seed) not in done])
        for i in range(0, len(left), at_once)
    ]
    with grid.place(jobs, scheduler, at_once * time_limit) as place:
        _collect(stretches, judge_stretch, lost_rows, place, results)
    rows = load_cells(results)
    rows = rows[rows["cell"].isin(asked)]
    if as_json:
        click.echo(_json(rows))
    else:
        _show_verdicts(rows)
        _show_what_was_not_run(skipped, len(done & asked))
    if missing := len(asked - set(rows["cell"])):
        doubt = "has it changed meanwhile, or do workers run another?"
        click.echo(f"{missing} cell(s) have no rows of the software here: {doubt}", err=True)
    sys.exit(FAIL if missing else _exit_status(rows))


@click.command()
@options(*SHARED)
@seeds_option
@click.option(
    "--warm-ups", type=click.IntRange(128), default=4096, show_default=True, help="For each cell."
)
@click.option(
    "--verdicts",
    type=click.IntRange(10),
    default=2000,
    show_default=True,
    help="Resampled, for each cell and α.",
)
@options(*PLACES)
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

    On real samplers, which are right; and on what they tuned, resampled, with the truth put at the
    margin and elsewhere. Compared with α, and with Wald's bound on what any test needs. It exits
    with 1 if a wrong answer was more frequent than promised, or a right sampler was called wrong,
    and with 3 if there are too few verdicts to show that none is.
    """
    given["cases"] = given["cases"] or ("notebook",)
    combinations, skipped = _combinations(given, ())
    trials = [
        Trial(combination, seed, warm_ups, verdicts)
        for seed in numbers(seeds)
        for combination in combinations
    ]
    done = finished(load_cells(results))
    left = [trial for trial in trials if trial.cell not in done]
    with grid.place(jobs, scheduler, time_limit) as place:
        _collect(left, try_out, lost_trial, place, results)
    rows = load_cells(results)
    rows = rows[rows["cell"].isin([trial.cell for trial in trials])]
    if as_json:
        click.echo(_json(rows))
    else:
        _show_calibration(rows)
        _show_what_was_not_run(skipped, len(trials) - len(left))
    if rows.empty or rows["status"].eq("error").any():
        sys.exit(FAIL)
    promises = _promises(rows)
    for told in promises.values():
        click.echo(told, err=as_json)
    sys.exit(max(promises, default=PASS, key=(PASS, INCONCLUSIVE, FAIL).index))


def _collect(tasks: Sequence[Any], work: Any, lost: Any, place: grid.Place, results: Path) -> None:
    writer = RowWriter(results)
    try:
        grid.collect(tasks, work, lost, place, writer)
    finally:
        writer.close()


def numbers(text: str) -> list[int]:
    """Seeds written as `0-9,12`.

    Raises:
        UsageError: they are not.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        written = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if written is None:
            raise UsageError(f"--seeds takes numbers and ranges, such as 0-9,12, not {text!r}")
        first, last = int(written[1]), int(written[2] or written[1])
        found |= dict.fromkeys(range(first, last + 1))
    if not found:
        raise UsageError(f"--seeds {text!r} is an empty range")
    return list(found)


def _combinations(
    given: dict[str, Any], claims: tuple[str, ...]
) -> tuple[list[Combination], dict[str, str]]:
    """Those of the tier that can run here; and for backends that cannot, why.

    Raises:
        BackendUnavailableError: a backend that was asked for by name cannot run here.
    """
    settings = settings_from(lambda name: given.get(name.replace("-", "_")))
    chosen, skipped = [], {}
    for cell in select_cells(given["cases"], given["backends"], given["metrics"]):
        backend = load_backend(cell.spec)
        if cell.spec in given["backends"]:
            backend.check_available()
        if reason := backend.why_unavailable() or backend.unsupported_reason(cell.metric):
            skipped[cell.backend] = reason
        elif given.get("tier") == "full" or cell.tier == "quick":
            how = (settings, claims, given["device"], given["x64"])
            chosen.append(Combination(cell.case, cell.spec, cell.metric, *how))
    return chosen, skipped


def _json(rows: pd.DataFrame) -> str:
    return json.dumps(json.loads(rows.to_json(orient="records")), indent=2)


def _show_verdicts(rows: pd.DataFrame) -> None:
    """Counts by backend, what did not pass, and the bound on wrong answers."""
    counts = pd.crosstab(rows["backend"], rows["status"]).reindex(columns=STATUSES, fill_value=0)
    lines = [{"backend": b, "run": c.sum() - c["skipped"], **c} for b, c in counts.iterrows()]
    if lines:
        table("verdicts", lines)
    reasons = rows[rows["status"] == "skipped"].groupby(["backend", "message"]).size()
    for (backend, reason), count in reasons.items():
        click.echo(f"{backend}: {count} × skipped, {reason}")
    for row in rows[~rows["status"].isin(["pass", "skipped"])].to_dict("records"):
        told = row["message"] if row["status"] == "error" else _entry(row)
        click.echo(f"{row['status']}: {row['command']}\n  {told}")
    bound = rows["alpha"].fillna(0.0).astype(float).sum()
    verdicts = int(rows["status"].isin(["pass", "fail", "inconclusive"]).sum())
    click.echo(f"the probability that any of {verdicts} verdicts is wrong is at most {bound:.2g}")


def _show_what_was_not_run(skipped: dict[str, str], kept: int) -> None:
    for name, reason in skipped.items():
        click.echo(f"{name}: skipped, {reason}")
    if kept:
        click.echo(f"{kept} cell(s) were in the results folder already")


def _entry(row: dict[str, Any]) -> str:
    return (
        f"{row['entry']}: found {row['found']:.4g} in [{row['low']:.4g}, {row['high']:.4g}], "
        f"expected {row['expected']:.4g} ± {row['margin']:.3g}, {row['replicates']:.0f} replicates"
    )


def _show_calibration(rows: pd.DataFrame) -> None:
    measured = report_module("calibration")
    for row in rows[rows["status"] == "error"].to_dict("records"):
        click.echo(f"error: {row['case']}, {row['backend']}, {row['metric']}: {row['message']}")
    measures: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "verdicts on the samplers themselves": measured.on_samplers,
        "wrong answers where they are most frequent": measured.error_rates,
        "answers and cost, by effect in margins": partial(measured.power, by=()),
        "misses of one interval over what is promised": partial(measured.coverage, by=()),
    }
    for title, measure in measures.items():
        if not (found := measure(rows)).empty:
            table(title, [_short(line) for line in found.to_dict("records")])


def _short(line: dict[str, Any]) -> dict[str, Any]:
    return {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in line.items()}


def _promises(rows: pd.DataFrame) -> dict[int, str]:
    """What is not as promised, or not shown to be, by the exit status that it calls for."""
    measured, found = report_module("calibration"), {}
    rates = measured.error_rates(rows).to_dict("records")
    if open_ := [line for line in rates if line["at most"] > line["promised"]]:
        alphas = ", ".join(f"{alpha:g}" for alpha in sorted({r["promised"] for r in open_}))
        found[INCONCLUSIVE] = f"too few verdicts to show that rates are below α = {alphas}"
    worse = [r for r in rates if measured.lower(r["wrong"], r["verdicts"]) > r["promised"]]
    called = int(measured.on_samplers(rows)["failed"].sum())
    if worse or called:
        told = [f"{r['answer']}: {r['rate']:.2g}, promised {r['promised']:g}" for r in worse]
        told += [f"{called} false alarm(s) on the samplers themselves"] * bool(called)
        found[FAIL] = "; ".join(told)
    return found


def _exit_status(rows: pd.DataFrame) -> int:
    statuses = set(rows["status"]) - {"skipped"}
    if not statuses or statuses & {"fail", "error"}:
        return FAIL
    return INCONCLUSIVE if "inconclusive" in statuses else PASS
