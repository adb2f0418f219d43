"""Commands that answer here and now, without pytest: `list`, `check`, `repeat` and `fisher`."""

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from invmass.claims.inverse_fisher import InverseFisher, readings, split
from invmass.claims.reading import overall
from invmass.claims.record import answer_record
from invmass.claims.registry import answers, not_judged_reason
from invmass.claims.regularisation_floor import why_open
from invmass.claims.sequential import Verdict, replicates_wanted
from invmass.cli.options import FAIL, INCONCLUSIVE, PASS, SETTINGS, options
from invmass.cli.own_model import judge_file
from invmass.cli.terminal import matrix, table
from invmass.errors import InvmassError, SingularFisherError, UsageError
from invmass.model.case import Case
from invmass.model.catalogue import one_case, select_cases
from invmass.model.precision import float64
from invmass.results.plain_json import plain_json
from invmass.results.rows import RowWriter, read_rows
from invmass.results.status import Status
from invmass.runs.cores import cores_at_hand, keep_to_cores
from invmass.runs.environment import configure_jax
from invmass.runs.experiment import Experiment, Settings
from invmass.runs.selection import metrics_for
from invmass.sampling.backend import Backend
from invmass.sampling.registry import (
    OWN,
    brought,
    check_metrics,
    load_backend,
    select_backends,
    unsupported_metrics,
    without_regularisation,
)
from invmass.studies import exploration


@click.command("list")
@options("case", "json")
def list_(cases: tuple[str, ...], as_json: bool) -> None:
    """Cases, and backends with their metrics and versions, or why they are missing.

    With --json also each case's reference where z is Stan's, made anew: how, its mean and
    variances, the share of each to which the tests compare it with a second computation, and the
    gap: how far Cov(z) is from the inverse Fisher. That takes a minute or two; --case chooses.
    """
    chosen = []
    for case in select_cases(cases):
        if as_json:
            click.echo(f"{case.name} ...", err=True)
        chosen.append(in_brief(case) | (reference(case) if as_json else {}))
    backends: list[dict[str, Any]] = []
    for backend in map(load_backend, [*OWN, *brought()]):
        missing = backend.why_unavailable()
        versions = ", ".join(f"{name} {version}" for name, version in backend.versions().items())
        backends.append(
            {
                "backend": backend.name,
                "metrics": list(backend.estimators),
                "available": missing is None,
                "versions": missing or versions,
                "lacks": list(map(backend.unsupported_reason, unsupported_metrics(backend))),
            }
        )
    if as_json:
        click.echo(plain_json({"cases": chosen, "backends": backends}, indent=2))
        return
    table("cases", chosen)
    for row in backends:
        row |= {name: "\n".join(row[name]) for name in ("metrics", "lacks")}
    table("backends", backends)


def in_brief(case: Case) -> dict[str, Any]:
    """A case in one line."""
    return {
        "case": case.name,
        "dimension": case.dimension,
        "tier": case.tier,
        "summary": case.summary,
    }


def reference(case: Case) -> dict[str, Any]:
    """The moments of a case where z is Stan's, how they were made, and how well.

    What is infinite is null.
    """
    gap, moments = case.truth_in_own_space.gap, case.truth_in_own_space.moments
    return {
        "sites": {name: list(site.value_shape) for name, site in case.sites.items()},
        "source": case.source or None,
        "reference": case.reference.how,
        "gap": gap if np.isfinite(gap) else None,
        "mean_z": _known(moments.mean),
        "variance_z": _known(np.diag(moments.covariance)),
        "tested_to": 0.002,
    }


