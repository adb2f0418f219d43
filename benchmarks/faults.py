"""Writes docs/faults.md: `python benchmarks/faults.py --seeds 0-9 --jobs 2`.

Judges every planted fault of `tests/faults/` by all claims about its combination, in up to an hour.
Verdicts that the results folder already holds are not repeated. The rows are also written to
reports/measured/, where reports read them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from faults.catalogue import FAULTS, RIGHT, UNSEEN, Fault  # noqa: E402

from invmass.cli.grid import seeds_of  # noqa: E402
from invmass.cli.options import options  # noqa: E402
from invmass.reports import evidence  # noqa: E402
from invmass.results import wording  # noqa: E402
from invmass.results.cells import finished, load_cells  # noqa: E402
from invmass.results.rows import RowWriter  # noqa: E402
from invmass.runs import executor as grid  # noqa: E402
from invmass.studies.sweep import SeedBatch, judge_seeds, lost_rows  # noqa: E402

INTRODUCTION = """# Planted faults

`python benchmarks/faults.py --seeds {seeds}` writes this page.

Each row is a sampler with a deliberate fault: a few lines of code that break a correct sampler
(`tests/faults`). Each column is a claim.

| cell | meaning |
| --- | --- |
| ✗, 64 | the claim failed at every seed; the number is the median number of replicates it took |
| ✗ 3/5, ? 2/5, 320 | the claim failed at 3 of 5 seeds and was undecided at 2 |
| ✓ | the claim passed |
| ? | undecided when the cap of replicates was reached |
| ! | an error: the tuned metric violates the contract of a backend |
| empty | the claim is not judged on that case |
| bold | the claim that should detect this fault |

Some faults are planted in NumPyro, which fails *overflow is rejected* without any planted fault.
All verdicts are at α = 1e-6 and the tolerance of the quick tier, 10%; faults of strength 10% and 5%
are judged with a tolerance of 5%.

{outcome}

"""


@click.command()
@options("seeds", "jobs", results=Path("invmass-results/faults"))
def main(seeds: str, jobs: int | None, results: Path) -> None:
    """Judge, and write the page."""
    planted = [*RIGHT, *FAULTS]
    done = finished(load_cells(results))
    batches = [
        SeedBatch(fault.combination, left)
        for fault in planted
        if (left := tuple(s for s in seeds_of(seeds) if fault.combination.row_key(s) not in done))
    ]
    writer = RowWriter(results)
    with grid.place(jobs, None, 1200.0) as place:
        grid.collect(batches, judge_seeds, lost_rows, place, writer)
    writer.close()
    rows = load_cells(results)
    measured = pd.DataFrame(list(planted_rows(planted, rows, seeds_of(seeds))))
    measured.to_parquet(evidence.FAULTS)
    missed = [what for fault in planted for what in missed_by(fault, rows, seeds_of(seeds))]
    page = INTRODUCTION.format(seeds=seeds, outcome=outcome(missed, seeds_of(seeds)))
    page += markdown(measured)
    (ROOT / "docs" / "faults.md").write_text(page, encoding="utf-8")
    for what in missed:
        click.echo(what)
    sys.exit(1 if missed else 0)


def missed_by(fault: Fault, rows: pd.DataFrame, seeds: list[int]) -> Iterator[str]:
    """What should not be: a fault of 10% or more unseen, or a right sampler that is not green."""
    for seed in seeds:
        judged = rows[rows["cell"] == fault.combination.row_key(seed)]
        said = dict(zip(judged["claim"], judged["status"], strict=True))
        what = f"{fault.name} on {fault.case}, seed {seed}"
        if not fault.claim:
            right = {fault.known: "fail"}  # and all else passes
            yield from (f"{what}: {c} is {s}" for c, s in said.items() if s != right.get(c, "pass"))
        elif fault.backend.strength >= 0.1:
            caught = "error" if fault.breaks else "fail"
            if said.get(fault.claim) != caught:
                yield f"{what}: {fault.claim} is {said.get(fault.claim)}"
        if not said:
            yield f"{what}: not judged"


def outcome(missed: list[str], seeds: list[int]) -> str:
    """The sentence that says whether all is as it should be."""
    if missed:
        return f"**Unexpected verdicts: {'; '.join(missed)}.**"
    return (
        f"Every planted fault of full strength, of 20% and of 10% was detected by its claim at all "
        f"{len(seeds)} seeds. The correct samplers, in the first rows, passed every claim, apart "
        "from one [known bug of NumPyro](findings.md)."
    )


def planted_rows(planted: list[Fault], rows: pd.DataFrame, seeds: list[int]) -> Iterator[dict]:
    """What was judged, with what was planted; then what cannot be seen."""
    columns = ["case", "metric", "seed", "claim", "status", "replicates", "commit", "machine"]
    for fault in planted:
        wanted = {fault.combination.row_key(seed) for seed in seeds}
        planted_fault = {
            "kind": "fault",
            "planted": (fault.backend.__doc__ or "").strip().splitlines()[0],
            "strength": fault.backend.strength,
            "planted_for": fault.claim,
        }
        judged = rows[rows["cell"].isin(wanted)]
        yield from (planted_fault | row for row in judged[columns].to_dict("records"))
    for what, why in UNSEEN.items():
        yield {"kind": "fault", "planted": what, "message": why}


def markdown(rows: pd.DataFrame) -> str:
    """Fault by claim; then what no claim can see."""
    table = evidence.fault_table(rows)
    claims = list(table.columns[len(evidence.FAULT) :])
    head, lines = ["fault", "strength", "case", "metric", *claims], []
    for fault in table.to_dict("records"):
        strength = f"{fault['strength']:.0%}" if fault["strength"] < 1 else ""
        said = [
            f"**{fault[c]}**" if c == fault["planted_for"] and fault[c] else fault[c]
            for c in claims
        ]
        lines.append([fault["planted"], strength, fault["case"], fault["metric"], *said])
    hidden = [f"- {what}: {why}" for what, why in evidence.undetectable_faults(rows).items()]
    heading = "Faults that no claim can detect:"
    return "\n".join([wording.markdown_table(head, lines), "", heading, "", *hidden, ""])


if __name__ == "__main__":
    main()
