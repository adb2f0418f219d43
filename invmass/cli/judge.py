"""`invmass judge`: matrices that were tuned elsewhere, read from files."""

import sys
from pathlib import Path
from typing import Any

import click

from invmass.adaptation.estimators import ESTIMATORS, Regularisation
from invmass.cli.direct import exit_status, show_answers
from invmass.cli.options import options
from invmass.errors import InvmassError
from invmass.model.catalogue import one_case
from invmass.recorded.reading import read
from invmass.recorded.recorded import FILE, OLDER_STAN, STAN, RecordedSampler
from invmass.results.plain_json import plain_json
from invmass.results.rows import RowWriter
from invmass.runs.experiment import Settings
from invmass.studies.recorded_matrices import recorded_answers, recorded_experiment, recorded_record


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--case", required=True, help="What they were tuned on.")
@click.option(
    "--estimator", type=click.Choice(list(ESTIMATORS)), help="By which rule; CmdStan's is known."
)
@click.option("--window", type=click.IntRange(1), help="Draws of the last window, if not in FILES.")
@click.option(
    "--space",
    metavar=f"{STAN}|{OLDER_STAN}|BACKEND",
    help=f"Whose z; default {STAN}, and {OLDER_STAN} for CmdStan up to that release.",
)
@click.option("--sampler", default=FILE, show_default=True, help="Its name in rows and reports.")
@options("tolerance", "false-alarm", "append", "json")
def judge(
    files: tuple[Path, ...],
    case: str,
    estimator: str | None,
    window: int | None,
    space: str | None,
    sampler: str,
    results: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Judge inverse mass matrices that any sampler tuned, in any language, from FILES.

    FILES are .npz, CSV tables, CmdStan's output (a file for each chain) or ArviZ's InferenceData
    (.nc, .zarr). Each matrix is a replicate, tuned by itself from a start of its own, as `invmass
    export` writes them. Parameters are matched by name. docs/files.md shows each kind.
    """
    problem = one_case(case)
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    experiment = recorded_experiment(
        read(files, problem), problem, estimator, window, space, settings, sampler
    )
    writer = RowWriter(results) if results else None
    reached, records = [], []
    for claim, answer in recorded_answers(experiment):
        if isinstance(answer, InvmassError):
            click.echo(f"{claim}: {answer}", err=True)
        else:
            reached.append((claim, answer))
        records.append(recorded_record(experiment, claim, answer, [str(file) for file in files]))
        if writer:
            writer.append(records[-1])
    if as_json:
        click.echo(plain_json(records, indent=2))
        sys.exit(exit_status(records))
    assert isinstance(experiment.backend, RecordedSampler)
    shrinks = experiment.estimator.regularisation is not Regularisation.NONE
    window_told = f", window {experiment.tuned(1).window}" if shrinks else ""
    click.echo(
        f"{experiment.batch} replicates of {experiment.metric}{window_told}, in the space of "
        f"{experiment.backend.space}"
    )
    show_answers(experiment, reached)
    sys.exit(exit_status(records))