@click.command()
@click.argument("case")
@options("backend", "metric", *SETTINGS, "device", "x64", "append", "json")
@click.option(
    "--block", "blocks", multiple=True, metavar="SITE,SITE", help="Own model: a dense block."
)
@click.option("--claim", "claims", multiple=True, help="This one alone; repeatable.")
@click.option(
    "--prior/--no-prior",
    default=None,
    help="Own model: count the curvature of the prior. [default: only where it has to be]",
)
@click.option("--no-regularise", is_flag=True, help="Tune without regularisation, as NumPyro can.")
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
    """Judge all claims about CASE here and now, and show every entry and the split.

    CASE may be a NumPyro model of your own, as path/to/file.py:model: its inverse Fisher, whether
    NumPyro's adaptation finds it, and what starting from it saves.
    """
    if problem := configure_jax(device, x64):
        raise UsageError(problem)
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    if case.rpartition(":")[0].endswith(".py") or case.endswith(".py"):
        if results or claims or set(backends) - {"numpyro"}:
            raise UsageError(
                "a model of your own is NumPyro's, with claims of its own and no rows: leave out "
                "--claim, --results, and any --backend but numpyro"
            )
        sys.exit(judge_file(case, metrics, blocks, settings, as_json, prior, not no_regularise))
    if blocks or prior is not None:
        option = "--block" if blocks else "--prior"
        raise UsageError(f"{option} is for a model of your own, given as path/to/file.py:model")
    chosen = select_backends(backends)
    check_metrics(chosen, metrics)
    if no_regularise and not backends:
        chosen = [backend for backend in chosen if backend.unregularised]
    writer = RowWriter(results) if results else None
    experiments = [
        Experiment(problem_case, backend, metric, settings)
        for problem_case in select_cases([case])
        for backend in chosen
        if _available(backend, asked_for=bool(backends), quiet=as_json)
        for metric in metrics_for(
            problem_case,
            backend,
            without_regularisation(backend, metrics) if no_regularise else metrics,
        )
    ]
    records: list[dict[str, Any]] = []
    for experiment, asked in _asked(experiments, claims):
        reached = []
        for claim, answer in answers(experiment, asked):
            if isinstance(answer, InvmassError):
                click.echo(f"{claim}: {answer}", err=True)
            else:
                reached.append((claim, answer))
            records.append(answer_record(experiment, claim, answer))
            if writer:
                writer.append(records[-1])
        if reached and not as_json:
            show_answers(experiment, reached)
    if as_json:
        click.echo(plain_json(records, indent=2))
    sys.exit(exit_status(records))


def _asked(
    experiments: list[Experiment], claims: Sequence[str]
) -> Iterator[tuple[Experiment, list[str]]]:
    """Each experiment with those of the named claims that judge it, and none if none is named.

    Raises:
        UsageError: none of them judges any.
    """
    refused = {
        (experiment.name, claim): reason
        for experiment in experiments
        for claim in claims
        if (reason := not_judged_reason(experiment, claim))
    }
    asked = [
        (experiment, [claim for claim in claims if (experiment.name, claim) not in refused])
        for experiment in experiments
    ]
    if claims and not any(concern for _, concern in asked):
        raise UsageError("\n".join(refused.values()))
    for reason in refused.values():
        click.echo(reason, err=True)
    yield from ((experiment, concern) for experiment, concern in asked if concern or not claims)


@click.command()
@click.argument("row_id")
@options("results")
def repeat(row_id: str, results: Path) -> None:
    """Judge once more what the verdict in row ROW_ID judged, and say whether it came out the same.

    The exit status is that of the verdict. Same seed, machine and versions give the same numbers,
    bit for bit, on as many cores as then; what has changed among those is named.
    """
    found = [row for row in read_rows(results) if row.get("row_id") == row_id]
    if not found:
        raise UsageError(f"no row {row_id!r} in {results}; its rows show each row_id")
    old = found[0]
    words = shlex.split(old.get("command") or "")
    if words[:2] == ["invmass", "judge"]:
        raise UsageError(f"row {row_id} is of matrices in files, judged by: {old['command']}")
    if words[:2] != ["invmass", "check"]:
        raise UsageError(f"row {row_id} is no verdict, but of kind {old['kind']!r}")
    status = PASS
    keep_to_cores(old.get("cores") or cores_at_hand())
    with TemporaryDirectory() as folder:
        try:
            check.main([*words[2:], "--results", folder], standalone_mode=False)
        except SystemExit as end:
            status = int(end.code or PASS)
        again = read_rows(Path(folder)) if any(Path(folder).iterdir()) else []
    if old["claim"] is None or not again:  # its process was lost, so that no claim is to compare
        click.echo(f"row {row_id} is of a lost process: {old['message']}")
        sys.exit(status)
    (new,) = (row for row in again if row["claim"] == old["claim"])

    def differing(names: Iterable[str]) -> list[str]:
        return [name for name in names if json.dumps(old.get(name)) != json.dumps(new.get(name))]

    if different := differing(REPEATED):
        click.echo(f"not as in row {row_id}: {', '.join(different)} differ")
        for name in differing(SURROUNDINGS):
            click.echo(f"  {name} was {old.get(name)}, is {new.get(name)}")
    else:
        click.echo(f"the same as in row {row_id}, bit for bit")
    sys.exit(status)


