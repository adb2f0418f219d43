"""`invmass check path/to/file.py:model`: a NumPyro model of the user's own, in the terminal."""

import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np

from invmass.cases.numpyro_sites import NO_NUMPYRO
from invmass.cases.own_model import OwnModel, Structure
from invmass.geometry.errors import UsageError
from invmass.options import INCONCLUSIVE, PASS
from invmass.reports.plain_json import plain_json
from invmass.terminal import matrix, table
from invmass.verdicts.experiment import Settings
from invmass.verdicts.own_model import STARTS, Adaptation, Entry, Finding, Saving

METRICS = ("diagonal", "dense")


def load_own_model(spec: str) -> OwnModel:
    """The model at `path/to/file.py:name`.

    Beside the function `name` the file may define `name_args` (a tuple), `name_kwargs` (a
    dictionary) and `name_truth` (a dictionary of constrained values; without it the mode is
    taken), or functions without arguments that return these.

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
    return OwnModel(model, _beside(module, f"{name}_truth", (Mapping,), "map"), tuple(args), kwargs)


def judge_file(
    spec: str,
    metrics: Sequence[str],
    blocks: Sequence[str],
    settings: Settings,
    as_json: bool,
) -> int:
    """Show a model's inverse Fisher, whether adaptation finds it, and what it saves.

    Args:
        spec: `path/to/file.py:name`.
        metrics: "diagonal" and "dense", or one of them; both if neither they nor blocks are given.
        blocks: comma-separated sites, each of them a dense block of one more metric.
        settings: of the verdict; the seed, too.
        as_json: write one JSON object instead of tables.

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
    own = load_own_model(spec)
    for structure in structures:
        own.blocks(structure)  # a wrong name is told before anything is run
    answer = _described(spec, own)
    if not as_json:
        _show_fisher(own)
    undecided = False
    answers = []
    for structure in structures:
        adaptation = Adaptation(own, structure, settings)
        entries = list(adaptation.entries())
        saving = adaptation.saving()
        undecided |= any(entry.finding is Finding.UNDECIDED for entry in entries)
        answers.append(_judged(own, structure, entries, saving, adaptation.divergences))
        if not as_json:
            _show_adaptation(answers[-1], entries, saving, settings)
    if as_json:
        click.echo(plain_json(answer | {"metrics": answers}, indent=2))
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


def _described(spec: str, own: OwnModel) -> dict[str, Any]:
    return {
        "model": spec,
        "coordinates": list(own.coordinates),
        "x": {name: value.tolist() for name, value in own.point.items()},
        "z": own.position.tolist(),
        "kind": own.kind,
        "sources": dict(own.sources),
        "with_prior": own.with_prior,
        "inverse_fisher_z": own.inverse_fisher.tolist(),
        "starts": STARTS,
    }


def _judged(
    own: OwnModel,
    structure: Structure,
    entries: Sequence[Entry],
    saving: Saving,
    divergences: float,
) -> dict[str, Any]:
    """One metric as JSON has it: no tuples as keys, no infinities."""
    found = {name: getattr(saving, name) for name in saving.__dataclass_fields__}
    return {
        "metric": structure if isinstance(structure, str) else [list(names) for names in structure],
        "inverse_mass_matrix": [
            {"sites": list(names), "values": np.asarray(block).tolist()}
            for names, block in own.inverse_mass_matrix(structure).items()
        ],
        "dense_mass": [list(names) for names in own.dense_mass(structure)],
        "entries": [
            {name: getattr(entry, name) for name in entry.__dataclass_fields__} for entry in entries
        ],
        "divergences": divergences,
        "saving": {name: value if np.isfinite(value) else None for name, value in found.items()},
    }


def _show_fisher(own: OwnModel) -> None:
    point = "the mode in z" if isinstance(own.truth_or_map, str) else "the given values"
    counted = "with the prior" if own.with_prior else "of the observations alone"
    if own.with_prior and own.prior is None:
        counted += ", because the observations alone leave it singular"
    click.echo(f"inverse Fisher information at {point}: {own.kind}, {counted}")
    for name, source in own.sources.items():
        click.echo(f"  {name}: {source}")
    matrix("z", list(own.coordinates), own.position.tolist())
    matrix("inverse Fisher in z", list(own.coordinates), own.inverse_fisher.tolist())


def _show_adaptation(
    answer: Mapping[str, Any], entries: Sequence[Entry], saving: Saving, settings: Settings
) -> None:
    metric = answer["metric"]
    title = metric if isinstance(metric, str) else "blocks " + "; ".join(map(",".join, metric))
    click.echo(
        f"\nNUTS(model, dense_mass={[tuple(names) for names in answer['dense_mass']]}, "
        f"inverse_mass_matrix=…) with keys "
        f"{[tuple(block['sites']) for block in answer['inverse_mass_matrix']]}"
    )
    table(
        f"{title}: tuned M⁻¹ over the inverse Fisher (beside the diagonal: correlation left)",
        [
            {
                "entry": entry.name,
                "verdict": str(entry.finding),
                "found": f"{entry.found:.4g}",
                "interval": f"[{entry.low:.4g}, {entry.high:.4g}]",
                "not regularised": f"{entry.unregularised:.4g}",
                "replicates": entry.replicates,
            }
            for entry in entries
        ],
    )
    click.echo(
        f"margin {100 * settings.tolerance:g}%, α = {settings.false_alarm:g} for all entries; "
        f"each warm-up began {STARTS}; {100 * answer['divergences']:.2g}% of transitions diverged"
    )
    click.echo(f"what it saves: {saving}")
