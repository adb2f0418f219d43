"""`invmass check path/to/file.py:model`: a NumPyro model of the user's own, in the terminal."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
import numpy as np

from invmass.claims.reading import Reading
from invmass.cli.terminal import matrix, table
from invmass.errors import UsageError
from invmass.model.derivatives import USUAL
from invmass.results.plain_json import plain_json
from invmass.results.status import Status
from invmass.runs.experiment import Settings
from invmass.user_model.adaptation import SMALL, STARTS, Adaptation, Entry
from invmass.user_model.loading import METRICS, load_own_model
from invmass.user_model.model import OwnModel, Structure
from invmass.user_model.saving import Saving, saving
from invmass.user_model.summary import in_words, on_the_covariance
from invmass.whitening import gap


def judge_file(
    spec: str,
    metrics: Sequence[str],
    blocks: Sequence[str],
    settings: Settings,
    as_json: bool,
    prior: bool | None = None,
    regularise: bool = True,
) -> int:
    """Show a model's inverse Fisher, whether adaptation finds it, and what it saves.

    Args:
        spec: `path/to/file.py:name`.
        metrics: "diagonal" and "dense", or one of them; both if neither they nor blocks are given.
        blocks: comma-separated sites, each of them a dense block of one more metric.
        settings: of the verdict; the seed, too.
        as_json: write one JSON object instead of tables.
        prior: whether the curvature of the prior is counted; None: only where it has to be.
        regularise: whether NumPyro shrinks what it estimates.

    Returns:
        The exit status: that an entry differs is an answer, not a failure.

    Raises:
        UsageError: anything about the file, the model or the metrics.
        SingularFisherError: names the direction about which the model says nothing.
    """
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise UsageError(f"unknown metric {unknown[0]!r}; NumPyro's are: {', '.join(METRICS)}")
    structures: list[Structure] = [*(metrics or (() if blocks else METRICS))]
    if blocks:
        structures.append([tuple(block.split(",")) for block in blocks])
    own = load_own_model(spec, prior)
    for structure in structures:
        own.blocks(structure)  # a wrong name is an error before anything is run
    answer = described(own) | {"model": spec, "regularised": regularise}
    if not as_json:
        _show_fisher(own)
    undecided = wrong = False
    answers = []
    for structure in structures:
        adaptation = Adaptation(own, structure, settings, regularise)
        if not as_json and adaptation.floor:
            click.echo(f"\n{_title(structure)}: {adaptation.floor}")
        entries = list(adaptation.entries())
        saved = saving(adaptation)
        undecided |= any(entry.finding is Reading.UNDECIDED for entry in entries)
        wrong |= any(entry.finding is Reading.WRONG for entry in entries)
        answers.append(_judged(adaptation, entries, saved))
        if not as_json:
            _show_adaptation(adaptation, entries, saved)
    if as_json:
        click.echo(plain_json(answer | {"metrics": answers}, indent=2))
    undecided_or_pass = Status.INCONCLUSIVE if undecided else Status.PASS
    return (Status.FAIL if wrong else undecided_or_pass).exit_status


def described(own: OwnModel) -> dict[str, Any]:
    """The inverse Fisher of a model as JSON has it, or why there is none."""
    facts = {"coordinates": list(own.coordinates), "starts": STARTS}
    if own.why_no_fisher:
        return facts | {"why_no_fisher": own.why_no_fisher}
    return facts | {
        "x": {name: value.tolist() for name, value in own.point.items()},
        "z": own.position.tolist(),
        "kind": own.kind,
        "sources": dict(own.sources),
        "derivatives": own.derivatives,
        "with_prior": own.with_prior,
        "inverse_fisher_z": own.inverse_fisher.tolist(),
        "inverses_z": {name: inverse.tolist() for name, inverse in own.inverses.items()},
    }


def _judged(adaptation: Adaptation, entries: Sequence[Entry], saved: Saving) -> dict[str, Any]:
    """One metric as JSON has it: no tuples as keys."""
    own, structure = adaptation.own, adaptation.structure
    blocks = own.inverse_mass_matrix(structure, adaptation.reference)
    return {
        "metric": structure if isinstance(structure, str) else [list(names) for names in structure],
        "reference": adaptation.reference_name,
        "why_no_fisher": adaptation.why_no_fisher,
        "floor": asdict(adaptation.floor) if adaptation.floor else None,
        "inverse_mass_matrix": [
            {"sites": list(names), "values": np.asarray(block).tolist()}
            for names, block in blocks.items()
        ],
        "dense_mass": [list(names) for names in own.dense_mass(structure)],
        "entries": [asdict(entry) for entry in entries],
        "divergences": adaptation.divergences,
        "saving": asdict(saved),
    }


def _show_fisher(own: OwnModel) -> None:
    if own.why_no_fisher:
        click.echo(f"no Fisher information serves as reference: {own.why_no_fisher}")
        return
    point = "the mode in z" if isinstance(own.truth_or_map, str) else "the given values"
    counted = "with the prior" if own.with_prior else "of the observations alone"
    if own.with_prior and own.prior is None:
        counted += ", because the observations alone leave it singular"
    click.echo(f"inverse Fisher information at {point}: {own.kind}, {counted}")
    for name, source in own.sources.items():
        click.echo(f"  {name}: {source}")
    if own.derivatives != USUAL:
        click.echo(f"  second derivatives: {own.derivatives}")
    matrix("z", list(own.coordinates), own.position.tolist())
    shown = own.inverses
    if len(shown) == 2 and gap(*shown.values()) < SMALL:  # the prior makes no difference
        shown = {"with the prior or without": own.inverse_fisher}
    for name, inverse in shown.items():
        matrix(f"inverse Fisher in z, {name}", list(own.coordinates), inverse.tolist())


def _title(structure: Structure) -> str:
    if isinstance(structure, str):
        return structure
    return "blocks " + "; ".join(map(",".join, structure))


def _show_adaptation(adaptation: Adaptation, entries: Sequence[Entry], saved: Saving) -> None:
    own, structure, settings = adaptation.own, adaptation.structure, adaptation.settings
    if adaptation.why_no_fisher:
        click.echo(f"\n{on_the_covariance(adaptation)}")
        covariance = adaptation.posterior.covariance
        matrix("covariance in z", list(own.coordinates), covariance.tolist())
    sites = [names for names, _ in own.blocks(structure)]
    click.echo(
        f"\nNUTS(model, dense_mass={own.dense_mass(structure)}, "
        f"inverse_mass_matrix=…) with keys {sites}"
    )
    table(
        f"{_title(structure)}: tuned M⁻¹ over the {adaptation.reference_name} "
        "(beside the diagonal: correlation left)",
        [
            {
                "entry": entry.name,
                "verdict": str(entry.finding),
                "found": f"{entry.found:.4g}",
                "interval": f"[{entry.low:.4g}, {entry.high:.4g}]",
                "predicted": f"{entry.predicted:.4g}",
                "because of": entry.reason,
                **{
                    f"over the {name}": f"{other.ratio:.4g} ({other.finding})"
                    for name, other in entry.others.items()
                },
                "replicates": entry.replicates,
            }
            for entry in entries
        ],
    )
    click.echo(in_words(entries, adaptation.reference_name))
    click.echo(
        f"margin {100 * settings.tolerance:g}%, α = {settings.false_alarm:g} for all entries; "
        f"each warm-up began {STARTS}; {100 * adaptation.divergences:.2g}% of transitions diverged"
    )
    click.echo(f"what it saves: {saved}")
