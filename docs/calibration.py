"""Writes docs/calibration.md and its picture from the rows that `invmass calibrate` has written.

`python docs/calibration.py FOLDER` adds the rows of a results folder to reports/measured/,
where those of earlier runs are, and makes the page of all of them; reports take them from there.
"""

from pathlib import Path

import click
import numpy as np
import pandas as pd

from invmass.reports import calibration as measured
from invmass.reports import evidence
from invmass.reports.figures import calibrated
from invmass.results.cells import load_cells
from invmass.results.wording import markdown_table
from invmass.studies.calibration import CAP

HERE = Path(__file__).parent
INTRODUCTION = """# How often a verdict errs

Written by `python docs/calibration.py` from the rows of `invmass calibrate`, which are in
`reports/measured/calibration.parquet`: {warm_ups:,} warm-ups of {samplers}, on {cases},
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
@click.argument("results", type=click.Path(path_type=Path, exists=True), required=False)
def main(results: Path | None) -> None:
    """The page, and its picture."""
    rows = pd.read_parquet(evidence.CALIBRATION)
    if results is not None:
        found = load_cells(results)
        found = found[found["kind"] == "calibration"].dropna(axis="columns", how="all")
        rows = pd.concat([rows[~rows["cell"].isin(found["cell"])], found])
    # of verdicts with another cap the error rates are as good, and power and cost are not
    rows = rows[rows["wald"].isna() | (rows["cap"] == CAP)]
    rows.drop(columns="versions", errors="ignore").to_parquet(evidence.CALIBRATION)
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
    (HERE / "calibration.svg").write_text(calibrated.power(rows), encoding="utf-8")


def with_sum(samplers: pd.DataFrame) -> pd.DataFrame:
    """One line more: all of them."""
    counts = samplers[["verdicts", "passed", "failed", "undecided"]].sum()
    mean = np.average(samplers["mean replicates"], weights=samplers["verdicts"])
    last = {"backend": "all", "metric": "", "case": "", **counts, "mean replicates": mean}
    return pd.concat([samplers, pd.DataFrame([last])])


def table(frame: pd.DataFrame) -> str:
    """A frame as markdown."""
    return markdown_table(
        frame.columns, ([told(value) for value in row] for row in frame.itertuples(index=False))
    )


def told(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


if __name__ == "__main__":
    main()
