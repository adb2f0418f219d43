"""Writes docs/releases.md and its picture: `python benchmarks/releases.py FOLDER`.

FOLDER holds the rows of the command that the page shows, from one run for each release.
"""

from pathlib import Path

import click
import pandas as pd

from invmass.reports.figures import speed
from invmass.reports.releases import releases
from invmass.results.rows import load_rows
from invmass.results.wording import has_value, markdown_table, number

DOCS = Path(__file__).parents[1] / "docs"
PAGE = """# From release to release

`python benchmarks/releases.py` writes this page. Measured on {machine}, from the rows of

```sh
invmass upstream LIBRARY==VERSION --case notebook-uniform --metric diagonal --metric dense
```

run once for each installed release. `tox run -e upstream -- LIBRARY==VERSION` installs a release
into a separate environment and runs the whole quick tier. Seconds are for 64 chains: the median
over two turns of five rounds each, with the confidence interval of the median. *Noise* is the time
of the slower turn divided by that of the faster one.

BlackJAX has had `staged_adaptation`, which is judged here, since 1.6.1; its releases were run with
jax 0.10.2. NumPyro up to 0.20.1 cannot be imported with that version of jax (`xla_pmap_p` was
removed), so all NumPyro releases were run with jax 0.9.2.

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
    (DOCS / "releases.md").write_text(page, encoding="utf-8")
    (DOCS / "releases.svg").write_text(speed.releases(rows), encoding="utf-8")


def table(lines: pd.DataFrame) -> str:
    """One line for each release, backend and timed combination, as markdown."""
    header = [*COLUMNS.values(), "warm-up compile s", "warm-up s", "noise", "ESS/gradient"]
    cells = [
        [
            *(str(line[column]) for column in COLUMNS),
            number(line["warmup_compile_seconds"]),
            f"{number(line['warmup_seconds'])} ({interval(line)})",
            number(line["warmup_noise"]),
            number(line["ess_per_gradient"]),
        ]
        for line in lines.to_dict("records")
    ]
    return markdown_table(header, cells)


def interval(line: dict[str, float]) -> str:
    """Of the median."""
    low, high = line["warmup_low"], line["warmup_high"]
    return f"{number(low)}–{number(high)}" if has_value(low) else "too few rounds"


if __name__ == "__main__":
    main()
