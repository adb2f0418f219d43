"""Writes docs/calibration.md and its picture from the rows that `invmass calibrate` has written.

`python docs/calibration.py FOLDER` adds the rows of a results folder to docs/calibration.parquet,
where those of earlier runs are, and makes the page of all of them.
"""

from pathlib import Path

import click
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from invmass.reports import calibration as measured
from invmass.reports.cells import load_cells
from invmass.verdicts.calibration import CAP

HERE = Path(__file__).parent
ROWS = HERE / "calibration.parquet"
STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
INTRODUCTION = """# How often a verdict errs

Written by `python docs/calibration.py` from the rows of `invmass calibrate`, which are in
[calibration.parquet](calibration.parquet): {warm_ups:,} warm-ups of {samplers}, on {cases},
{metrics} metrics, {cells} cells of their own seeds, on {machine}.

## On the samplers themselves

Whole verdicts on *M⁻¹ converges to its target* at the default α = 1e-6 and a tolerance of 10%, one
after the other, each on replicates that no other has seen. The samplers are right: an answer of
"fail" would be a false alarm.

{samplers_table}

## Where wrong answers are most frequent

The same matrices resampled, moved so that the expectation of an entry is exactly at its margin: a
pass is wrong beyond it, a fail within. The promise is α for either. *At most* is the upper end of a
confidence interval of 99% for the measured rate. Verdicts end at {cap:,} replicates, by when 13/14
of α is spent (some of these at 1,024, by when 10/11 is).

{rates_table}

## Power and cost

One entry moved to an effect between none and twice the margin, α = 1e-6. Wald's bound is the mean
number of replicates that *any* sequential test needs which has the same share of right answers and
errs at the margin with probability α, were the entry alone and log-normal (off the diagonal:
normal). This test is not told the variance, so that the bound is from the nearest distribution at
the margin, whatever its variance; the last column is over what it would be, were the variance
known. Where one first look decides, of 64 replicates that are compiled as one batch, the bound is
smaller than that look. Nearer to the margin most verdicts end at the cap, undecided.

{power_table}

![Shares of the answers, and replicates over Wald's bound](calibration.svg)

## The interval of few replicates

How often a single interval misses on its worse side, over what is promised, for the noisiest entry.
The interval takes ratios for log-normal, and is widened by the skewness that their logarithms show:
approximations, which matter where there are few replicates and α is small. Verdicts begin with 64
replicates (8 beyond 40 coordinates, where an entry is a mean over coordinates).

{coverage_table}
"""


@click.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True))
def main(results: Path) -> None:
    """The page, and its picture."""
    rows = load_cells(results)
    rows = rows[rows["kind"] == "calibration"].dropna(axis="columns", how="all")
    if ROWS.exists():
        earlier = pd.read_parquet(ROWS)
        rows = pd.concat([earlier[~earlier["cell"].isin(rows["cell"])], rows])
    # of verdicts with another cap the error rates are as good, and power and cost are not
    rows = rows[rows["wald"].isna() | (rows["cap"] == CAP)]
    rows.drop(columns="versions", errors="ignore").to_parquet(ROWS)
    samplers = measured.on_samplers(rows)
    power = measured.power(rows, by=())
    text = INTRODUCTION.format(
        warm_ups=int(rows["cell"].drop_duplicates().str.split().str[-2].astype(int).sum()),
        samplers=", ".join(sorted(rows["backend"].unique())),
        cases=", ".join(sorted(rows["case"].unique())),
        metrics=" and ".join(sorted(rows["metric"].unique())),
        cells=rows["cell"].nunique(),
        machine=", ".join(rows["machine"].unique()),
        cap=CAP,
        samplers_table=table(with_sum(samplers)),
        rates_table=table(measured.error_rates(rows)),
        power_table=table(power),
        coverage_table=table(
            measured.coverage(rows, by=())
            .pivot(index="replicates", columns="alpha", values="over promised")
            .rename(columns="α = {:g}".format)
            .reset_index()
        ),
    )
    (HERE / "calibration.md").write_text(text, encoding="utf-8")
    picture(measured.power(rows), power)


def with_sum(samplers: pd.DataFrame) -> pd.DataFrame:
    """One line more: all of them."""
    counts = samplers[["verdicts", "passed", "failed", "undecided"]].sum()
    mean = np.average(samplers["mean replicates"], weights=samplers["verdicts"])
    last = {"backend": "all", "metric": "", "case": "", **counts, "mean replicates": mean}
    return pd.concat([samplers, pd.DataFrame([last])])


def table(frame: pd.DataFrame) -> str:
    """A frame as markdown."""
    lines = [list(frame.columns), ["---"] * len(frame.columns)]
    lines += [[told(value) for value in row] for row in frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def told(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def picture(each: pd.DataFrame, together: pd.DataFrame) -> None:
    """Left the shares of the answers, right the cost; thin lines are combinations."""
    colours = {"passed": "#1a7f5a", "failed": "#b3261e", "undecided": "#8a6d00"}
    combinations = list(each.groupby(list(measured.COMBINATION)))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        shares, cost = figure.subplots(1, 2)
        for answer, colour in colours.items():
            for _, line in combinations:
                shares.plot(line["effect"], line[answer], color=colour, lw=0.5, alpha=0.4)
            shares.plot(together["effect"], together[answer], color=colour, lw=2, label=answer)
        for _, line in combinations:
            cost.plot(line["effect"], line["over Wald's bound"], color="#1f6feb", lw=0.5, alpha=0.4)
        cost.plot(together["effect"], together["over Wald's bound"], color="#1f6feb", lw=2)
        cost.axhline(2, color="0.5", lw=0.8, ls="--")
        cost.set_ylim(0, 5)
        shares.set_ylabel("share of the answers")
        cost.set_ylabel("mean replicates over Wald's bound")
        for axes in (shares, cost):
            axes.set_xlabel("effect, in margins")
            axes.axvline(1, color="0.5", lw=0.8)
        shares.legend(frameon=False)
        figure.savefig(HERE / "calibration.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