SHOWN = {
    "z": "z",
    "inverse_fisher_x": "inverse Fisher in x",
    "inverse_fisher_z": "inverse Fisher in z",
    "covariance_z": "covariance in z",
}


@click.command()
@click.argument("case")
@options("backend", "json")
def fisher(case: str, backends: tuple[str, ...], as_json: bool) -> None:
    """Inverse Fisher information of CASE in x, and in z as each backend unconstrains it."""
    answers = []
    for problem in select_cases([case]):
        for backend in select_backends(backends):
            if _available(backend, asked_for=bool(backends), quiet=as_json):
                answers.append(_fisher(problem, backend))
    if as_json:
        click.echo(plain_json(answers, indent=2))
        return
    for answer in answers:
        click.echo(f"\n{answer['case']} as {answer['backend']} sees it: {answer['summary']}")
        for key, title in SHOWN.items():
            if isinstance(answer[key], str):
                click.echo(f"{title}: none, {answer[key]}")
            else:
                matrix(title, answer["coordinates"], answer[key])


@click.command()
@click.argument("case")
@options("seed", "device", "x64", "results", "json")
def explore(
    case: str, seed: int | None, device: str | None, x64: bool, results: Path, as_json: bool
) -> None:
    """Map step size × number of steps × mass matrix on CASE: acceptance, ESS per gradient.

    By our own HMC with paths of fixed length. Step sizes are in units of the shortest scale, so
    that a Gaussian breaks down at 2. Rows are appended to --results; the report draws the map, and
    of a case of two coordinates some trajectories.
    """
    if missing := configure_jax(device, x64):
        raise UsageError(missing)
    problem = one_case(case)
    writer = RowWriter(results)
    rows: list[dict[str, Any]] = []
    try:
        for row in exploration.explore(problem, Settings(seed=seed or 0)):
            if not as_json and (not rows or rows[-1]["metric"] != row["metric"]):
                click.echo(f"{row['metric']} ...", err=True)
            rows.append(row)
            writer.append(row)
    finally:
        writer.close()
    if as_json:
        click.echo(plain_json(rows, indent=2))
        return
    grid = [row for row in rows if row["kind"] == "setting"]
    for metric in exploration.METRICS:
        table(
            f"{metric}: min ESS per gradient, by steps and step size",
            [
                {"steps": count}
                | {
                    f"{r['relative_step_size']:g}": f"{r['ess_per_gradient']:.3f}"
                    for r in grid
                    if (r["metric"], r["steps"]) == (metric, count)
                }
                for count in exploration.STEPS
            ],
        )


COMMANDS = (list_, check, repeat, fisher, explore)
REPEATED = (
    "status",
    "found",
    "low",
    "high",
    "intervals",
    "replicates",
    "looks",
)  # what a seed decides
MOST_MATCHES = 12  # entries shown that match
SURROUNDINGS = (
    "versions",
    "python",
    "machine",
    "cores",
    "device",
    "devices",
    "commit",
    "case_version",
)


def _available(backend: Backend, asked_for: bool, quiet: bool) -> bool:
    """Whether a backend can run; an error if it was asked for by name and cannot."""
    if asked_for:
        backend.check_available()
    reason = backend.why_unavailable()
    if reason and not quiet:
        click.echo(f"{backend.name}: skipped, {reason}")
    return reason is None


