"""Writes docs/faults.md: `python docs/faults.py --seeds 0-9 --jobs 2`, in an hour or less.

Every planted fault of `tests/faults/` is judged by all claims about its combination. What stands
in the results folder is not run again. The rows go to reports/measured/, whence reports take them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

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

Written by `python docs/faults.py --seeds {seeds}`. Each line is a sampler that is wrong on purpose,
a few lines on top of one that is right (`tests/faults`); each column is a claim.
✗ says that the claim turned red at every seed, with the median number of replicates that it took;
a number of seeds, if not at all of them. ✓ is green, ? undecided at the cap, ! an error, because
what was tuned breaks the contract; an empty cell is not judged on that case. In bold the claim that
the fault was planted for; NumPyro, which some are planted on, fails *overflow is rejected* by
itself. All at α = 1e-6 with the tolerance of the quick tier, 10%; at strengths of 10% and 5% with a
tolerance of 5%.

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
    (HERE / "faults.md").write_text(page, encoding="utf-8")
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
        return f"**Not as it should be: {'; '.join(missed)}.**"
    return (
        f"At each of {len(seeds)} seeds every fault of full strength, of 20% and of 10% is seen by "
        "that claim, and on the right samplers, which come first, all claims are green, but for "
        "what is [known](findings.md) of NumPyro."
    )


def planted_rows(planted: list[Fault], rows: pd.DataFrame, seeds: list[int]) -> Iterator[dict]:
    """What was judged, with what was planted; then what cannot be seen."""
    kept = ["case", "metric", "seed", "claim", "status", "replicates", "commit", "machine"]
    for fault in planted:
        wanted = {fault.combination.row_key(seed) for seed in seeds}
        what = {
            "kind": "fault",
            "planted": (fault.backend.__doc__ or "").strip().splitlines()[0],
            "strength": fault.backend.strength,
            "planted_for": fault.claim,
        }
        judged = rows[rows["cell"].isin(wanted)]
        yield from (what | row for row in judged[kept].to_dict("records"))
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
    hidden = [f"- {what}: {why}" for what, why in evidence.unseen(rows).items()]
    return "\n".join([wording.markdown(head, lines), "", "What no claim can see:", "", *hidden, ""])


if __name__ == "__main__":
    main()
