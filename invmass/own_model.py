"""`invmass check path/to/file.py:model`: a NumPyro model of the user's own, in the terminal."""

import importlib.util
import inspect
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np

from invmass.cases.numpyro_sites import NO_NUMPYRO
from invmass.cases.own_model import OwnModel, Structure
from invmass.geometry.derivatives import USUAL
from invmass.geometry.errors import UsageError
from invmass.geometry.whitening import gap
from invmass.options import FAIL, INCONCLUSIVE, PASS
from invmass.reports.plain_json import plain_json
from invmass.terminal import matrix, table
from invmass.verdicts.experiment import Settings
from invmass.verdicts.own_model import SMALL, STARTS, Adaptation, Entry
from invmass.verdicts.reading import Reading
from invmass.verdicts.saving import Saving, saving

METRICS = ("diagonal", "dense")


def load_own_model(spec: str, prior: bool | None = None) -> OwnModel:
    """The model at `path/to/file.py:name`.

    Beside the function `name` the file may define `name_args` (a tuple), `name_kwargs` (a
    dictionary) and `name_truth` (a dictionary of constrained values; without it the mode is
    taken), or functions without arguments that return these.

    Args:
        spec: `path/to/file.py:name`.
        prior: whether the curvature of the prior is counted; None: only where it has to be.

    Raises:
        UsageError: there is no such file or function, or they do not go together.
    """
    path, _, name = spec.rpartition(":") if not spec.endswith(".py") else (spec, "", "")
    if not name:
        raise UsageError(f"which function of {path} is the model? Say {path}:model")
    module = _run_file(Path(path))
    model = getattr(module, name, None)
    if not callable(model):
        functions = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        raise UsageError(
            f"{path} defines no function {name!r}; its functions are: "
            f"{', '.join(functions) or 'none'}"
        )
    args = _beside(module, f"{name}_args", (tuple, list), ())
    kwargs = _beside(module, f"{name}_kwargs", (Mapping,), {})
    try:
        inspect.signature(model).bind(*args, **kwargs)
    except TypeError as error:
        raise UsageError(
            f"{name}{inspect.signature(model)} in {path}: {error}; define {name}_args (a tuple) "
            f"or {name}_kwargs (a dictionary) in that file"
        ) from error
    truth = _beside(module, f"{name}_truth", (Mapping,), "map")
    return OwnModel(model, truth, tuple(args), kwargs, prior)


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
        own.blocks(structure)  # a wrong name is told before anything is run
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
    if wrong:
        return FAIL
    return INCONCLUSIVE if undecided else PASS


def _run_file(path: Path) -> ModuleType:
    """The file as a module, with its own folder on the path as if it were run."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    specification = importlib.util.spec_from_file_location(f"invmass_own_{path.stem}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module  # where its dataclasses look for it
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "numpyro":
            raise UsageError(NO_NUMPYRO) from error
        raise UsageError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    return module


def _beside(module: ModuleType, name: str, kinds: tuple[type, ...], default: Any) -> Any:
    value = getattr(module, name, default)
    value = value() if inspect.isfunction(value) else value
    if value is not default and not isinstance(value, kinds):
        expected = " or ".join(kind.__name__.lower() for kind in kinds)
        raise UsageError(f"{name} must be a {expected}, not {type(value).__name__}")
    return value


def described(own: OwnModel) -> dict[str, Any]:
    """The inverse Fisher of a model as JSON has it, or why there is none."""
    told = {"coordinates": list(own.coordinates), "starts": STARTS}
    if own.why_no_fisher:
        return told | {"why_no_fisher": own.why_no_fisher}
    return told | {
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


def on_the_covariance(adaptation: Adaptation) -> str:
    """What the posterior's covariance rests on, where it takes the place of the inverse Fisher."""
    posterior = adaptation.posterior
    return (
        f"reference: the posterior's covariance, since {adaptation.why_no_fisher}. It comes from "
        f"{posterior.how}, R̂ {posterior.rhat:.4f}; NumPyro's NUTS finds the same. It is known to "
        f"{posterior.error.max():.1%}, which is added to the margin"
    )


def in_words(entries: Sequence[Entry], reference: str) -> str:
    """In one sentence which of the references M⁻¹ matches, all entries together."""
    counts = Counter(entry.finding for entry in entries)
    told = ", ".join(f"{reading} ({count} of {len(entries)})" for reading, count in counts.items())
    sentence = f"{reference}: {told}"
    for name in entries[0].others:
        findings = {entry.others[name].finding for entry in entries}
        word = next(w for w in ("differs from", "undecided", "matches") if w.split()[0] in findings)
        sentence += f"; {name}: M⁻¹ {word} it" if word != "undecided" else f"; {name}: undecided"
    return sentence
