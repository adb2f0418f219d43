"""Writes docs/scaling.md and its picture: `python benchmarks/scaling.py CURVES GPU`.

CURVES and GPU hold the rows of the commands that the page shows, from two machines.
"""

from pathlib import Path

import click
import pandas as pd

from invmass.reports import tables, timings
from invmass.reports.figures import speed
from invmass.results.rows import load_rows
from invmass.results.wording import AXES, markdown_table, number

DOCS = Path(__file__).parents[1] / "docs"
PAGE = """# How cost grows

Cost as a function of dimension, number of chains and condition number, and on a GPU.
`python benchmarks/scaling.py` writes this page.

## Curves

On {curves}; the rows of

```sh
invmass benchmark --case 'scaling-*-1e2' --metric diagonal --num-warmup 200 --turns 1 --chains 8
invmass benchmark --case 'scaling-10-*' --metric diagonal --num-warmup 200 --turns 1 --chains 8
invmass benchmark --case notebook-uniform --metric dense --num-warmup 200 --turns 1 \\
    --chains 1 --chains 8 --chains 64 --chains 512 --chains 4096
```

Only our HMC ran 4,096 chains. TFP was measured as a function of dimension only, `hmc-pooled` as a
function of dimension and chains. The machine was not idle, so single points may be wrong by 50%.

The exponents p are fitted to `seconds ∝ xᵖ`, and likewise for gradients, by least squares on the
logarithms; ± is the standard error. The curves bend upwards, so the exponent over all sizes is
smaller than the exponent of the largest sizes.

![Seconds of warm-up and of sampling along dimension, chains and condition number](scaling.svg)

{exponents}

## On a GPU

On {gpu}; the CPU is 8 cores of the same machine. The rows of

```sh
invmass benchmark --case notebook-uniform --metric dense --turns 1 --device gpu
```

and, for 4,096 chains, the same with `--chains 4096`; medians of five rounds. Two coordinates are
too little work for a GPU: 64 chains take 4.6 to 26 times as long as on the CPU. With 4,096 chains
our HMC tunes in 0.28 of the CPU's time and makes 5.5 times as many effective draws a second. The
missing values were not measured, because the run was stopped.

{timed}

Verdicts on the GPU, for the two `notebook` cases, by eight processes that share it
(`invmass validate --device gpu --jobs 8 --case 'notebook*'`): all dense metrics are complete, other
metrics only as far as the time allowed.

{verdicts}
"""


@click.command()
@click.argument("on_cpu", type=click.Path(path_type=Path, exists=True))
@click.argument("on_gpu", type=click.Path(path_type=Path, exists=True))
def main(on_cpu: Path, on_gpu: Path) -> None:
    """The page, and its picture."""
    curves, gpu = load_rows(on_cpu), load_rows(on_gpu)
    page = PAGE.format(
        curves=place(curves),
        exponents=exponents(curves),
        gpu=place(gpu[gpu["device"] != "cpu: cpu"]),
        timed=timed(gpu),
        verdicts=verdicts(gpu),
    )
    (DOCS / "scaling.md").write_text(page, encoding="utf-8")
    (DOCS / "scaling.svg").write_text(speed.curves(curves), encoding="utf-8")


def place(rows: pd.DataFrame) -> str:
    """Device, machine and versions."""
    provenance = tables.provenance(rows).set_index("item")["value"]
    names = ("device", "machine", "jax", "numpyro", "blackjax", "tfp-nightly")
    return "; ".join(f"{name} {provenance[name]}" for name in names if name in provenance)


def exponents(rows: pd.DataFrame) -> str:
    """A line for each curve."""
    head = ("along", "from", "to", "what", "backend", "phase", "p of seconds", "p of gradients")
    return markdown_table(
        head,
        (
            [
                AXES[line["along"]], number(line["from"]), number(line["to"]), line["curve"],
                line["backend"], line["phase"],
                *(f"{line[q]:.2f} ± {line[f'{q}_error']:.2f}" for q in ("seconds", "gradients")),
            ]
            for line in timings.exponents(rows).to_dict("records")
        ),
    )  # fmt: skip


def timed(rows: pd.DataFrame) -> str:
    """A line for each combination, device and number of chains."""
    columns = {
        "warm-up compile s": "warmup_compile_seconds", "warm-up s": "warmup_seconds",
        "sampling s": "sampling_seconds", "ESS/s": "ess_per_second",
    }  # fmt: skip
    lines = timings.timings(rows).sort_values(["replicates", "backend", "device"])
    return markdown_table(
        ["chains", "backend", "device", *columns],
        (
            [
                number(line["replicates"]), line["backend"], line["device"].partition(":")[0],
                *(number(line[column]) for column in columns.values()),
            ]
            for line in lines.to_dict("records")
        ),
    )  # fmt: skip


def verdicts(rows: pd.DataFrame) -> str:
    """How many verdicts of each status, by backend and metric."""
    judged = tables.verdicts(rows)
    counted = judged.groupby(["backend", "metric", "status"]).size().reset_index(name="verdicts")
    return markdown_table(counted.columns, counted.itertuples(index=False))


if __name__ == "__main__":
    main()
