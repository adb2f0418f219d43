"""`invmass check path/to/file.py:model`: a user's NumPyro model, in the terminal."""

from collections.abc import Sequence

import click

from invmass.claims.reading import Reading
from invmass.cli.terminal import matrix, table
from invmass.results.plain_json import plain_json
from invmass.results.status import Status
from invmass.runs.experiment import Settings
from invmass.user_model.adaptation import Adaptation
from invmass.user_model.entries import Entry
from invmass.user_model.loading import load_numpyro_model
from invmass.user_model.metric_structure import chosen_structures
from invmass.user_model.numpyro_model import NumPyroModel
from invmass.user_model.records import metric_record, model_record
from invmass.user_model.summary import (
    about_covariance,
    about_information,
    distinct_inverses,
    in_words,
)
from invmass.user_model.warm_start_saving import Saving, saving
from invmass.user_model.warm_up_runs import STARTS


def judge_file(
    spec: str,
    metrics: Sequence[str],
    blocks: Sequence[str],
    settings: Settings,
    as_json: bool,
    prior: bool | None = None,
    regularise: bool = True,
) -> int:
    """Show a model's inverse Fisher, whether adaptation finds it, and what starting there saves.

    Args:
        spec: `path/to/file.py:name`.
        metrics: "diagonal" and "dense", or one of them; both if neither they nor blocks are given.
        blocks: comma-separated sites, each of them a dense block of one more metric.
        settings: of the verdict; the seed, too.
        as_json: write one JSON object instead of tables.
        prior: whether the curvature of the prior is counted. None: only where the observations
            alone leave the information singular.
        regularise: whether NumPyro shrinks what it estimates.

    Returns:
        The exit status: that an entry differs is an answer, not a failure.

    Raises:
        UsageError: anything about the file, the model or the metrics.
        SingularFisherError: names the direction about which the model says nothing.
    """
    structures = chosen_structures(metrics, blocks)
    model = load_numpyro_model(spec, prior)
    for structure in structures:
        model.metric(structure)  # a wrong name is an error before anything is run
    answer = model_record(model) | {"model": spec, "regularised": regularise}
    if not as_json:
        _show_information(model)
    readings: set[Reading] = set()
    records = []
    for structure in structures:
        adaptation = Adaptation(model, structure, settings, regularise)
        if not as_json and adaptation.floor:
            click.echo(f"\n{_title(adaptation)}: {adaptation.floor}")
        entries = list(adaptation.entries())
        saved = saving(adaptation)
        readings |= {entry.finding for entry in entries}
        records.append(metric_record(adaptation, entries, saved))
        if not as_json:
            _show_adaptation(adaptation, entries, saved)
    if as_json:
        click.echo(plain_json(answer | {"metrics": records}, indent=2))
    if Reading.WRONG in readings:
        return Status.FAIL.exit_status
    status = Status.INCONCLUSIVE if Reading.UNDECIDED in readings else Status.PASS
    return status.exit_status


def _show_information(model: NumPyroModel) -> None:
    if model.why_no_fisher:
        click.echo(f"no Fisher information serves as reference: {model.why_no_fisher}")
        return
    for line in about_information(model):
        click.echo(line)
    matrix("z", list(model.coordinates), model.position.tolist())
    for name, inverse in distinct_inverses(model).items():
        matrix(f"inverse Fisher in z, {name}", list(model.coordinates), inverse.tolist())


def _title(adaptation: Adaptation) -> str:
    blocks = "" if isinstance(adaptation.structure, str) else "blocks "
    return blocks + adaptation.metric.name


def _show_adaptation(adaptation: Adaptation, entries: Sequence[Entry], saved: Saving) -> None:
    model, metric, settings = adaptation.model, adaptation.metric, adaptation.settings
    if adaptation.why_no_fisher:
        click.echo(f"\n{about_covariance(adaptation)}")
        covariance = adaptation.posterior.covariance
        matrix("covariance in z", list(model.coordinates), covariance.tolist())
    sites = [names for names, _ in metric.blocks]
    click.echo(
        f"\nNUTS(model, dense_mass={metric.dense_mass}, inverse_mass_matrix=…) with keys {sites}"
    )
    table(
        f"{_title(adaptation)}: tuned M⁻¹ over the {adaptation.reference_name} "
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
