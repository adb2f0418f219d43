"""`invmass check`: all claims about one case here and now, without pytest."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from invmass.claims.record import answer_record
from invmass.claims.registry import answers, not_judged_reason
from invmass.cli.answers import show_answers
from invmass.cli.availability import is_available
from invmass.cli.options import options
from invmass.cli.own_model import judge_file
from invmass.errors import InvmassError, UsageError
from invmass.model.catalogue import select_cases
from invmass.options import REPLICATES, SETTINGS
from invmass.results.plain_json import plain_json
from invmass.results.rows import RowWriter
from invmass.results.status import exit_status
from invmass.runs.environment import configure_jax
from invmass.runs.experiment import Experiment, Settings
from invmass.runs.plan import metrics_for, settings_from
from invmass.sampling.registry import check_metrics, select_backends, without_regularisation

Record = dict[str, Any]


@click.command()
@click.argument("case")
@options("backend", "metric", *SETTINGS, default_texts={"replicates": str(REPLICATES["quick"])})
@options("device", "x64", "results", "json")
@options("block", "claim", "prior", "no-regularise")
def check(
    case: str,
    backends: tuple[str, ...],
    metrics: tuple[str, ...],
    blocks: tuple[str, ...],
    claims: tuple[str, ...],
    prior: bool | None,
    no_regularise: bool,
    device: str | None,
    x64: bool,
    results: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Check all claims about CASE and print every entry and why it deviates.

    CASE may also be a NumPyro model of your own, given as path/to/file.py:model. Then print its
    inverse Fisher, whether NumPyro's adaptation finds it, and what you save by starting from it.
    """
    if problem := configure_jax(device, x64):
        raise UsageError(problem)
    settings = settings_from(lambda name: given.get(name.replace("-", "_")))
    if case.rpartition(":")[0].endswith(".py") or case.endswith(".py"):
        if results or claims or set(backends) - {"numpyro"}:
            raise UsageError(
                "a model of your own is NumPyro's, with claims of its own and no rows: leave out "
                "--claim, --results, and any --backend but numpyro"
            )
        sys.exit(judge_file(case, metrics, blocks, settings, as_json, prior, not no_regularise))
    if blocks or prior is not None:
        name = "--block" if blocks else "--prior"
        raise UsageError(f"{name} is for a model of your own, given as path/to/file.py:model")
    experiments = _experiments(case, backends, metrics, settings, no_regularise, as_json)
    writer = RowWriter(results) if results else None
    records: list[Record] = []
    for experiment, chosen in _with_claims(experiments, claims):
        for record in judged(experiment, chosen, quiet=as_json):
            records.append(record)
            if writer:
                writer.append(record)
    if as_json:
        click.echo(plain_json(records, indent=2))
    sys.exit(exit_status(record["status"] for record in records))


def judged(experiment: Experiment, claims: Sequence[str], *, quiet: bool) -> Iterator[Record]:
    """Records of claims about an experiment, as they are reached; the answers are shown at the end.

    Args:
        experiment: what is judged.
        claims: those named; all but the long ones if none is.
        quiet: show nothing but errors.
    """
    reached = []
    for claim, answer in answers(experiment, claims):
        if isinstance(answer, InvmassError):
            click.echo(f"{claim}: {answer}", err=True)
        else:
            reached.append((claim, answer))
        yield answer_record(experiment, claim, answer)
    if reached and not quiet:
        show_answers(experiment, reached)


def _experiments(
    case: str,
    specs: Sequence[str],
    metrics: Sequence[str],
    settings: Settings,
    no_regularise: bool,
    quiet: bool,
) -> list[Experiment]:
    """The experiments of all cases, backends that can run here and metrics of these names.

    Raises:
        UsageError: a name that is not known.
        BackendUnavailableError: a backend that was asked for by name cannot run here.
    """
    chosen = select_backends(specs)
    check_metrics(chosen, metrics)
    if no_regularise and not specs:
        chosen = [backend for backend in chosen if backend.unregularised]
    return [
        Experiment(problem, backend, metric, settings)
        for problem in select_cases([case])
        for backend in chosen
        if is_available(backend, asked_for=bool(specs), quiet=quiet)
        for metric in metrics_for(
            problem,
            backend,
            without_regularisation(backend, metrics) if no_regularise else metrics,
        )
    ]


def _with_claims(
    experiments: Sequence[Experiment], claims: Sequence[str]
) -> Iterator[tuple[Experiment, list[str]]]:
    """Each experiment with those of the named claims that are about it; none if none is named.

    Raises:
        UsageError: none of them is about any.
    """
    refused = {
        (experiment.name, claim): reason
        for experiment in experiments
        for claim in claims
        if (reason := not_judged_reason(experiment, claim))
    }
    chosen = [
        (experiment, [claim for claim in claims if (experiment.name, claim) not in refused])
        for experiment in experiments
    ]
    if claims and not any(names for _, names in chosen):
        raise UsageError("\n".join(refused.values()))
    for reason in refused.values():
        click.echo(reason, err=True)
    yield from ((experiment, names) for experiment, names in chosen if names or not claims)
