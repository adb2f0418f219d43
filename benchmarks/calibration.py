"""Writes docs/calibration.md and its picture from the rows that `invmass calibrate` has written.

`python benchmarks/calibration.py FOLDER` adds the rows of a results folder to the rows of earlier
runs in reports/measured/ and writes the page from all of them. Reports read the same rows.
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

DOCS = Path(__file__).parents[1] / "docs"
INTRODUCTION = """# How often a verdict errs

`python benchmarks/calibration.py` writes this page from rows of `invmass calibrate`, which are
stored in `reports/measured/calibration.parquet`: {warm_ups:,} warm-ups of {samplers}, on {cases},
with {metrics} metrics, in {cells} cells with different seeds, on {machine}.

## Verdicts on correct samplers

The table counts verdicts on the claim *converges to its target*, at the default α = 1e-6 and a
tolerance of 10%. Each verdict uses replicates of its own. The samplers are correct, so every *fail*
would be a false alarm.

{samplers_table}

## Where wrong answers are most frequent

The same matrices are resampled and shifted so that the expectation of an entry lies exactly at its
margin. If it lies just outside, a pass is wrong; if just inside, a fail is wrong. Each error rate
should be at most α. *At most* is the upper end of a 99% confidence interval for the measured rate.
Verdicts stop at {cap:,} replicates, where 13/14 of α has been spent (some of these at 1,024, where
10/11 has been spent).

{rates_table}

## Power and cost

One entry is shifted to an effect between zero and twice the margin, at α = 1e-6. Wald's bound is
the smallest mean number of replicates of *any* sequential test with the same share of correct
answers and error probability α at the margin, if there were a single log-normal entry (normal for
an off-diagonal entry). Our test must estimate the variance, so the bound in *over Wald's bound*
allows any variance. The last column compares with a test that knows the variance. Where the first
look at 64 replicates, which are compiled as one batch, is enough to decide, the bound is smaller
than that look. Close to the margin most verdicts reach the cap undecided.

{power_table}

![Shares of the answers, and replicates over Wald's bound](calibration.svg)

## Intervals from few replicates

The table shows how often a single interval for the noisiest entry misses the true value, on the
side where it misses more often, divided by the nominal rate. The interval treats ratios as
log-normal and is widened by the skewness of their logarithms. These approximations matter when
there are few replicates and α is small. Verdicts start with 64 replicates (8 above 40 coordinates,
where an entry is a mean over coordinates).

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
    (DOCS / "calibration.md").write_text(text, encoding="utf-8")
    (DOCS / "calibration.svg").write_text(calibrated.power(rows), encoding="utf-8")


def with_sum(samplers: pd.DataFrame) -> pd.DataFrame:
    """One line more: all of them."""
    counts = samplers[["verdicts", "passed", "failed", "undecided"]].sum()
    mean = np.average(samplers["mean replicates"], weights=samplers["verdicts"])
    last = {"backend": "all", "metric": "", "case": "", **counts, "mean replicates": mean}
    return pd.concat([samplers, pd.DataFrame([last])])


def table(frame: pd.DataFrame) -> str:
    """A frame as markdown."""
    return markdown_table(
        frame.columns, ([as_text(value) for value in row] for row in frame.itertuples(index=False))
    )


def as_text(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


if __name__ == "__main__":
    main()
