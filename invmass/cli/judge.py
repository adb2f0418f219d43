"""`invmass judge`: matrices that were tuned elsewhere, read from files."""

import sys
from pathlib import Path

import click

from invmass.adaptation.estimators import ESTIMATORS, Regularisation
from invmass.cli.answers import show_answers
from invmass.cli.options import option, options
from invmass.errors import InvmassError
from invmass.model.catalogue import one_case
from invmass.recorded.reading import read
from invmass.recorded.recorded import FILE, OLDER_STAN, STAN, RecordedSampler
from invmass.results.plain_json import plain_json
from invmass.results.rows import RowWriter
from invmass.results.status import exit_status
from invmass.runs.experiment import Experiment, Settings
from invmass.studies.recorded_matrices import recorded_answers, recorded_experiment, recorded_record


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@options("tuned-on")
@option("estimator", choices=tuple(ESTIMATORS))
@options("window")
@option("space", metavar=f"{STAN}|{OLDER_STAN}|BACKEND")
@options("tolerance", "false-alarm", "results", "json", sampler=FILE)
def judge(
    files: tuple[Path, ...],
    case: str,
    estimator: str | None,
    window: int | None,
    space: str | None,
    sampler: str,
    tolerance: float,
    false_alarm: float,
    results: Path | None,
    as_json: bool,
) -> None:
    """Judge inverse mass matrices in FILES, tuned by any sampler in any language.

    FILES are .npz files, CSV tables, CmdStan's output (one file per chain) or ArviZ's InferenceData
    (.nc, .zarr). Each matrix is one replicate: a chain that was tuned independently, from its own
    exact draw of the posterior; `invmass export` writes such draws. Parameters are matched by name.
    docs/files.md describes each kind of file.
    """
    problem = one_case(case)
    settings = Settings(tolerance=tolerance, false_alarm=false_alarm)
    experiment = recorded_experiment(
        read(files, problem), problem, estimator, window, space, settings, sampler
    )
    writer = RowWriter(results) if results else None
    records = []
    reached = []
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
    else:
        click.echo(_headline(experiment))
        show_answers(experiment, reached)
    sys.exit(exit_status(record["status"] for record in records))


def _headline(experiment: Experiment) -> str:
    """How many matrices were read, what they are, and whose space they live in."""
    assert isinstance(experiment.backend, RecordedSampler)
    shrinks = experiment.estimator.regularisation is not Regularisation.NONE
    window = f", window {experiment.tuned(1).window}" if shrinks else ""
    return (
        f"{experiment.batch} replicates of {experiment.metric}{window}, in the space of "
        f"{experiment.backend.space}"
    )