def _fisher(case: Case, backend: Backend) -> dict[str, Any]:
    with float64():
        truth = case.truth_in(backend.transforms(case))
    return {
        "case": case.name,
        "summary": case.summary,
        "backend": backend.name,
        "coordinates": list(case.posterior.coordinates),
        "z": truth.position.tolist(),
        "inverse_fisher_x": _or_why_not(lambda: truth.constrained_inverse_fisher),
        "inverse_fisher_z": _or_why_not(lambda: truth.inverse_fisher),
        "covariance_z": truth.moments.covariance.tolist(),
    }


def _known(values: np.ndarray) -> list[float | None]:
    """A vector for JSON, which knows nothing infinite."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _or_why_not(matrix: Callable[[], np.ndarray]) -> list[list[float]] | str:
    """A matrix, or the reason why there is none: a prior's density may have no curvature in x."""
    try:
        return matrix().tolist()
    except SingularFisherError as error:
        return str(error)


def exit_status(records: Iterable[dict[str, Any]]) -> int:
    """The exit status of a command that came to these records; none at all is no pass."""
    statuses = {record["status"] for record in records}
    if not statuses or statuses & {"fail", "error"}:
        return FAIL
    return INCONCLUSIVE if Status.INCONCLUSIVE in statuses else PASS


def show_answers(experiment: Experiment, reached: Sequence[tuple[str, Verdict]]) -> None:
    """Verdicts in the terminal, and what M⁻¹ is to the inverse Fisher, entry by entry."""
    table(
        experiment.name,
        [
            {
                "claim": claim,
                "verdict": verdict.status,
                "furthest entry": verdict.worst.entry,
                "found": f"{verdict.worst.found:.4g}",
                "interval": f"[{verdict.worst.low:.4g}, {verdict.worst.high:.4g}]",
                "expected": f"{verdict.worst.expected:.4g} ± {verdict.worst.margin:.3g}",
                "replicates": verdict.replicates,
            }
            for claim, verdict in reached
        ],
    )
    for claim, verdict in reached:
        if verdict.status is Status.INCONCLUSIVE:
            click.echo(f"{claim}: {_what_would_decide(experiment, verdict)}")
        if claim == InverseFisher.name:
            _show_readings(experiment, verdict)


def _what_would_decide(experiment: Experiment, verdict: Verdict) -> str:
    if reason := why_open(experiment, verdict):
        return reason
    wanted = replicates_wanted(verdict)
    told = f"about {wanted} replicates" if wanted else "no number of replicates within reach"
    return f"{told} like these would decide at α = {verdict.alpha:g}"


def _show_readings(experiment: Experiment, verdict: Verdict) -> None:
    """Of a verdict on the inverse Fisher: the three readings of each entry, and what it is made of.

    All that do not match, and of those that do the first few.
    """
    found = readings(experiment, verdict)
    shown = [
        entry for i, entry in enumerate(found) if i < MOST_MATCHES or entry.reading != "matches"
    ]
    table(
        f"M⁻¹ over the inverse Fisher itself: {overall(found)}",
        [
            {
                "entry": entry.entry,
                "verdict": entry.reading,
                "M⁻¹ / inverse Fisher": f"{entry.ratio:.4g}",
                "interval": f"[{entry.low:.4g}, {entry.high:.4g}]",
                "predicted": f"{entry.predicted:.4g}",
                "because of": entry.reason,
            }
            for entry in shown
        ],
    )
    if len(shown) < len(found):
        click.echo(f"and {len(found) - len(shown)} more that match")
    table(
        "the ratio as a product of parts",
        [
            {
                "entry": part.entry,
                "geometry": f"{part.geometry:.4g}",
                "regularisation": f"{part.regularisation:.4g}",
                "remainder": f"{part.remainder:.4g}",
            }
            for part in split(experiment, verdict)[:MOST_MATCHES]
        ],
    )
