"""Writes docs/releases.md and its picture: `python docs/releases.py FOLDER`.

FOLDER holds the rows of the command that the page names, one run for each release.
"""

from pathlib import Path

import click
import pandas as pd

from invmass.reports.figures import speed
from invmass.reports.releases import releases
from invmass.results.rows import load_rows
from invmass.results.wording import has_value, markdown_table, number

HERE = Path(__file__).parent
PAGE = """# From release to release

Written by `python docs/releases.py` on {machine}, from the rows of

```sh
invmass upstream LIBRARY==VERSION --case notebook-uniform --metric diagonal --metric dense
```

with each release installed in turn (`tox run -e upstream -- LIBRARY==VERSION` does so in an
environment of its own, for the whole quick tier). Seconds are medians over two turns of five
rounds, with the interval of the median, for 64 chains; noise is the slower turn over the faster.

BlackJAX has what is judged here, `staged_adaptation`, from 1.6.1 on; its releases ran with jax
0.10.2. NumPyro up to 0.20.1 cannot be imported there (`xla_pmap_p` is gone), so that all its
releases ran with jax 0.9.2.

![Checks, seconds of warm-up and ESS per gradient over releases](releases.svg)

{tables}
"""
COLUMNS = {
    "version": "release", "backend": "backend", "pass": "pass", "fail": "fail",
    "inconclusive": "inconclusive", "error": "error", "case": "timed", "metric": "metric",
}  # fmt: skip


@click.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True))
def main(results: Path) -> None:
    """The page, and its picture."""
    rows = load_rows(results)
    found = releases(rows)
    tables = [f"## {library}\n\n{table(lines)}" for library, lines in found.groupby("library")]
    page = PAGE.format(
        machine=", ".join(rows["machine"].dropna().unique()),
        tables="\n\n".join(tables),
    )
    (HERE / "releases.md").write_text(page, encoding="utf-8")
    (HERE / "releases.svg").write_text(speed.releases(rows), encoding="utf-8")


def table(lines: pd.DataFrame) -> str:
    """One line for each release, backend and timed combination, as markdown."""
    header = [*COLUMNS.values(), "warm-up compile s", "warm-up s", "noise", "ESS/gradient"]
    told = [
        [
            *(str(line[column]) for column in COLUMNS),
            number(line["warmup_compile_seconds"]),
            f"{number(line['warmup_seconds'])} ({interval(line)})",
            number(line["warmup_noise"]),
            number(line["ess_per_gradient"]),
        ]
        for line in lines.to_dict("records")
    ]
    return markdown_table(header, told)


def interval(line: dict[str, float]) -> str:
    """Of the median."""
    low, high = line["warmup_low"], line["warmup_high"]
    return f"{number(low)}–{number(high)}" if has_value(low) else "too few rounds"


if __name__ == "__main__":
    main()
