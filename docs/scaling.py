"""Writes docs/scaling.md and its picture: `python docs/scaling.py CURVES GPU`.

CURVES and GPU hold the rows of the commands that the page names, made on two machines.
"""

from pathlib import Path

import click
import pandas as pd

from invmass.reports import tables, timings
from invmass.reports.figures import speed
from invmass.results.rows import load_rows
from invmass.results.wording import AXES, markdown_table, number

HERE = Path(__file__).parent
PAGE = """# How cost grows

With dimension, chains and condition number; and what a GPU changes. Written by
`python docs/scaling.py`.

## Curves

On {curves}; the rows of

```sh
invmass benchmark --case 'scaling-*-1e2' --metric diagonal --num-warmup 200 --turns 1 --chains 8
invmass benchmark --case 'scaling-10-*' --metric diagonal --num-warmup 200 --turns 1 --chains 8
invmass benchmark --case notebook-uniform --metric dense --num-warmup 200 --turns 1 \\
    --chains 1 --chains 8 --chains 64 --chains 512 --chains 4096
```

4,096 chains with our HMC alone; TFP along dimension alone, `hmc-pooled` along dimension and chains.
The machine was not idle, so that a point may be off by half.

`seconds ∝ xᵖ`, and gradients alike: p by least squares of the logarithms, ± its standard error.
Curves bend upwards, so that an exponent over all sizes is below what the largest ones show.

![Seconds of warm-up and of sampling along dimension, chains and condition number](scaling.svg)

{exponents}

## On a GPU

On {gpu}, and beside it on 8 cores of the same machine; the rows of

```sh
invmass benchmark --case notebook-uniform --metric dense --turns 1 --device gpu
```

and, for 4,096 chains, with `--chains 4096`; medians of five rounds. Two coordinates are little
work: 64 chains take 4.6 to 26 times as long as on the CPU. With 4,096 our HMC tunes in 0.28 of the
CPU's time, and draws 5.5 times as much. What is missing was cut off.

{timed}

What was judged there, on the notebook's two cases by eight processes that share the GPU
(`invmass validate --device gpu --jobs 8 --case 'notebook*'`): all of the dense metrics, and of the
others what there was time for.

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
    (HERE / "scaling.md").write_text(page, encoding="utf-8")
    (HERE / "scaling.svg").write_text(speed.curves(curves), encoding="utf-8")


def place(rows: pd.DataFrame) -> str:
    """Device, machine and versions."""
    told = tables.provenance(rows).set_index("item")["value"]
    names = ("device", "machine", "jax", "numpyro", "blackjax", "tfp-nightly")
    return "; ".join(f"{name} {told[name]}" for name in names if name in told)


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
